"""The container limit of a deployment: sums, records, engines, and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from records import failed_record, make_record

from honed.backends._footprint import ModelSizes, Portion, copied
from honed.backends.base import engine_packages, load_backend, survey_backends, traits
from honed.case import Case
from honed.errors import HonedError, UnsupportedError, UsageError
from honed.machine import facts
from honed.plan import deployment_answer
from honed.plan.answer import answer
from honed.plan.deployment import MARGIN, Deployment, Difference, Engine, parts_of
from honed.plan.deployment_records import (
    Bench,
    NoEngineRecordError,
    engine,
    engine_case,
    same_model,
)
from honed.plan.deployment_verify import verify_deployment
from honed.plan.question import parse
from honed.record import Memory, Record

MIB = 2**20
CASE = Case(model="bert-base-uncased", backend="onnxruntime", precision="int8", threads=1)
SIZES = ModelSizes(
    matrices=85_000_000, tables=24_000_000, others=1_000_000, tied=0, unused=600_000,
    largest=23_000_000, layers=12, heads=12, batch_size=8,
    sequence_length=128, activation_bytes=24 * MIB,
)  # fmt: skip
ENGINE = Engine(35 * MIB, 40 * MIB, 80 * MIB, "aaa")
PORTIONS = (
    Portion("weights", 100 * MIB, "packed"),
    Portion("weights", 30 * MIB, "mapped", is_mapped=True),
    Portion("loading", 50 * MIB, "a second copy", "loading"),
    Portion("activations", 20 * MIB, "arena", "calling"),
)
MACHINE = facts.machine_facts(packages=engine_packages())


def deployed(instances: int = 1, **fields: Any) -> Deployment:
    case = CASE.replace(instances=instances)
    parts = parts_of(ENGINE, PORTIONS, fields.pop("difference", None))
    return Deployment(case, "bert", "features", 130 * MIB, 150 * MIB, parts, "aaa", None, **fields)


def record_of(case: Case, anon_mib: int, load_mib: int = 0, **fields: Any) -> Record:
    memory = Memory(rss_anon_peak_bytes=anon_mib * MIB, rss_file_peak_bytes=80 * MIB,
                    load_anon_peak_bytes=load_mib * MIB)  # fmt: skip
    return make_record(case.to_json(), memory=memory, machine=MACHINE, **fields)


class Notes:
    """A bench of records in memory, that measures with `measured`."""

    def __init__(self, *records: Record, measured: Record | None = None) -> None:
        self.records, self.measured = list(records), measured
        self.asked: list[Case] = []

    @property
    def bench(self) -> Bench:
        def measure(case: Case) -> Record:
            self.asked.append(case)
            assert self.measured is not None
            record = dataclasses.replace(self.measured, case=case.to_json())
            self.records.append(record)
            return record

        return Bench(self._alike, None if self.measured is None else measure)

    def _alike(self, wanted: Mapping[str, Any]) -> Iterable[Record]:
        return [r for r in self.records if all(r.case[k] == v for k, v in wanted.items())]


def test_private_memory_counts_for_each_process_and_files_once() -> None:
    one, two = deployed(), deployed(2)
    assert one.loading_bytes == (35 + 100 + 50) * MIB
    assert one.calling_bytes == (40 + 100 + 20) * MIB
    assert one.private_bytes == one.loading_bytes
    assert one.peak_when == "loading"
    assert one.resident_peak_bytes == one.private_bytes + (80 + 30) * MIB
    assert two.resident_peak_bytes - one.resident_peak_bytes == one.private_bytes
    assert two.file_bytes == one.file_bytes


def test_the_limit_holds_the_margin_and_the_files_that_every_call_reads() -> None:
    found = deployed()
    assert found.needed_file_bytes == (6 + 30) * MIB
    exact = found.least_bytes + MARGIN * found.private_bytes + found.needed_file_bytes
    assert 0 <= found.limit_bytes - exact < MIB + 1
    assert found.limit_bytes % MIB == 0
    assert found.least_bytes == found.private_bytes + found.kernel_bytes
    assert 2 * MIB < found.kernel_bytes < 4 * MIB


def test_it_fits_where_the_limit_is_within_the_device() -> None:
    assert deployed().fits is None
    assert deployed(capacity_bytes=512 * MIB).fits is True
    assert deployed(2, capacity_bytes=400 * MIB).fits is False


def test_the_json_has_the_keys_of_every_plan() -> None:
    found = deployed(2)
    data = found.to_json()
    assert data["allocated_peak_bytes"] == found.private_bytes
    assert data["reserved_peak_bytes"] == found.resident_peak_bytes == sum(
        data["by_kind"].values()
    )  # fmt: skip
    assert data["limit_bytes"] == found.limit_bytes
    assert data["case"]["instances"] == 2
    assert data["peak_at"]["phase"] == "loading"
    assert {"weights_bytes", "requested_peak_bytes", "fits", "max_batch"} <= set(data)


def test_a_difference_to_a_record_corrects_every_process() -> None:
    corrected = deployed(2, difference=Difference(-7 * MIB, "bbb", "1x128"))
    assert deployed(2).private_bytes - corrected.private_bytes == 14 * MIB


def test_the_engine_alone_is_measured_once() -> None:
    notes = Notes(measured=record_of(CASE, 45, 60))
    first = engine(CASE, notes.bench)
    assert first == engine(CASE.replace(batch_size=8, instances=2), notes.bench)
    assert (first.loading_bytes, first.calling_bytes) == (60 * MIB, 45 * MIB)
    assert notes.asked == [engine_case(CASE)]
    assert engine_case(CASE).model == "tiny-bert"
    knobs = CASE.replace(knobs={"onnxruntime.arena": "off"})
    engine(knobs, notes.bench)
    assert notes.asked[-1].get("onnxruntime.arena") == "off"


def test_an_engine_of_another_machine_or_version_is_measured_again() -> None:
    stored = record_of(engine_case(CASE), 45)
    packages = {**MACHINE["packages"], "onnxruntime": "1.0"}
    for machine in ({**MACHINE, "packages": packages}, {**MACHINE, "memory_gib": 999}):
        other = dataclasses.replace(stored, machine=machine)
        notes = Notes(other, measured=record_of(CASE, 50))
        assert engine(CASE, notes.bench).calling_bytes == 50 * MIB
    assert engine(CASE, Notes(stored).bench).calling_bytes == 45 * MIB


def test_without_a_record_and_without_leave_to_measure_the_words_are_named() -> None:
    with pytest.raises(NoEngineRecordError) as refused:
        engine(CASE, Notes().bench)
    assert "baseline=stored" in refused.value.hint
    failed = failed_record("crashed", "no room", "do this")
    with pytest.raises(NoEngineRecordError, match="no room") as broken:
        engine(CASE, Notes(measured=failed).bench)
    assert broken.value.hint == "do this"


def test_the_record_of_the_nearest_shape_corrects() -> None:
    near, far = CASE.replace(batch_size=8), CASE.replace(batch_size=64)
    others = (
        CASE.replace(model="minilm"), CASE.replace(precision="fp32"), CASE.replace(threads=2),
        CASE.replace(knobs={"onnxruntime.arena": "off"}),
    )  # fmt: skip
    notes = Notes(*(record_of(case, 99) for case in (far, near, *others)))
    found = same_model(CASE.replace(batch_size=4), notes.bench)
    assert found is not None
    assert found.to_case() == near
    assert same_model(CASE, Notes(*(record_of(case, 99) for case in others)).bench) is None


def test_an_answer_with_a_record_of_the_same_shape_is_what_was_measured() -> None:
    sizer: Any = SimpleNamespace(
        of=lambda _: SIZES, planner=SimpleNamespace(subject=SimpleNamespace(name="b", task="t"))
    )
    notes = Notes(record_of(engine_case(CASE), 45), record_of(CASE, 321, 100, seed=5))
    found = deployment_answer.deployment(CASE, sizer, notes.bench, None, lambda _: None)
    assert found.private_bytes == 321 * MIB
    assert found.calibrated_by == notes.records[1].id
    assert found.unknown == ()


@pytest.mark.parametrize("name", sorted(set(survey_backends().listed)))
def test_every_engine_says_how_it_holds_a_model(name: str) -> None:
    """Calls of a larger batch take more, and no precision takes more for weights than fp32 does in
    private copies."""
    backend = load_backend(name)
    if traits(name).environment:
        pytest.skip("an engine with an environment of its own")
    for precision in backend.PRECISIONS:
        case = Case(model="bert-base-uncased", backend=name, precision=precision)
        portions, unknown = deployment_answer.portions_of(case, SIZES)
        assert not any("does not say" in what for what in unknown)
        assert all(portion.size_bytes >= 0 for portion in portions)
        held = (p for p in portions if p.name == "weights" and not p.is_mapped)
        assert sum(p.size_bytes for p in held) <= 1.05 * 4 * SIZES.parameters
        larger = dataclasses.replace(SIZES, batch_size=64, activation_bytes=8 * 24 * MIB)
        more, _ = deployment_answer.portions_of(case, larger)
        calls = [sum(p.size_bytes for p in of if p.when == "calling") for of in (portions, more)]
        assert calls[0] < calls[1]


def test_what_nobody_has_looked_at_is_said() -> None:
    case = Case(model="m", backend="torch", knobs={"torch.mode": "compile"})
    portions, (unknown,) = deployment_answer.portions_of(case, SIZES)
    assert "compilers" in unknown
    assert "unknown" not in {portion.name for portion in portions}


def test_an_engine_that_does_not_say_is_taken_for_one_that_copies() -> None:
    case = Case(model="bert-base-uncased", backend="fake", precision="int8")
    portions, (unknown,) = deployment_answer.portions_of(case, SIZES)
    assert portions == copied(case, SIZES)
    assert "does not say" in unknown
    assert portions[0].size_bytes == SIZES.parameters


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        (["backend=openvino", "precision=int8", "instances=2", "threads=1"], True),
        (["backend=torch"], True),
        (["precision=int8"], True),
        (["backend=torch", "device=cpu:2GiB"], True),
        ([], False),
        (["backend=torch", "mode=train"], False),
        (["device=cpu"], False),
    ],
)
def test_words_of_a_process_ask_for_a_deployment(words: list[str], asks: bool) -> None:
    question = parse(["model=bert-base-uncased", *words])
    assert bool(question.deployments) is asks
    assert bool(question.cells) is not asks


def test_words_that_contradict_a_deployment_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="does not plan backend=openvino"):
        parse(["model=bert-base-uncased", "backend=openvino", "device=cuda:16GiB"])
    with pytest.raises(UnsupportedError, match="does not plan backend=openvino"):
        parse(["model=bert-base-uncased", "backend=openvino", "mode=train"])
    with pytest.raises(UsageError, match="baseline=never is not known"):
        parse(["model=bert-base-uncased", "backend=openvino", "baseline=never"])
    with pytest.raises(UnsupportedError, match="another process"):
        answer(
            parse(["model=tiny-bert", "backend=http", "http.url=http://127.0.0.1:1"]),
            bench=Notes().bench,
        )


def test_verification_puts_the_measured_memory_beside_the_prediction() -> None:
    notes = Notes(measured=record_of(CASE, 200, 100))
    found = verify_deployment(deployed(2), notes.bench)
    assert found.private.predicted_bytes == 2 * 185 * MIB
    assert found.private.measured_bytes == 2 * 200 * MIB
    assert found.private.error == pytest.approx(185 / 200 - 1)
    assert found.files.measured_bytes == 80 * MIB
    with pytest.raises(UsageError, match="baseline=stored forbids"):
        verify_deployment(deployed(), Notes().bench)
    with pytest.raises(HonedError, match="no room") as failed:
        verify_deployment(deployed(), Notes(measured=failed_record("oom", "no room", "h")).bench)
    assert failed.value.hint == "h"
