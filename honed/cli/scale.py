"""honed scale: what cores, split batches, allocators and OpenMP runtimes do for one model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

ORDER = 4


def scale(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="the Case to scale")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Stop after about this long: 90s, 9.5m, 1h.")
    ] = "9.5m",
    resolution: Annotated[str, typer.Option(help="Smaller differences are ties.")] = "2%",
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the pictures.")] = Path(
        "scale"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="One finding a line.")] = False,
    store: Annotated[str | None, typer.Option(help="Database URL for the records.")] = None,
) -> None:
    """How cores, split batches, allocators and OpenMP runtimes change the speed, with pictures."""
    from honed.cli._progress import Line, duration
    from honed.compose import compose
    from honed.report.scaling import draw
    from honed.run.lab import LocalLab
    from honed.scale.study import ScaleInterrupted, ScaleOptions, ScaleProgress, study
    from honed.store import open_store
    from honed.units import seconds, share

    sweep = compose(words or [])
    out.mkdir(parents=True, exist_ok=True)  # what cannot be written is told before it is measured
    line = Line()

    def on_progress(progress: ScaleProgress) -> None:
        left = f"at most {duration(progress.left_s)} left"
        line.show(f"block {progress.block} · {progress.label}", left)

    options = ScaleOptions(seconds(budget), share(resolution), on_progress)
    interrupted = False
    try:
        with open_store(store) as opened:
            scaling = study(sweep.cases, options, LocalLab(opened))
    except ScaleInterrupted as stopped:
        scaling, interrupted = stopped.scaling, True
    finally:
        line.clear()
    for finding in scaling.findings:
        picture = draw(finding, out / f"{finding.section}.png")
        if as_json:
            print(json.dumps(asdict(finding) | {"picture": str(picture)}))
        else:
            print(f"{finding.title}: {finding.sentence}\n  {picture}")
    print(f"records: honed list sweep={scaling.sweep}", file=sys.stderr)
    if interrupted:
        print("interrupted; these are the findings so far", file=sys.stderr)
        raise typer.Exit(130)
