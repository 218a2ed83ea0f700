"""honed scale: how this machine scales for one model, in pictures and sentences."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def scale(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="the Case to scale")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Stop after about this long: 90s, 9.5m, 1h.")
    ] = "9.5m",
    resolution: Annotated[str, typer.Option(help="Smaller differences are ties.")] = "2%",
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("scale"),
    as_json: Annotated[bool, typer.Option("--json", help="One finding a line.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """Core scaling, batch-size scaling, allocators and OpenMP runtimes: measured, drawn, told."""
    from honed.cli.progress import duration
    from honed.compose import compose
    from honed.report.scaling import draw
    from honed.scale.study import study
    from honed.store import open_store
    from honed.units import seconds, share

    sweep = compose(words or [])
    live = sys.stderr.isatty()

    def say(text: str) -> None:
        if live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    findings = study(
        sweep.cases, seconds(budget), share(resolution), open_store(store),
        lambda p: say(f"block {p.block} · {p.label} · {duration(p.left_s)} left"),
    )  # fmt: skip
    say("")
    out.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        picture = draw(asdict(finding), out / f"{finding.section}.png")
        if as_json:
            print(json.dumps(asdict(finding) | {"picture": str(picture)}))
        else:
            print(f"{finding.title}: {finding.sentence}\n  {picture}")
