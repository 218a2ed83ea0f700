"""A fake engine for tests: instant, deterministic, without a framework; it fails on request."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from honed.backends.base import (
    Batch,
    Delivery,
    LoadRequest,
    Outputs,
    SelfCheck,
    Step,
    Traits,
    refuse,
)
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError
from honed.files import copy_files
from honed.knob import AVAILABLE, Availability, Knob, Span, Value
from honed.profile import OperatorEvent
from honed.step import FORWARD, PHASES, Phased, StepKind

HELP = "a fake, for tests and demonstrations of honed itself"
EXTRA = "fake"
REFERENCE = "fake"
PRECISIONS = ("fp32", "bf16", "int8")
TRAITS = Traits(hidden=True, calibrated=("int8",), steps=tuple(StepKind))

LATENCY = Knob("fake.latency_us", "how long a call takes", Span(0, 10_000_000))
ALLOCATE = Knob("fake.allocate_kib", "memory that a call allocates and frees", Span(0, 2**24))
SEQUENCE = Knob("fake.sequence_kib", "memory that each sequence of a call takes besides",
                Span(0, 2**24))  # fmt: skip
FAIL = Knob("fake.fail", "how it fails",
            ("raise", "crash", "hang", "hang-load", "oom", "memory-error", "kill", "diverge",
             "not-finite", "lie", "print"))  # fmt: skip
NOISE = Knob("fake.noise_percent", "error of its outputs, relative to their size", Span(0, 1000))
DRIFT = Knob("fake.drift_percent", "how much of a text's vector is its batch's", Span(0, 100))
BUILD = Knob("fake.build", "whether it builds an artifact first, and how that ends",
             ("ok", "raise", "kill"))  # fmt: skip
POISON = Knob("fake.poison", "how it fails when a batch holds a real token 0",
              ("raise", "kill", "hang", "not-finite"))  # fmt: skip
KNOBS = (LATENCY, ALLOCATE, SEQUENCE, FAIL, NOISE, DRIFT, BUILD, POISON)

_WIDTH = 16  # of the vectors that it returns


def available() -> Availability:
    return AVAILABLE


def versions() -> Mapping[str, str]:
    return {"fake": "1"}


def check(case: Case) -> None:
    refuse(case, "fake", PRECISIONS)


def start() -> None:
    import numpy  # noqa: F401


def artifact(request: LoadRequest) -> Mapping[str, Any] | None:
    how = request.case.get("fake.build")
    if not how:
        return None
    about = {"checkpoint": request.checkpoint.key, "build": how}
    calibrated = request.case.precision in TRAITS.calibrated
    return about | ({"calibration": request.calibration_key} if calibrated else {})


def build(request: LoadRequest, folder: Path) -> None:
    how = request.case.get("fake.build")
    (folder / "half").write_text("half")
    if how == "raise":
        raise RuntimeError("the exporter met an operator that it does not know")
    if how == "kill":
        os.kill(os.getpid(), 9)
    (folder / "whole").write_text(request.calibration_key)


def check_delivery(case: Case) -> None:
    """The delivered file computes the vectors alone, and neither spoils nor delays them."""
    for knob in (FAIL, NOISE, DRIFT, POISON):
        if (value := case.get(knob.name)) is not None:
            message = f"{knob.name}={value} is not delivered"
            raise UnsupportedError(message, f"leave {knob.name} out")


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    if artifact is not None:
        copy_files(artifact, folder, "whole")
    (folder / "width").write_text(str(_WIDTH))
    engine = Path(__file__).with_name("_delivered_fake.py")
    return Delivery(engine, {"threads": request.threads or 1}, ("numpy",), "import numpy")


def load(request: LoadRequest, artifact: Path | None) -> FakeStep:
    whole = None if artifact is None else artifact / "whole"
    if whole is not None and _calibrated_on(whole) != request.calibration_key:
        raise RuntimeError("the artifact was calibrated on something else")
    if request.case.get("fake.fail") == "hang-load":
        time.sleep(3600)
    return FakeStep(request)


def _calibrated_on(whole: Path) -> str:
    """A delivered folder may hold the files of a fake that built nothing."""
    return whole.read_text() if whole.is_file() else ""


class FakeStep(Step):
    """Waits for `fake.latency_us`, then hashes ids into vectors."""

    def __init__(self, request: LoadRequest) -> None:
        self.case = request.case
        self.kind = request.step
        self.weights_bytes = request.model.weights_bytes if request.model else 0
        self.threads = request.threads
        self.sleep_s = int(self.case.get("fake.latency_us") or 200) / 1e6
        each_kib = int(self.case.get("fake.sequence_kib") or 0) * self.case.batch_size
        self.allocate_bytes = (int(self.case.get("fake.allocate_kib") or 0) + each_kib) * 1024
        self.fail = self.case.get("fake.fail")
        self.poison = self.case.get("fake.poison")
        self.noise = int(self.case.get("fake.noise_percent") or 0) / 100
        self.drift = int(self.case.get("fake.drift_percent") or 0) / 100
        calibrated = self.case.precision in TRAITS.calibrated
        self.calibration = request.read_back_calibration(used=calibrated)

    def prepare(self, batch: Batch) -> Any:
        return batch

    def run(self, feed: Any) -> Any:
        import numpy as np

        if self.fail is not None:
            _misbehave(str(self.fail))
        block = None
        if self.allocate_bytes:
            block = np.ones(self.allocate_bytes, dtype=np.uint8)
        end = time.perf_counter() + self.sleep_s
        while time.perf_counter() < end:
            time.sleep(0)
        del block
        if self.kind is not StepKind.FORWARD:
            return self._phased()
        vectors = _vectors(feed["input_ids"], feed["attention_mask"])
        if self.poison is not None:
            _poison(str(self.poison), feed, vectors)
        if self.drift:
            vectors += self.drift * (vectors.mean(axis=0) - vectors)
        return vectors

    def _phased(self) -> Phased:
        """As if each phase that runs took as long."""
        last = self.case.get("until") or PHASES[-1]
        run = PHASES[: PHASES.index(str(last)) + 1]
        return Phased(dict.fromkeys(run, int(self.sleep_s * 1e9) // len(run)), loss=1.0)

    def self_check(self) -> SelfCheck | None:
        import numpy as np

        if self.kind is StepKind.FORWARD:
            return None
        wrong = np.array([[1.0, -1.0]])
        return SelfCheck({"gradient": wrong if self.fail == "diverge" else -wrong},
                         {"gradient": -wrong}, "the fake fp32")  # fmt: skip

    def profile(self, feed: Any) -> Sequence[OperatorEvent]:
        """Two operators, which share the time of a call."""
        self.run(feed)
        half = self.sleep_s / 2
        return (
            OperatorEvent("hash", "layers.0", FORWARD, 0.0, half, half, 0, 1000, 8),
            OperatorEvent("mean", "pool", FORWARD, half, half, half),
        )

    def outputs(self, raw: Any) -> Outputs:
        if self.fail == "diverge":
            return {"embedding": raw[:, ::-1].copy()}
        if self.fail == "not-finite":
            return {"embedding": raw * float("nan")}
        return {"embedding": raw + self.noise * _noise(raw) if self.noise else raw}

    def tensor_peak_bytes(self, feed: Any) -> int | None:
        inputs = sum(int(a.nbytes) for a in feed.values())
        return self.weights_bytes + inputs + self.allocate_bytes

    def read_back(self) -> Mapping[str, Value | None]:
        return {
            "threads": self.threads or 1,
            "precision": "fp16" if self.fail == "lie" else self.case.precision,
            "device": "cpu",
            "calibration": self.calibration,
            **({"until": self.case.get("until")} if self.kind is not StepKind.FORWARD else {}),
            **{k.name: self.case.get(k.name) for k in KNOBS},
        }

    def close(self) -> None:
        """It holds nothing."""


def _vectors(ids: Any, mask: Any) -> Any:
    """[batch, length] ids -> [batch, 16] vectors of the real tokens, the same on every machine."""
    import numpy as np

    phases = np.arange(1, _WIDTH + 1)
    waves = np.sin(ids[:, :, None] * phases / 7.0) * mask[:, :, None]
    return (waves.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]).astype(np.float32)


def _noise(vectors: Any) -> Any:
    """Noise as large as the vectors, in a direction that each vector decides."""
    import numpy as np

    turned = np.sin(vectors * 1e4).astype(np.float32)
    sizes = [np.linalg.norm(v, axis=-1, keepdims=True) for v in (vectors, turned)]
    return turned * sizes[0] / np.maximum(sizes[1], 1e-9)


def _poison(how: str, feed: Any, vectors: Any) -> None:
    """Fail if a row has a real token 0, which honed's own inputs never have."""
    poisoned = ((feed["input_ids"] == 0) & (feed["attention_mask"] == 1)).any(axis=1)
    if not poisoned.any():
        return
    if how == "not-finite":
        vectors[poisoned] = float("nan")
    else:
        _misbehave(how)


def _misbehave(how: str) -> None:
    if how == "raise":
        raise RuntimeError("the engine met a shape that it cannot run")
    if how == "crash":
        os.abort()
    if how == "hang":
        time.sleep(3600)
    if how == "oom":
        raise OutOfMemoryError("the engine could not allocate", "use a smaller batch_size")
    if how == "memory-error":
        raise MemoryError("cannot allocate 10 TiB")
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "print":
        print("a noisy library", flush=True)  # noqa: T201
        warnings.warn("a noisy library", stacklevel=1)
        os.write(2, b"a noisy library in C++\n")
