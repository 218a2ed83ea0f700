"""Words to a Question, and the space that is built for it on this machine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from landscape import question

from honed.errors import UsageError
from honed.knob import Span
from honed.knobs import all_knobs
from honed.machine import placement, topology
from honed.machine.placement import Placement
from honed.machine.spawn import machine_knobs
from honed.machine.topology import Cpu, Topology
from honed.measures import MEASURES, parse_limit
from honed.models.checkpoint import ModelRequest
from honed.models.obtain import materialise
from honed.plain import from_plain, to_plain
from honed.tune.build_space import build_space
from honed.tune.question import Question, parse
from honed.tune.space import Space, case_with

TINY = ("model=tiny", "backend=fake")


def test_says_what_is_asked() -> None:
    asked = question(
        "objective=latency,cost", "price=4.848/h", "limit=latency_p99_ms<=50", "budget=5m"
    )
    assert asked.objectives == ("latency", "cost")
    assert asked.limits == ("latency_p99_ms<=50",)
    assert (asked.budget_s, asked.price_per_h, asked.trials) == (300.0, 4.848, None)
    assert from_plain(Question, json.loads(json.dumps(to_plain(asked)))) == asked


def test_a_server_is_tuned_for_the_answers_that_come_in_time() -> None:
    asked = question("serve=true", "objective=goodput", "limit=latency_p99_ms <= 100", "clients=8")
    assert (asked.clients, asked.limit_ms) == (8, 100)
    assert asked.base.batch_size == 1
    assert asked.counts_throughput
    keys = {dimension.key for dimension in build_space(asked).dimensions}
    assert "batch_size" not in keys
    assert question("serve=true", "objective=latency").clients == 32
    assert question("serve=false").clients is None
    assert from_plain(Question, json.loads(json.dumps(to_plain(asked)))) == asked


@pytest.mark.parametrize(
    ("more", "why_not"),
    [
        (("lengths=8..512",), ""),
        ((), "all texts are equally long"),
        (("lengths=8..512", "sizes=2+4"), "sizes is given"),
    ],
)
def test_instances_of_a_server_may_have_different_sizes(
    monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], why_not: str
) -> None:
    six = (Placement(tuple(range(6)), (0,)),)
    monkeypatch.setattr(placement, "place", lambda *_: six)
    server = ("serve=true", "objective=goodput", "limit=latency_p99_ms<=100")
    asked = question(*server, "sequence_length=512", *more)
    space = build_space(asked)
    found = {d.key: d.values for d in space.dimensions}
    left_out = {p.what: p.why for p in space.pruned}
    if why_not:
        assert "sizes" not in found
        assert left_out["sizes"] == why_not
    else:
        assert found["sizes"] == (None, "2+4", "1+2+3")
        assert space.case(space.default.changed(sizes="1+2+3")).instances == 3
        assert space.refusal(space.default.changed(sizes="1+2+3", threads=2)) is not None


@pytest.mark.parametrize(
    ("more", "why_not"),
    [
        ((), None),
        (("lengths=8..64",), "sequences have many lengths"),
        (("serve=true", "objective=latency"), "the batches of a server have many shapes"),
    ],
)
def test_a_knob_for_one_shape_is_searched_where_all_calls_have_one(
    more: tuple[str, ...], why_not: str | None
) -> None:
    space = build_space(question("backend=openvino", *more))
    left_out = {p.what: p.why for p in space.pruned}
    assert ("openvino.shapes" in {d.key for d in space.dimensions}) == (why_not is None)
    assert left_out.get("openvino.shapes") == why_not


def test_only_servers_have_instances_of_different_sizes() -> None:
    space = build_space(question("objective=throughput", "lengths=8..64"))
    assert "sizes" not in {*(d.key for d in space.dimensions), *(p.what for p in space.pruned)}


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["objective=goodput", "limit=latency_p99_ms<=100"], "serve=true"),
        (["objective=goodput", "serve=true"], "latency_p99_ms<=100"),
        (["serve=maybe"], "serve=true"),
        (["clients=8"], "serve=true"),
        (["serve=true", "clients=some"], "clients=20"),
    ],
)
def test_says_what_a_question_about_a_server_lacks(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        question(*words)
    assert hint in caught.value.hint


def test_trials_without_a_budget_take_their_time() -> None:
    assert question("trials=20").budget_s is None


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("objective=latncy", "latency"),
        ("objectve=latency", "objective"),
        ("limit=latency_p98_ms<=5", "latency_p"),
        ("limit=fast", "latency_p99_ms<=50"),
        ("sampler=gaussian", "gp"),
        ("trials=many", "trials=20"),
        ("budget=soon", "10m"),
        ("objective=cost", "price="),
        ("sequence_length=64,128", "one value"),
        ("backend=torhc", "torch"),
        ("limit=accuracy>=0.9", "eval=FILE.jsonl"),
    ],
)
def test_wrong_words_name_the_right_ones(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        question(word)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["objective=latency", "objective=memory"], "objective=latency,memory"),
        (["budget=5m", "budget=10m"], "budget=5m"),
        (["objective=memory", "memory=false"], "drop memory=false"),
        (["limit=memory_mib<=500", "memory=false"], "drop memory=false"),
    ],
)
def test_nothing_that_was_typed_is_left_out_in_silence(words: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as error:
        question(*words)
    assert hint in error.value.hint


@pytest.mark.parametrize("name", ["", " ", "last", "mine:best"])
def test_a_study_has_a_name_that_other_commands_can_use(name: str) -> None:
    with pytest.raises(UsageError, match="study="):
        parse(["model=bert-base-uncased", f"study={name}"])


def test_limits_may_be_repeated() -> None:
    asked = question("limit=latency_p50_ms<=50", "limit=memory_mib<=500")
    assert asked.limits == ("latency_p50_ms<=50", "memory_mib<=500")


def test_a_single_value_is_fixed_and_several_are_left() -> None:
    asked = question("backend=torch,onnxruntime", "precision=int8", "threads=2", "allocator=null")
    assert (asked.base.precision, asked.base.threads) == ("int8", 2)
    space = build_space(asked)
    assert {b.backend for b in space.branches} == {"torch", "onnxruntime"}
    assert {b.precision for b in space.branches} == {"int8"}
    assert not {"threads", "allocator"} & {d.key for d in space.dimensions}


def test_a_knob_may_be_restricted_without_naming_its_engine() -> None:
    space = build_space(question("torch.attention=eager,sdpa"))
    (attention,) = [d for d in space.dimensions if d.key == "torch.attention"]
    assert attention.values == ("eager", "sdpa")
    assert attention.start == "eager"
    assert space.case(space.default).get("torch.attention") == "eager"


def test_every_listed_knob_of_an_engine_is_searched_or_its_absence_explained() -> None:
    space = build_space(question("backend=torch"))
    named = {d.key for d in space.dimensions} | {p.what for p in space.pruned}
    knobs = [k for k in all_knobs().values() if k.owner in ("", "torch")]
    # Knobs of some workloads are settings of the question, and never searched.
    assert not named & {k.name for k in knobs if k.workloads}
    knobs = [k for k in knobs if not k.workloads]
    several = [k for k in knobs if isinstance(k.values, Span) or len(k.values) > 1]
    left = {k.name for k in several} - named
    # What is left has one value to be had beside what the machine does unasked.
    assert all(not k.owner or k.available_value for k in knobs if k.name in left)


def test_fakes_are_not_compared_with_engines() -> None:
    assert "fake" not in {b.backend for b in build_space(question()).branches}


def test_instances_and_batches_count_for_throughput_only() -> None:
    def keys(objective: str) -> set[str]:
        return {
            d.key
            for d in build_space(question(f"objective={objective}", "backend=torch")).dimensions
        }

    assert "batch_size" in keys("throughput")
    assert "batch_size" not in keys("latency")


def test_what_cannot_run_is_refused_before_it_costs_anything() -> None:
    space = build_space(question("objective=throughput"))
    start = space.default
    assert space.refusal(start) is None
    many = space.refusal({**start, "instances": 4096, "threads": 1})
    assert many is not None
    assert "4096 instances" in many


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({}, None),
        ({"batch_size": 32}, "weights and activations alone need 752 of 600 MiB"),
        ({"batch_size": 32, "precision": "bf16"}, None),  # half as much
        ({"batch_size": 16, "instances": 2}, "alone need 752 of 600 MiB"),
        ({"batch_size": 32, "backend": "lowmem"}, None),  # it need not hold the weights
    ],
)
def test_what_cannot_fit_is_refused_by_plans_formulas(
    setting: dict[str, object], says: str | None
) -> None:
    mib, asked = 2**20, question("objective=throughput", "sequence_length=512")
    space = Space(asked.base, (), (), (), 600 * mib, 512 * mib, sequence_elements=1_966_080)
    refused = space.too_large(case_with(asked.base, setting))
    assert refused is None if says is None else says in str(refused)
    tight = replace(space, memory_bytes=500 * mib)
    plain = case_with(asked.base, {})
    assert "the weights alone need" in str(tight.too_large(plain))
    assert replace(space, memory_bytes=None).too_large(plain) is None


@pytest.mark.engine
def test_a_limit_of_memory_and_the_models_sizes_are_what_settings_are_pruned_by() -> None:
    materialise(ModelRequest("tiny-bert"))
    asked = question("model=tiny-bert", "limit=memory_mib<=300", "sequence_length=64")
    space = build_space(asked)
    assert space.memory_bytes == 300 * 2**20
    assert space.sequence_elements == 64 * (32 + 4 * 32)
    assert 0 < (space.weights_bytes or 0) < 4 * 62_754
    tighter = build_space(question("model=tiny-bert", "limit=memory_mib<=300", "memory=200MiB"))
    assert tighter.memory_bytes == 200 * 2**20
    least = build_space(question("model=tiny-bert", "limit=memory_mib<=0.05", "precision=fp32"))
    assert [b.key for b in least.branches if b.backend != "lowmem"] == [("torch", "fp32")]
    (pruned,) = [p for p in least.pruned if p.what == "backend=onnxruntime precision=fp32"]
    assert "the weights alone need" in pruned.why
    varied = build_space(question("model=tiny-bert", "lengths=8..64"))
    assert varied.sequence_elements == 0
    assert from_plain(Space, json.loads(json.dumps(to_plain(space)))) == space


def test_a_knob_without_what_it_belongs_to_is_refused() -> None:
    space = build_space(question("backend=torch,onnxruntime"))
    alone = {**space.default, "blocktime_ms": 0}
    assert "openmp=intel or openmp=llvm" in (space.refusal(alone) or "")
    assert space.refusal({**alone, "openmp": "intel"}) is None
    own_pool = {"backend": "onnxruntime", "precision": "fp32", "openmp": "intel"}
    assert "thread pool of its own" in (space.refusal(own_pool) or "")
    alone_there = build_space(question("backend=onnxruntime"))
    assert not {"openmp", "omp_wait"} & {d.key for d in alone_there.dimensions}
    other = {**space.default, "malloc_arenas": 1, "allocator": "mimalloc"}
    assert "allocator=glibc" in (space.refusal(other) or "")
    assert space.refusal({**space.default, "malloc_arenas": 1}) is None


def test_knobs_that_nothing_here_could_heed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    paired = Topology(tuple(Cpu(i, i // 2, 0, i // 2) for i in range(4)), {0: 1, 1: 1})
    plain = Topology((Cpu(0, 0, 0, 0), Cpu(1, 1, 0, 0)), {0: 1})
    for here, searched in ((paired, {"smt", "numa"}), (plain, set[str]())):
        monkeypatch.setattr(topology, "read", lambda here=here: here)
        knobs = machine_knobs()
        assert {name for name in ("smt", "numa") if not knobs[name].moot()} == searched


def test_an_engine_that_is_no_good_start_is_marked_unless_it_is_asked_for() -> None:
    unlikely = {b.backend for b in build_space(question()).branches if b.unlikely}
    assert unlikely == {"keras", "lowmem"}
    assert not any(b.unlikely for b in build_space(question("backend=keras")).branches)


def test_a_point_has_one_spelling() -> None:
    space = build_space(question("objective=throughput"))
    spelled = space.normal({**space.default, "instances": 1, "openvino.streams": 2})
    assert spelled == space.default


def test_the_space_survives_storage() -> None:
    space = build_space(question("objective=throughput"))
    assert from_plain(Space, json.loads(json.dumps(to_plain(space)))) == space


def test_limits_and_costs() -> None:
    assert parse_limit("cosine_min>=0.99").missed_by(0.98) == pytest.approx(0.01 / 0.99)
    assert parse_limit("latency_p50_ms <= 50").missed_by(50) <= 0
    assert MEASURES["cost"].cost(2.0) == 2.0
    assert MEASURES["throughput"].cost(4.0) == 0.25
