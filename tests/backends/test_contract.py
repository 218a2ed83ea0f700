"""What every backend must do, run against each one in the room: a new file joins by itself.

Each engine is tried in every precision and with every value of its knobs, one at a time. Knobs
that an engine reads from the environment on import are tried in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import engine_steps
import numpy as np
import pytest
from engine_steps import outputs

from honed.backends.base import LoadRequest, load_backend, survey_backends, traits
from honed.case import PRECISIONS, Case
from honed.errors import UnsupportedError, UsageError
from honed.instruments.fidelity import compare, complaint
from honed.knob import AVAILABLE, Span, SpawnEffect
from honed.machine.spawn import fold
from honed.models.inputs import random_inputs
from honed.run.parent import measure
from honed.workloads.base import load_workload

# Engines with an environment of their own are tested by test_plugins.py, as far as they can be.
HERE = [n for n in survey_backends().working if not (traits(n).environment or traits(n).remote)]
ENGINES = [n for n in HERE if n != "fake"]
BATCH, LENGTH = 2, 12
CHOSEN = "HONED_CONTRACT_SETTINGS"


def batch_of(name: str, rows: int = BATCH, length: int = LENGTH, seed: int = 3) -> dict[str, Any]:
    model = engine_steps.checkpoint(name)
    return dict(random_inputs(model, rows, length, seed=seed).batches[0])


def knob_settings(name: str) -> list[dict[str, Any]]:
    """Every knob value that is possible here, one at a time, with what it needs beside it.

    Knobs of some workloads belong to other steps: settings_of_workloads has them.
    """
    found = [
        allowed(name, {knob.name: value})
        for knob in load_backend(name).KNOBS
        if name != "fake" and not isinstance(knob.values, Span) and not knob.workloads
        for value in knob.values
        if (knob.available_value or (lambda _: AVAILABLE))(value).ok
    ]
    return list({repr(changes): changes for changes in found}.values())


def allowed(name: str, knobs: dict[str, Any]) -> dict[str, Any]:
    """The first setting with these knobs that the backend accepts: alone in fp32, else in another
    precision, else beside one value of one other knob."""
    backend = load_backend(name)
    beside = [
        {knob.name: value}
        for knob in backend.KNOBS
        if knob.name not in knobs and not isinstance(knob.values, Span) and knob.phase == "load"
        for value in reversed(knob.values)  # the last values build the least
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


def processes() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The settings that need another environment, by backend and environment.

    Settings share a process if their environments agree and one may stand beside another.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name in HERE:
        groups: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        for changes in knob_settings(name):
            needed = environment_of(name, changes)
            if not needed:
                continue
            for environment, members in groups:
                agree = all(environment.get(k, v) == v for k, v in needed.items())
                if agree and any(are_accepted(name, changes, member) for member in members):
                    environment |= needed
                    members.append(changes)
                    break
            else:
                groups.append((needed, [changes]))
        found |= {(name, json.dumps(environment)): members for environment, members in groups}
    return found


def are_accepted(name: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether the backend accepts the knobs of two settings together."""
    try:
        load_backend(name).check(
            Case(model="m", backend=name, knobs={**first["knobs"], **second["knobs"]})
        )
    except UnsupportedError:
        return False
    return True


def settings() -> list[Any]:
    """Every backend x precision, plainly; and, in fp32, every knob value that is possible here.

    A process that was started for some settings tries those alone.
    """
    chosen = json.loads(os.environ.get(CHOSEN, "null"))
    found = []
    for name in HERE:
        plain = [{"precision": p} for p in engine_steps.precisions_here(name)]
        plain += [s for s in knob_settings(name) if not environment_of(name, s)]
        if chosen is not None:
            plain = chosen.get(name, [])
        marks = () if name == "fake" else (pytest.mark.engine,)
        found += [
            pytest.param(name, s, marks=marks, id=f"{name}-{s['precision']}-{s.get('knobs', '')}")
            for s in plain
        ]
    return found


def settings_of_workloads() -> list[Any]:
    """Every value of the knobs that belong to some workloads, with each of these workloads."""
    return [
        pytest.param(
            name, workload, {knob.name: value}, id=f"{name}-{workload}-{knob.name}={value}"
        )
        for name in ENGINES
        for knob in load_backend(name).KNOBS
        if not isinstance(knob.values, Span)
        for workload in knob.workloads
        for value in knob.values
        if (knob.available_value or (lambda _: AVAILABLE))(value).ok
    ]


each_setting = pytest.mark.parametrize(("name", "changes"), settings())
each_backend = pytest.mark.parametrize("name", HERE)
each_engine = pytest.mark.parametrize("name", ENGINES)


@each_setting
def test_outputs_match_the_reference(name: str, changes: dict[str, Any]) -> None:
    step, batch = engine_steps.loaded(name, **changes).step, batch_of(name)
    wanted, got = engine_steps.reference(name, batch), outputs(step, batch)
    assert set(got) == set(wanted)
    for output, array in got.items():
        assert isinstance(array, np.ndarray)
        assert array.dtype.kind == "f"
        assert array.shape == wanted[output].shape
    assert not complaint(compare(wanted, got, changes["precision"]))


@each_setting
def test_settings_are_read_back(name: str, changes: dict[str, Any]) -> None:
    step = engine_steps.loaded(name, **changes).step
    step.run(step.prepare(batch_of(name, seed=0)))
    found = step.read_back()
    assert found["precision"] == changes["precision"]
    assert found["device"] == "cpu"
    assert found["threads"] == 1
    for knob, value in changes.get("knobs", {}).items():
        assert found[knob] == value


@pytest.mark.engine
@pytest.mark.parametrize(("name", "workload", "knobs"), settings_of_workloads())
def test_settings_of_a_workload_hold_in_its_step(
    name: str, workload: str, knobs: dict[str, Any]
) -> None:
    """The step computes what the reference does, and the settings are read back from it."""
    model = engine_steps.checkpoint(name)
    case = Case(model="tiny", backend=name, workload=workload, knobs=knobs)
    step = engine_steps.opened(LoadRequest(case, model, 1, step=load_workload(workload).STEP))
    step.run(step.prepare(batch_of(name, seed=0)))
    found = step.read_back()
    assert {knob: found[knob] for knob in knobs} == knobs
    result = step.self_check()
    assert not complaint(compare(result.reference, result.outputs, case.precision))
    step.close()


@each_setting
def test_weights_and_tensors_are_counted(name: str, changes: dict[str, Any]) -> None:
    loaded = engine_steps.loaded(name, **changes)
    step, model = loaded.step, loaded.request.checkpoint
    feed = step.prepare(batch_of(name, seed=0))
    assert 0 < step.weights_bytes <= model.weights_bytes * 1.05
    peak = step.tensor_peak_bytes(feed)
    assert peak is None or peak > step.weights_bytes
    assert step.device_memory(feed) == {}


@pytest.mark.engine
@pytest.mark.skipif(CHOSEN in os.environ, reason="this is that process")
@pytest.mark.parametrize(("name", "environment"), processes(), ids=lambda part: part.strip("{}"))
def test_settings_of_a_process_hold_in_one_started_with_them(name: str, environment: str) -> None:
    """Run the three tests above in a process with the environment that the settings need.

    It finds artifacts and the reference's outputs in the cache of this process.
    """
    members = processes()[name, environment]
    engine_steps.reference(name, batch_of(name))
    for changes in members:
        engine_steps.artifact(engine_steps.request(name, **changes))
    tests = [test_outputs_match_the_reference, test_settings_are_read_back,
             test_weights_and_tensors_are_counted]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"{__file__}::{test.__name__}" for test in tests)],
        env={
            **os.environ,
            **json.loads(environment),
            CHOSEN: json.dumps({name: members}),
            "HONED_TESTS_CACHE": os.environ["HONED_CACHE"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(tests) * len(members)} passed" in done.stdout


@each_backend
@pytest.mark.engine
def test_other_shapes_run_on_the_same_step(name: str) -> None:
    step = engine_steps.loaded(name, precision="fp32").step
    for rows, length in ((1, 5), (3, 9), (2, 16)):
        found = outputs(step, batch_of(name, rows, length, seed=1))
        assert all(len(array) == rows for array in found.values())


@each_engine
@pytest.mark.engine
def test_padding_changes_nothing(name: str) -> None:
    """The fake is left out: it hashes ids and has no attention to mask."""
    step = engine_steps.loaded(name, precision="fp32").step
    short = batch_of(name, 1, 6, seed=2)
    padded = {k: np.pad(v, ((0, 0), (0, 4))) for k, v in short.items()}
    plain, masked = (outputs(step, batch)["embedding"] for batch in (short, padded))
    np.testing.assert_allclose(plain, masked, atol=1e-4)


@each_engine
@pytest.mark.engine
def test_another_allocator_may_be_preloaded(name: str) -> None:
    """An engine crashes if one of its libraries keeps the allocator that was replaced."""
    case = Case(
        model="tiny-bert", backend=name, sequence_length=LENGTH, memory=False,
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
    first = backend.artifact(engine_steps.request(name))
    if first is None:
        return
    assert first == backend.artifact(engine_steps.request(name))
    # Precisions may share an artifact: the tests above show that each computes what it should.
    other = backend.artifact(engine_steps.request(name, task="sequence-classification"))
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy']")


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
