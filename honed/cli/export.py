"""honed export: stored records for other tools, or a tuned model as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ORDER = 8


def export(
    where: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]... | FOLDER",
            help="Only records with these settings; with --artifact, the new folder.",
        ),
    ] = None,
    artifact: Annotated[
        str | None,
        typer.Option(help="Write the model of STUDY:best, or of a record, as files that run."),
    ] = None,
    format: Annotated[str, typer.Option(help="jsonl, csv, parquet or pyperf.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="The file; by default standard output.")] = None,
    store: Annotated[str | None, typer.Option(help="Database URL of the records.")] = None,
) -> None:
    """Write stored records as jsonl, csv, parquet, or for `python -m pyperf compare_to`.

    honed export --artifact STUDY:best ./deployed writes a folder that runs without honed: the
    model in the engine's format, settings, a loader, and a check of its promises.
    """
    if artifact is not None:
        _export_artifact(artifact, where or [], store)
        return
    from honed.export import check_format
    from honed.export import export as write
    from honed.store import open_store

    check_format(format)
    records = open_store(store, make=False).list(limit=None, where=where or [])
    write(records, format, out if out is not None else sys.stdout.buffer)
    if out is not None:
        print(f"{len(records)} records in {out}", file=sys.stderr)
    elif not records:
        print(f"no record matches {' and '.join(where or ['anything'])}", file=sys.stderr)


def _export_artifact(name: str, words: list[str], store: str | None) -> None:
    from honed.cli._progress import Line
    from honed.deliver.write import export as write
    from honed.errors import UsageError
    from honed.phase import Phase
    from honed.run.lab import LocalLab
    from honed.store import open_store
    from honed.tune import api

    if "=" in name:
        raise UsageError(
            f"--artifact takes STUDY:best or the id of a record, and {name} is a setting",
            f"honed tune {name} finds the best setting, and prints the study's name; or "
            f"honed run {name}, and then honed export --artifact RECORD_ID ./deployed",
        )
    if len(words) != 1 or "=" in words[0]:
        raise UsageError(
            "--artifact needs one new folder, and no settings",
            f"honed export --artifact {name} ./deployed",
        )
    folder, line = Path(words[0]), Line()
    named = api.named_case(name, [], store)
    head = f"{name} into {folder}"

    def on_phase(phase: Phase | None) -> None:
        if phase is not None:
            line.show(f"{head}: {phase}", "")

    with open_store(store) as opened:
        lab = LocalLab(opened)
        record = None if named.study else lab.record(name)
        try:
            with lab.alone():
                exported = write(
                    named.case, record, folder, on_phase,
                    lambda: line.show(f"{head}: measuring the gain of its settings", ""),
                )  # fmt: skip
        finally:
            line.clear()
    gain = exported.gain
    size = f"{exported.size_bytes / 2**20:.0f} MiB"
    print(f"{folder}: {named.case.label()}, {size}")
    if gain is not None:
        print(f"{gain.value:.2f} times the engine's defaults ({gain.low:.2f} to {gain.high:.2f})")
    print(f"check it on the target machine: {folder}/verify")
