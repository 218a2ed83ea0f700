"""Which knobs reach a worker before its first instruction."""

from __future__ import annotations

import pytest

from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability, Knob, SpawnEffect
from honed.run import parent
from honed.workers.seat import Seat

ENGINES = Knob(
    name="fake.kernels",
    help="h",
    values=("a",),
    phase="spawn",
    available_value=lambda _: Availability(False, "not installed", "pip install it"),
    spawn=lambda value: SpawnEffect({"FAKE_KERNELS": str(value)}),
)


def test_an_engines_own_spawn_phase_knob_reaches_its_worker_only() -> None:
    chosen = Case(model="m", backend="keras", knobs={"keras.onednn": "off", "keras.mode": "jax"})
    environment = parent._environment(chosen, Seat(threads=2))
    assert environment["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert environment["KERAS_BACKEND"] == "jax"
    assert environment["OMP_NUM_THREADS"] == "2"
    other = parent._environment(Case(model="m", backend="fake"), Seat())
    assert "TF_ENABLE_ONEDNN_OPTS" not in other


def test_packages_of_another_interpreter_are_not_judged_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parent, "applicable_knobs", lambda _: {ENGINES.name: ENGINES})
    case = Case(model="m", backend="fake", knobs={ENGINES.name: "a"})
    with pytest.raises(UnsupportedError, match="not installed"):
        parent._environment(case, Seat())
    elsewhere = parent._environment(case.replace(python="/other/python"), Seat())
    assert elsewhere["FAKE_KERNELS"] == "a"
