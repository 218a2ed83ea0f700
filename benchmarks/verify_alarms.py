"""Does `verify` find each planted fault, and does it alarm at an untouched folder?

    python -m benchmarks.verify_alarms [RUNS] [--quick]

A real MiniLM is exported for ONNX Runtime in int8 with a preloaded allocator. `verify` then checks
the folder 20 times; an alarm is exit code 1. After that it checks copies with a fault: a changed
byte of the weights, another number of threads, a library that is not preloaded, another version
of the engine. It needs a quiet machine and takes about 20 minutes; --quick checks twice, with one
round of speed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.bare import _minilm
from honed.case import Case
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.phase import ignore_phase


def run(folder: Path, rounds: int) -> tuple[int, list[dict[str, str]]]:
    """The exit code of the folder's own script, and its promises."""
    command = [sys.executable, str(folder / "verify.py"), "--json", "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def changed_byte(folder: Path) -> None:
    weights = max((folder / "model").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x40
    weights.write_bytes(content)


def _settings(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the settings, and the checksums with them, as someone would who means it."""
    settings = json.loads((folder / "settings.json").read_text())
    change(settings)
    (folder / "settings.json").write_text(json.dumps(settings))
    write.write_checksums(folder)


def other_threads(folder: Path) -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["engine"]["attributes"]["intra_op_num_threads"] = 2

    _settings(folder, change)


def no_preload(folder: Path) -> None:
    _settings(folder, lambda settings: settings["environment"].pop("LD_PRELOAD"))


def other_version(folder: Path) -> None:
    def change(settings: dict[str, Any]) -> None:
        settings["packages"] = dict.fromkeys(settings["packages"], "0.1")

    _settings(folder, change)


FAULTS: dict[Callable[[Path], None], str] = {
    changed_byte: "files", other_threads: "threads", no_preload: "preload",
    other_version: "packages",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=20)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    runs, rounds = (2, 1) if arguments.quick else (arguments.runs, verify.ROUNDS)
    case = Case(
        model=_minilm(), backend="onnxruntime", precision="int8", sequence_length=64, threads=1,
        knobs={"allocator": "jemalloc"},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "deployed"
        with patch.object(verify, "ROUNDS", rounds):
            exported = write.export(case, None, folder, ignore_phase)
        print(f"promised gain {exported.gain}", flush=True)
        codes = Counter[int]()
        for index in range(runs):
            code, promises = run(folder, rounds)
            codes[code] += 1
            kept = [p for p in promises if p["name"] == "speed" or p["verdict"] != verify.HOLDS]
            shown = "; ".join(f"{p['name']} {p['verdict']}: {p['message']}" for p in kept)
            print(f"{index + 1:3}  exit {code}  {shown}", flush=True)
        print(f"{codes[1]} alarms and {codes[3]} undecided in {runs} clean runs")
        missed = 0
        for plant, promise in FAULTS.items():
            copy = shutil.copytree(folder, Path(place) / plant.__name__)
            plant(copy)
            code, promises = run(copy, 0)
            found = [p["name"] for p in promises if p["verdict"] == verify.BROKEN]
            missed += code != 1 or promise not in found
            print(f"{plant.__name__:14} exit {code}, broken: {', '.join(found) or 'nothing'}")
    sys.exit(0 if arguments.quick or (not missed and not codes[1]) else 1)


if __name__ == "__main__":
    main()
