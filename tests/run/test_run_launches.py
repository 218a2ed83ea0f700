"""How a worker starts: its environment holds its own knobs, and no other engine's."""

from __future__ import annotations

from typing import Any

import pytest

from honed.backends import base
from honed.case import Case
from honed.errors import UnsupportedError
from honed.run.parent import launches
from honed.workers.seat import Seat


def environment(seat: Seat, **settings: Any) -> dict[str, str]:
    (launch,) = launches(Case(model="m", **settings), [seat])
    return dict(launch.environment)


def test_an_engines_spawn_phase_knob_reaches_its_worker_only() -> None:
    knobs = {"keras.onednn": "off", "keras.mode": "jax"}
    of_keras = environment(Seat(threads=2), backend="keras", knobs=knobs)
    assert of_keras["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert of_keras["KERAS_BACKEND"] == "jax"
    assert of_keras["OMP_NUM_THREADS"] == "2"
    assert "TF_ENABLE_ONEDNN_OPTS" not in environment(Seat(), backend="fake")


def test_every_seat_gets_a_pool_of_its_size() -> None:
    case = Case(model="m", backend="fake")
    started = launches(case, [Seat(threads=3), Seat(index=1, threads=1)])
    assert [launch.environment["OMP_NUM_THREADS"] for launch in started] == ["3", "1"]


def test_packages_of_another_interpreter_are_not_judged_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """jax may be missing here and installed there."""
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    settings: dict[str, Any] = {"backend": "keras", "knobs": {"keras.mode": "jax"}}
    with pytest.raises(UnsupportedError, match="jax"):
        environment(Seat(), **settings)
    assert environment(Seat(), python="/other/python", **settings)["KERAS_BACKEND"] == "jax"
