"""Is the container limit of `honed plan` right? Predicted beside measured, and real memory groups.

    python -m benchmarks.deployments [--quick] [--engine ENGINE] [--model MODEL] [--shape 4x256]

For each engine, precision, model, shape and number of instances: the resident memory at its peak,
predicted and measured; whether the deployment runs in a memory control group with the predicted
limit, from files that are not in the page cache; and whether four fifths of it kill it. Where it
lives there, the table says how much of its files a later call reads from the disk again, in the
limit and in four fifths of it. Every process is a fresh one. It needs the right to make control
groups (root).

48 cells of three fresh deployments each: about 20 minutes on two idle cores once the exports are
cached. It took twice as long beside other programs, which do not change bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from honed import artifacts
from honed.case import Case
from honed.plain import to_plain
from honed.plan import plan
from honed.plan.deployment import Deployment
from honed.run import build, parent, prepare
from honed.run.job import Job, Prepared
from honed.workers.seat import seats
from tests.memory_groups import memory_group

MIB = 2**20
ENGINES = ("torch", "onnxruntime", "openvino")
MODELS = ("bert-base-uncased", "minilm")
SHAPES = ((1, 128), (8, 128))
SHARE = 0.8  # of the limit, that should not be enough
_PLENTY_BYTES = 16 * 2**30
_MANY_TOKENS = 3000  # so many words touch most pages of mapped embeddings
_WAIT_S = 240


@dataclass
class Tally:
    """What became of all cells. `errors` are predicted over measured, less 1."""

    errors: list[float] = field(default_factory=list)
    ran: list[bool] = field(default_factory=list)
    killed: list[bool] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small model, one shape")
    parser.add_argument("--engine", action="append", help="only these engines")
    parser.add_argument("--precision", action="append", help="only these precisions")
    parser.add_argument("--model", action="append", help="only these models")
    parser.add_argument("--shape", action="append", help="only these shapes: 4x256")
    parser.add_argument("--no-kill", action="store_true", help="leave the groups out")
    asked = parser.parse_args()
    models = ("minilm",) if asked.quick else asked.model or MODELS
    shapes = SHAPES[:1] if asked.quick else [*map(_shape, asked.shape or ())] or SHAPES
    engines, precisions = asked.engine or ENGINES, asked.precision or ("fp32", "int8")
    tally = Tally()
    began = time.perf_counter()
    print(f"{'cell':52} predicted  measured   error  private: loading calling |  limit  runs "
          "killed below", flush=True)  # fmt: skip
    for model in models:
        for found in _planned(model, engines, precisions, shapes):
            _cell(found, tally, kills=not asked.no_kill)
    _summarise(tally, time.perf_counter() - began)


def _cell(found: Deployment, tally: Tally, *, kills: bool) -> None:
    case = found.case
    prepared = _prepared(case)
    used = _in_group(case, prepared, _PLENTY_BYTES, _MANY_TOKENS)
    assert used is not None, f"{case.label()} does not run at all"
    private = [max(one["load_anon"], one["anon"]) for one in used]
    measured = sum(private) + max(one["file"] for one in used)
    error = found.resident_peak_bytes / measured - 1
    tally.errors.append(error)
    ran = killed = None
    read = ""
    if kills:
        _forget_files(case, prepared)
        inside = _in_group(case, prepared, found.limit_bytes)
        _forget_files(case, prepared)
        below = _in_group(case, prepared, int(SHARE * found.limit_bytes))
        ran, killed = inside is not None, below is None
        tally.ran.append(ran)
        tally.killed.append(killed)
        if inside is not None and below is not None:
            each = (sum(one["read"] for one in used) / MIB for used in (inside, below))
            read = " a call reads {:.0f} MiB, and below {:.0f} MiB".format(*each)
    label = f"{case.label()} x{case.instances}"
    n = case.instances
    print(
        f"{label:52} {found.resident_peak_bytes / MIB:8.1f}  {measured / MIB:8.1f} {error:+7.1%}  "
        f"{found.loading_bytes / n / MIB:.0f}/{used[0]['load_anon'] / MIB:.0f} "
        f"{found.calling_bytes / n / MIB:.0f}/{used[0]['anon'] / MIB:.0f} "
        f"file {found.file_bytes / MIB:.0f}/{used[0]['file'] / MIB:.0f} | "
        f"{found.limit_bytes / MIB:6.0f}  {_word(ran)}  "
        f"{_word(killed)}{read}",
        flush=True,
    )


def _shape(text: str) -> tuple[int, int]:
    batch_size, length = text.split("x")
    return int(batch_size), int(length)


def _word(answer: bool | None) -> str:
    return "-   " if answer is None else "yes " if answer else "no  "


def _planned(
    model: str, engines: Sequence[str], precisions: Sequence[str], shapes: Sequence[Any]
) -> list[Deployment]:
    """The predictions, from records that hold engines without a model, and no others."""
    found: list[Deployment] = []
    for batch_size, length in shapes:
        found += plan(
            model=model, backend=[*engines], precision=[*precisions], instances=[1, 2], threads=1,
            batch_size=batch_size, sequence_length=length,
        ).deployments  # fmt: skip
    return sorted(found, key=lambda each: (each.case.backend, each.case.precision))


def _prepared(case: Case) -> Prepared:
    """The model, its inputs and its export, made before anything is measured."""
    prepared = prepare.ready(case)
    if prepared is None:
        prepared = parent._prepare(case, lambda _: None)
    if _export_of(case) not in _EXPORTED:
        _in_group(case.replace(instances=1), prepared, _PLENTY_BYTES)
    return prepared


def _in_group(
    case: Case, prepared: Prepared, limit_bytes: int, tokens: int = 0
) -> list[dict[str, int]] | None:
    """What each process took in a group with this limit, in calls of at least so many tokens; None
    if the kernel killed one."""
    with memory_group(limit_bytes) as group, ExitStack() as stack:
        if group is None:
            sys.exit("this user may not make memory control groups: run as root")
        places = seats(case)
        join = f'echo $$ > {group / "cgroup.procs"}; exec "$@"'
        running = []
        for launch in parent.launches(case, places):
            words = ["sh", "-c", join, "sh", sys.executable, "-m", "benchmarks._deployed"]
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                stderr=subprocess.DEVNULL, env=dict(launch.environment),
            )  # fmt: skip
            stack.callback(_end, process)
            timer = threading.Timer(_WAIT_S, process.kill)
            timer.start()
            stack.callback(timer.cancel)
            assert process.stdin is not None
            job = Job("measure", case, launch.seat, prepared)
            process.stdin.write(json.dumps(to_plain(job)) + "\n")
            process.stdin.flush()
            running.append(process)
        lines = [_line(process) for process in running]
        if not all(lines):
            return None
        _EXPORTED.add(_export_of(case))
        for process in running:
            _tell(process, tokens)
        lines = [_line(process) for process in running]
        return [json.loads(line) for line in lines] if all(lines) else None


_EXPORTED: set[tuple[str, str, str]] = set()


def _export_of(case: Case) -> tuple[str, str, str]:
    return case.model, case.backend, case.precision


def _line(process: subprocess.Popen[str]) -> str:
    """The process's next line; empty if it was killed."""
    assert process.stdout is not None
    for line in process.stdout:  # libraries print too
        if line.startswith(("loaded", "{")):
            return line
    return ""


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(BrokenPipeError):  # what it did not read any more
        process.communicate()


def _tell(process: subprocess.Popen[str], tokens: int) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # if it was killed, its missing line tells
        process.stdin.write(f"{tokens}\n")
        process.stdin.flush()


def _forget_files(case: Case, prepared: Prepared) -> None:
    """Drop the weights from the page cache, so that the group is charged for what it reads."""
    request = build.request_of(Job("measure", case, seats(case)[0], prepared))
    about = build._about(request)
    folders = [prepared.checkpoint.folder]
    if about and (export := artifacts.find("export", artifacts.content_key(about))):
        folders.append(export)
    for path in (p for folder in folders for p in folder.rglob("*") if p.is_file()):
        if path.stat().st_size > MIB:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _summarise(tally: Tally, took_s: float) -> None:
    worst = max(tally.errors, key=abs)
    close = sum(abs(error) <= 0.1 for error in tally.errors)
    print(f"{close} of {len(tally.errors)} within 10 %; the largest difference is {worst:+.1%}")
    if tally.killed:
        print(f"{sum(tally.ran)} of {len(tally.ran)} run in a group with the predicted limit")
        print(f"{sum(tally.killed)} of {len(tally.killed)} are killed in {SHARE:.0%} of it")
    print(f"{took_s / 60:.1f} minutes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HONED_STORE"] = f"sqlite:///{folder}/records.db"
        main()
