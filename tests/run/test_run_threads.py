"""Proof of threads: what the kernel and the work of a call say of the threads of an instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honed.case import Case
from honed.machine import limits
from honed.run import parent
from honed.run.passes.proofs import Part, _unproven_threads
from honed.workers.seat import Seat

TWO = Seat(threads=2, cpus=(0, 1))
LARGE, SMALL = 10**10, 10**6


def part(running: int, busy: int, apart: int, flops: int | None = LARGE, **read_back: Any) -> Part:
    return Part((0, 1), None, running, 1.0, (0,), {"threads": 2} | read_back, busy, apart, flops)


@pytest.mark.parametrize(
    ("seat", "found", "sentence"),
    [
        (TWO, part(2, 2, 2), None),
        (TWO, part(3, 3, 2), "3 were running"),
        # Both threads are bound to one core, however small the model is.
        (TWO, part(2, 2, 1), "2 busy threads run on 1 of 2 CPUs"),
        (TWO, part(2, 2, 1, SMALL), "2 busy threads run on 1 of 2 CPUs"),
        # One thread of two has work: the model is too small for two, or something limits them.
        (TWO, part(1, 1, 1, SMALL), None),
        (TWO, part(1, 1, 1, None), None),
        (TWO, part(1, 1, 1), "only 1 had work"),
        # On a loaded machine a thread may want to run and not get a core.
        (TWO, part(1, 2, 2), None),
        # Engines whose submitting thread takes turns with the pool: more threads than asked for.
        (TWO, part(2, 3, 2), None),
        # oversubscribe=true: more threads than cores were asked for.
        (Seat(threads=4, cpus=(0, 1)), part(4, 4, 2), None),
        # Nothing was asked for, so nothing can be missing.
        (Seat(), part(1, 1, 1), None),
    ],
)
def test_threads_are_judged_by_affinity_and_by_the_work_of_a_call(
    seat: Seat, found: Part, sentence: str | None
) -> None:
    sentences = _unproven_threads(seat, found)
    assert len(sentences) == (sentence is not None)
    assert sentence is None or sentence in sentences[0]


# Each would put both threads on one core, or leave one thread.
INHERITED = {
    "GOMP_CPU_AFFINITY": "0",
    "KMP_AFFINITY": "granularity=fine,proclist=[0],explicit",
    "OMP_PLACES": "{0}",
    "OMP_PROC_BIND": "true",
    "OMP_THREAD_LIMIT": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in INHERITED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("inherited")
def test_a_worker_inherits_no_variable_that_moves_its_threads() -> None:
    knobs = {"omp_wait": "passive"}
    (launch,) = parent.launches(Case(model="m", backend="fake", knobs=knobs), [TWO])
    ours = {k: v for k, v in launch.environment.items() if k.startswith(("OMP", "GOMP", "MKL"))}
    assert ours == {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose calls have work for two threads in every engine."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("model") / "bert"
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 1024}
    BertModel(BertConfig(vocab_size=1000, num_attention_heads=4, **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.engine
@pytest.mark.skipif(limits.read().effective_count < 2, reason="needs two cores")
@pytest.mark.usefixtures("inherited")
@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino", "keras", "ctranslate2"])
def test_no_engine_follows_what_the_shell_says_of_threads(model: Path, engine: str) -> None:
    case = Case(
        model=str(model), backend=engine, threads=2, batch_size=8, memory=False,
        duration_s=0.2, min_samples=3, warmup_s=0.5,
    )  # fmt: skip
    record = parent.measure(case)
    assert record.error is None
    assert record.status == "ok"
    assert record.effective is not None
    (found,) = record.effective
    assert found["threads"] == 2
    assert found["threads_apart"] >= 2
