"""Variables of the shell that move or limit threads: what they are, and doctor names them."""

from __future__ import annotations

import os

import pytest

from honed.machine import doctor, thread_variables

MOVING = (
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "MKL_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_PLACES",
    "OMP_THREAD_LIMIT",
    "OPENBLAS_NUM_THREADS",
    "ORT_INTRA_OP_NUM_THREADS",
    "TBB_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
OTHERS = ("HOME", "KMP_INIT_AT_FORK", "LD_PRELOAD", "OMP_DISPLAY_ENV", "TF_ENABLE_ONEDNN_OPTS")


def test_what_moves_threads_is_taken_away_and_the_rest_stays() -> None:
    shell = dict.fromkeys((*MOVING, *OTHERS), "1")
    assert tuple(thread_variables.inherited(shell)) == MOVING
    assert tuple(thread_variables.without(shell)) == OTHERS


@pytest.mark.parametrize(
    ("flags", "moves"), [("--xla_cpu_multi_thread_eigen=false", True), ("--xla_dump_to=x", False)]
)
def test_xla_flags_are_judged_by_their_words(flags: str, moves: bool) -> None:
    assert bool(thread_variables.inherited({"XLA_FLAGS": flags})) is moves


def test_doctor_names_the_variables_and_how_to_remove_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in thread_variables.inherited(os.environ):  # engines of other tests set some
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    monkeypatch.setenv("GOMP_CPU_AFFINITY", "0")
    (advice,) = [w for w in doctor.examine().warnings if w.kind == "variables"]
    assert "OMP_THREAD_LIMIT=1" in advice.message
    assert "GOMP_CPU_AFFINITY=0" in advice.message
    assert advice.fix == "unset GOMP_CPU_AFFINITY OMP_THREAD_LIMIT"
