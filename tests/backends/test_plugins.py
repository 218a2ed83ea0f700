"""Plug-ins of torch: their step with a plug-in that changes nothing, since none is installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed.backends import _plugin
from honed.backends._plugin import PluginStep, installed_apart, precision_of
from honed.backends.base import LoadRequest, load_backend, survey_backends, traits
from honed.case import PRECISIONS, Case
from honed.errors import UnsupportedError
from honed.models.checkpoint import ModelRequest
from honed.models.inputs import random_inputs
from honed.models.obtain import materialise
from honed.run.parent import measure

APART = [n for n in survey_backends().working if traits(n).environment]


@pytest.mark.parametrize("name", APART)
def test_it_describes_itself(name: str) -> None:
    backend = load_backend(name)
    assert backend.HELP
    assert backend.PRECISIONS[0] == "fp32"
    assert all(knob.owner == name and knob.help for knob in backend.KNOBS)
    for precision in set(PRECISIONS) - set(backend.PRECISIONS):
        with pytest.raises(UnsupportedError) as refused:
            backend.check(Case(model="m", backend=name, precision=precision))
        assert "precision=" in refused.value.hint


@pytest.mark.parametrize("name", APART)
def test_a_missing_engine_names_the_command_that_installs_it(name: str) -> None:
    here = load_backend(name).available()
    assert not here.ok
    assert here.how.startswith(f"honed env create {name} torch==")
    assert here.how.endswith(f"python={name}")
    assert here.needs
    record = measure(Case(model="tiny", backend=name))
    assert record.status == "unsupported"
    assert record.error is not None
    assert record.error.hint == here.how


def test_what_is_installed_needs_no_environment() -> None:
    assert installed_apart("any", {"json": "json"}, ("json",)).ok
    missing = installed_apart("any", {"json": "json", "no_such_thing": "thing==1"}, ("thing==1",))
    assert (missing.ok, missing.needs) == (False, ("thing==1",))


def request(**changes: Any) -> LoadRequest:
    case = Case(model="tiny-bert", backend="zentorch").replace(**changes)
    return LoadRequest(case, materialise(ModelRequest("tiny-bert")), 1)


def proofs(module: Any, call: Any, ran: Counter[str]) -> dict[str, Any]:
    return {
        "precision": precision_of(module),
        "products": ran["aten::addmm"],
        "called": bool(call),
    }


@pytest.mark.engine
@pytest.mark.parametrize(("precision", "atol"), [("fp32", 1e-5), ("bf16", 0.05)])
def test_the_step_runs_what_the_plug_in_made(precision: str, atol: float) -> None:
    ask = request(precision=precision)
    optimised: list[Any] = []

    def optimise(module: Any, feed: tuple[Any, ...]) -> Any:
        optimised.append(feed)
        return module

    step = PluginStep(ask, optimise, proofs)
    torch = load_backend("torch")
    truth = torch.load(request(backend="torch"), None)
    for batch in random_inputs(ask.checkpoint, 2, 12, seed=3).batches[:2]:
        got = step.outputs(step.run(step.prepare(batch)))
        wanted = truth.outputs(truth.run(truth.prepare(batch)))
        np.testing.assert_allclose(got["embedding"], wanted["embedding"], atol=atol)
    assert len(optimised) == 1
    facts = step.read_back()
    assert facts["precision"] == precision
    assert facts["threads"] == 1
    assert facts["called"]
    assert int(facts["products"] or 0) > 0
    assert 0 < step.weights_bytes <= ask.checkpoint.weights_bytes
    assert step.tensor_peak_bytes(None) is None
    step.close()


def test_a_gpu_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="CPUs only"):
        PluginStep(request(device="cuda"), lambda module, _: module, proofs)


def test_the_file_that_they_share_is_no_backend() -> None:
    assert Path(_plugin.__file__).stem not in survey_backends().working
