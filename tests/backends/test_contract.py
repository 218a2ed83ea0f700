"""What every backend owes, run against each one found in the room: a newcomer joins by its file.

Each is tried in every precision and with every value of its knobs, one at a time. What it reads
from the environment when it is imported is tried in a process that was started so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import artifacts
from honed.backends.base import Backend, LoadRequest, Step, load_backend, survey_backends, traits
from honed.case import PRECISIONS, Case
from honed.errors import UnsupportedError, UsageError
from honed.instruments.fidelity import compare, complaint
from honed.knob import AVAILABLE, Span, SpawnEffect
from honed.machine.spawn import fold
from honed.models.checkpoint import Checkpoint, ModelRequest, materialise
from honed.models.inputs import random_inputs
from honed.run.parent import measure

# Those of other environments are tried by test_plugins.py, as far as they can be here.
HERE = [n for n in survey_backends().working if not traits(n).environment]
BATCH, LENGTH = 2, 12
CHOSEN = "HONED_CONTRACT_SETTINGS"


def model_of(name: str) -> str:
    return "tiny" if load_backend(name).REFERENCE == name == "fake" else "tiny-bert"


def checkpoint(name: str, task: str = "auto") -> Checkpoint:
    return materialise(ModelRequest(model_of(name), task=task))


def request(name: str, **changes: Any) -> LoadRequest:
    case = Case(model=model_of(name), backend=name).replace(**changes)
    return LoadRequest(case, checkpoint(name, case.task), 1)


def opened(ask: LoadRequest) -> tuple[Backend, Step]:
    backend = load_backend(ask.case.backend)
    backend.start()
    about = backend.artifact(ask)
    folder = None
    if about is not None:
        about = {"backend": ask.case.backend, **about}
        folder = artifacts.make("export", about, lambda empty: backend.build(ask, empty))
    return backend, backend.load(ask, folder)


@cache
def shared(name: str, changes: str) -> tuple[LoadRequest, Step]:
    """One step for all tests of a setting (JSON): some take long to compile."""
    ask = request(name, batch_size=BATCH, sequence_length=LENGTH, **json.loads(changes))
    return ask, opened(ask)[1]


def knob_settings(name: str) -> list[dict[str, Any]]:
    """Every knob value that is possible here, one at a time, with what it needs beside it."""
    found = [
        allowed(name, {knob.name: value})
        for knob in load_backend(name).KNOBS
        if name != "fake" and not isinstance(knob.values, Span)
        for value in knob.values
        if (knob.available_value or (lambda _: AVAILABLE))(value).ok
    ]
    return list({repr(changes): changes for changes in found}.values())


def allowed(name: str, knobs: dict[str, Any]) -> dict[str, Any]:
    """The first setting with these knobs that the backend does not refuse: plainly in fp32, else
    in another precision, else beside one value of one other knob."""
    backend = load_backend(name)
    beside = [
        {knob.name: value}
        for knob in backend.KNOBS
        if knob.name not in knobs and not isinstance(knob.values, Span) and knob.phase == "load"
        for value in reversed(knob.values)  # those that build least come last
    ]
    for other in ({}, *beside):
        for precision in backend.PRECISIONS:
            changes: dict[str, Any] = {"precision": precision, "knobs": {**knobs, **other}}
            try:
                backend.check(Case(model="m", backend=name, **changes))
            except UnsupportedError:
                continue
            return changes
    raise AssertionError(f"{knobs} is refused whatever stands beside it")


def environment_of(name: str, changes: dict[str, Any]) -> dict[str, str]:
    """What the setting needs in the environment before the process starts; mostly nothing."""
    knobs = {knob.name: knob for knob in load_backend(name).KNOBS}
    return fold(changes.get("knobs", {}), {}, knobs).environment


def in_own_process() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The settings that need another environment, by backend and that environment."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name in HERE:
        for changes in knob_settings(name):
            if environment := environment_of(name, changes):
                found.setdefault((name, json.dumps(environment)), []).append(changes)
    return found


def settings() -> list[Any]:
    """Every backend x precision, plainly; and, in fp32, every knob value that is possible here.

    A process that was started for some settings tries those alone.
    """
    chosen = json.loads(os.environ.get(CHOSEN, "null"))
    found = []
    for name in HERE:
        plain = [{"precision": p} for p in load_backend(name).PRECISIONS]
        plain += [s for s in knob_settings(name) if not environment_of(name, s)]
        if chosen is not None:
            plain = chosen.get(name, [])
        marks = () if name == "fake" else (pytest.mark.engine,)
        found += [
            pytest.param(name, s, marks=marks, id=f"{name}-{s['precision']}-{s.get('knobs', '')}")
            for s in plain
        ]
    return found


each_setting = pytest.mark.parametrize(("name", "changes"), settings())
each_backend = pytest.mark.parametrize("name", HERE)


@each_setting
def test_outputs_match_the_reference(name: str, changes: dict[str, Any]) -> None:
    ask, step = shared(name, json.dumps(changes))
    _, reference = shared(load_backend(name).REFERENCE, "{}")
    batch = random_inputs(ask.checkpoint, BATCH, LENGTH, seed=3).batches[0]
    wanted = reference.outputs(reference.run(reference.prepare(batch)))
    feed = step.prepare(batch)
    got = step.outputs(step.run(feed))
    assert set(got) == set(wanted)
    for name_of, array in got.items():
        assert isinstance(array, np.ndarray)
        assert array.dtype.kind == "f"
        assert array.shape == np.asarray(wanted[name_of]).shape
    judged = compare(wanted, got, ask.case.precision)
    assert not complaint(judged)


@each_setting
def test_settings_are_read_back(name: str, changes: dict[str, Any]) -> None:
    ask, step = shared(name, json.dumps(changes))
    step.run(step.prepare(random_inputs(ask.checkpoint, BATCH, LENGTH, seed=0).batches[0]))
    told = step.read_back()
    assert told["precision"] == ask.case.precision
    assert told["device"] == "cpu"
    assert told["threads"] == 1
    for knob, value in ask.case.knobs.items():
        assert told[knob] == value


@each_setting
def test_weights_and_tensors_are_counted(name: str, changes: dict[str, Any]) -> None:
    ask, step = shared(name, json.dumps(changes))
    feed = step.prepare(random_inputs(ask.checkpoint, BATCH, LENGTH, seed=0).batches[0])
    assert 0 < step.weights_bytes <= ask.checkpoint.weights_bytes * 1.05
    peak = step.tensor_peak_bytes(feed)
    assert peak is None or peak > step.weights_bytes
    assert step.device_memory(feed) == {}


@pytest.mark.engine
@pytest.mark.skipif(CHOSEN in os.environ, reason="this is that process")
@pytest.mark.parametrize(
    ("name", "environment"), in_own_process(), ids=lambda part: part.strip("{}")
)
def test_settings_of_a_process_hold_in_one_started_with_them(name: str, environment: str) -> None:
    """What an engine reads when it is imported: the tests above, where it has been set."""
    chosen = json.dumps({name: in_own_process()[name, environment]})
    tests = [test_outputs_match_the_reference, test_settings_are_read_back,
             test_weights_and_tensors_are_counted]  # fmt: skip
    said = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"{__file__}::{test.__name__}" for test in tests)],
        env={**os.environ, **json.loads(environment), CHOSEN: chosen},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout[-3000:]


@each_backend
@pytest.mark.engine
def test_other_shapes_run_on_the_same_step(name: str) -> None:
    ask = request(name)
    _, step = opened(ask)
    for batch_size, length in ((1, 5), (3, 9), (2, 16)):
        batch = random_inputs(ask.checkpoint, batch_size, length, seed=1).batches[0]
        outputs = step.outputs(step.run(step.prepare(batch)))
        assert all(len(array) == batch_size for array in outputs.values())


@pytest.mark.parametrize("name", [n for n in HERE if n != "fake"])
@pytest.mark.engine
def test_padding_changes_nothing(name: str) -> None:
    """Not asked of the fake, which hashes ids and has no attention to mask."""
    ask = request(name)
    _, step = opened(ask)
    short = random_inputs(ask.checkpoint, 1, 6, seed=2).batches[0]
    padded = {k: np.pad(v, ((0, 0), (0, 4))) for k, v in short.items()}
    plain = step.outputs(step.run(step.prepare(short)))["embedding"]
    masked = step.outputs(step.run(step.prepare(padded)))["embedding"]
    np.testing.assert_allclose(plain, masked, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in HERE if n != "fake"])
@pytest.mark.engine
def test_another_allocator_may_be_preloaded(name: str) -> None:
    """An engine that opens a library so that it keeps the old allocator dies of it."""
    case = Case(
        model=model_of(name), backend=name, sequence_length=LENGTH, memory=False,
        duration_s=0.1, warmup_s=0.1, min_samples=3, knobs={"allocator": "jemalloc"},
    )  # fmt: skip
    record = measure(case)
    assert record.status == "ok", record.error


@each_backend
def test_unknown_precisions_are_refused_before_anything_loads(name: str) -> None:
    backend = load_backend(name)
    for precision in set(PRECISIONS) - set(backend.PRECISIONS):
        with pytest.raises(UnsupportedError) as refused:
            backend.check(Case(model="m", backend=name, precision=precision))
        assert refused.value.hint


@each_backend
def test_the_artifact_is_named_by_what_decides_it(name: str) -> None:
    backend = load_backend(name)
    first = backend.artifact(request(name))
    if first is None:
        return
    assert first == backend.artifact(request(name))
    # Precisions may share one: that each still computes what it says, the tests above tell.
    other = backend.artifact(request(name, task="sequence-classification"))
    assert first != other


@each_backend
def test_it_describes_itself(name: str) -> None:
    backend = load_backend(name)
    assert backend.HELP
    assert backend.EXTRA
    assert backend.PRECISIONS[0] == "fp32"
    assert backend.available().ok
    assert backend.versions()
    for knob in backend.KNOBS:
        assert knob.owner == name
        assert knob.help
        if knob.phase == "spawn":
            assert not isinstance(knob.values, Span)
            assert all(knob.spawn(value) != SpawnEffect() for value in knob.values)


@each_backend
def test_importing_it_imports_no_framework(name: str) -> None:
    code = (
        f"import sys, honed.backends.{name}\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'onnx', 'tensorflow', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() in ("[]", "['numpy']")


def test_an_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        load_backend("onnx")
    assert "onnxruntime" in refused.value.hint


def test_a_new_file_is_a_new_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file touched: put beside the others it is found, by no other change."""
    import honed.backends
    import honed.discovery

    source = Path(honed.backends.__file__).with_name("fake.py").read_text()
    (tmp_path / "newcomer.py").write_text(source)
    found = honed.discovery.names.__wrapped__
    monkeypatch.setattr(honed.backends, "__file__", str(tmp_path / "__init__.py"))
    assert found("honed.backends") == ("newcomer",)
