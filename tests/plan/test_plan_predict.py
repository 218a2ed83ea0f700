"""Predictions: largest batches, estimates where tracing fails, and real runs beside them."""

from __future__ import annotations

import dataclasses

import pytest

import honed
from honed.errors import ModelError, UsageError
from honed.models.checkpoint import ModelRequest
from honed.models.families.base import Preset, encoder_sizes
from honed.models.presets import PRESETS
from honed.plan import tracing
from honed.plan.answer import subject
from honed.plan.device import Device, parse_device
from honed.plan.max_batch import MOST, Cells, most
from honed.plan.predict import Planner
from honed.plan.replay import Family, replay
from honed.plan.settings import Optimizer, Settings
from honed.plan.tracing import Subject, UntraceableError, subject_of
from honed.plan.verify import measure, verify
from honed.timeline import Block, MemoryKind, StepPhase, Timeline

pytestmark = pytest.mark.engine

MIB, GIB = 2**20, 2**30
TRAIN = Settings(mode="train", sequence_length=64)


@pytest.fixture(scope="module")
def tiny() -> Subject:
    return subject(ModelRequest("tiny-bert", task="masked-lm"))


def test_one_sequence_more_than_the_largest_batch_does_not_fit(tiny: Subject) -> None:
    device = Device("cuda", capacity_bytes=580 * MIB)
    planner = Planner(tiny, device)
    largest = planner.max_batch(TRAIN)
    assert largest.failure is not None
    assert 0 <= largest.headroom_bytes < device.usable_bytes
    for batch_size, fits in ((largest.batch_size, True), (largest.batch_size + 1, False)):
        found = planner.predict(dataclasses.replace(TRAIN, batch_size=batch_size))
        assert found.fits is fits
    assert found.failure == largest.failure


def test_timelines_of_other_batch_sizes_follow_from_three_traces(tiny: Subject) -> None:
    planner = Planner(tiny, Device())
    cells = planner.cells(TRAIN)
    found = cells.timeline(7)
    assert {settings.batch_size for settings in planner.traces} == {2, 3, 5}
    alone = planner.trace(dataclasses.replace(TRAIN, batch_size=7)).timeline
    assert found == planner.device.with_workspaces(alone)
    replayed = cells.replay(7, planner.device.allocator(limited=False))
    assert replayed == replay(found, planner.device.allocator(limited=False))


def test_at_another_length_one_trace_gives_all_batch_sizes_but_one(tiny: Subject) -> None:
    planner, fresh = Planner(tiny, Device()), Planner(tiny, Device())
    longer = dataclasses.replace(TRAIN, sequence_length=96)
    like = planner.cells(TRAIN).family
    planner.traces.clear()
    cells = planner.cells(longer, like=like)
    for batch_size in (7, 1):
        alone = fresh.trace(dataclasses.replace(longer, batch_size=batch_size)).timeline
        assert cells.timeline(batch_size) == fresh.device.with_workspaces(alone)
    assert {settings.batch_size for settings in planner.traces} == {1, 2}


def test_a_length_with_other_tensors_is_traced_for_itself() -> None:
    def cells(length: int, like: Family | None = None) -> Cells:
        def trace(batch_size: int) -> Timeline:
            traced.append(batch_size)
            size = batch_size * length + (5 if has_more else 0)
            return Timeline((Block(size, MemoryKind.TEMPORARIES, 0, op=op),), 1)

        return Cells(trace, like=like)

    for has_more, ops in ((True, ("aten.mm", "aten.mm")), (False, ("aten.mm", "aten.bmm"))):
        traced: list[int] = []
        op = ops[0]
        like = cells(10).family
        op = ops[1]
        traced.clear()
        assert cells(20, like).timeline(9).blocks[0].size_bytes == 9 * 20 + (5 if has_more else 0)
        assert traced == [2, 3, 5]


@pytest.mark.parametrize("largest", [0, 1, 2, 37, 1000])
@pytest.mark.parametrize("away", [-30, -1, 0, 1, 2, 5000])
def test_the_search_for_the_largest_number_starts_anywhere(largest: int, away: int) -> None:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= largest

    assert most(fits, max(1, largest + away)) == (largest, largest + 1)
    assert len(asked) == len(set(asked))
    assert abs(away) > 1 or len(asked) <= 4


def test_a_search_without_an_end_stops() -> None:
    assert most(lambda _: True, MOST)[1] is None


def test_where_sizes_are_not_affine_every_batch_size_is_traced() -> None:
    traced = []

    def trace(batch_size: int) -> Timeline:
        traced.append(batch_size)
        size = batch_size**2
        return Timeline((Block(size, MemoryKind.TEMPORARIES, 0),), 1)

    cells = Cells(trace)
    assert cells.timeline(9).blocks[0].size_bytes == 81
    assert cells.timeline(10).blocks[0].size_bytes == 100
    assert traced[-2:] == [9, 10]


def test_a_device_too_small_for_one_sequence_has_a_largest_batch_of_zero(tiny: Subject) -> None:
    largest = Planner(tiny, Device("cuda", 513 * MIB)).max_batch(TRAIN)
    assert largest.batch_size == 0
    assert largest.failure is not None


def test_each_thread_that_multiplies_has_a_workspace(tiny: Subject) -> None:
    for mode, count in (("infer", 1), ("train", 2)):
        settings = dataclasses.replace(TRAIN, mode=mode)
        for architecture, size in (("ampere", 8_519_680), ("hopper", 32 * MIB)):
            planner = Planner(tiny, Device(architecture=architecture))
            found = planner.predict(settings)
            assert found.timeline is not None
            held = found.timeline.at(found.timeline.ticks - 1)
            assert [b.size_bytes for b in held if b.op == "cublas"] == [size] * count


def test_a_model_too_new_to_trace_is_estimated_and_the_answer_says_so() -> None:
    config = dict(PRESETS["bert-base-uncased"].config)
    newer = Preset("newer", "from-the-future", config, "", "masked-lm")
    planner = Planner(subject_of(newer, "newer", "masked-lm", "none"), Device("cuda", 16 * GIB))
    found = planner.predict(Settings(), max_batch=True)
    assert found.source == "closed form"
    assert "from-the-future" in found.why
    assert found.fits is True
    assert found.max_batch is not None
    most = found.max_batch.batch_size
    for batch_size, fits in ((most, True), (most + 1, False)):
        assert planner.predict(Settings(batch_size=batch_size)).fits is fits
    nameless = dataclasses.replace(newer, config={"vocab_size": 9})
    planner = Planner(subject_of(nameless, "newer", "masked-lm", "none"), Device())
    with pytest.raises(ModelError, match="hidden_size"):
        planner.predict(Settings())


def test_code_that_depends_on_its_data_is_named(
    tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.models.torch.head import Head

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        return input_ids[: int(attention_mask.sum())]

    monkeypatch.setattr(Head, "forward", forward)
    with pytest.raises(UntraceableError, match="tiny-bert depends on its data"):
        tracing.trace(tiny, Settings())


@pytest.mark.parametrize("mode", ["infer", "forward_grad", "train"])
def test_the_closed_form_is_near_the_trace_for_a_plain_encoder(mode: str) -> None:
    from honed.plan.closed_form import estimate

    base = subject(ModelRequest("bert-base-uncased", task="sequence-classification"))
    settings = Settings(mode=mode, batch_size=8, sequence_length=512, attention="eager")
    found = Planner(base, Device(has_workspaces=False)).predict(settings)
    formula = estimate(base.config, base.task, settings)
    assert formula.parameters == pytest.approx(found.parameters, rel=0.02)
    assert formula.peak_bytes == pytest.approx(found.requested_peak_bytes, rel=0.2)


def test_python_gives_the_same_answer_as_data() -> None:
    plan = honed.plan(model="tiny-bert", mode="train", batch_size=[1, 2], device="cuda:1GiB")
    one, two = plan.predictions
    assert one.requested_peak_bytes < two.requested_peak_bytes
    assert two.peak_at.phase in StepPhase
    with pytest.raises(UsageError, match="2 predictions"):
        _ = plan.prediction


def test_sizes_that_replace_those_of_a_named_shape_count() -> None:
    words = {"model": "tiny-bert", "sequence_length": 16, "device": "cpu"}
    plain, wide = (honed.plan(*more, **words) for more in ((), ("model.d_ff=512",)))
    more = wide.prediction.parameters - plain.prediction.parameters
    assert more == 2 * (512 - 128) * (2 * 32 + 1)  # in each of two layers; one bias


def test_devices_as_people_type_them() -> None:
    assert parse_device("cuda:16GiB").capacity_bytes == 16 * GIB
    assert parse_device("cuda").usable_bytes is None
    assert parse_device("cpu:1GiB").usable_bytes == GIB
    with pytest.raises(UsageError):
        parse_device("gpu")


def test_a_replay_stops_at_the_first_allocation_without_room() -> None:
    timeline = Timeline(
        (
            Block(20 * MIB, MemoryKind.WEIGHTS, 0),
            Block(30 * MIB, MemoryKind.TEMPORARIES, 1, 2, "aten.mm", "layer", StepPhase.FORWARD),
        ),
        3,
    )
    device = Device("cuda", 40 * MIB, context_bytes=0)
    failure = replay(timeline, device.allocator(limited=True)).failure
    assert failure is not None
    assert (failure.op, failure.module, failure.size_bytes) == ("aten.mm", "layer", 30 * MIB)
    assert replay(timeline, device.allocator(limited=False)).reserved_peak_bytes == 50 * MIB


def test_what_an_earlier_phase_left_in_the_cache_may_be_in_the_way() -> None:
    """The forward pass leaves a segment of 30 MiB. The backward pass uses 20 MiB of it, so that
    the rest can neither be given back nor hold 22 MiB."""
    later = (
        Block(20 * MIB, MemoryKind.TEMPORARIES, 2, None, "aten.mm", "a", StepPhase.BACKWARD),
        Block(22 * MIB, MemoryKind.TEMPORARIES, 3, None, "aten.mm", "b", StepPhase.BACKWARD),
    )
    earlier = Block(30 * MIB, MemoryKind.TEMPORARIES, 0, 1, "aten.mm", "a", StepPhase.FORWARD)
    device = Device("cuda", 50 * MIB, context_bytes=0)
    alone, after = Timeline(later, 4), Timeline((earlier, *later), 4)
    usage = replay(alone, device.allocator(limited=True))
    assert (usage.reserved_peak_bytes, usage.failure) == (42 * MIB, None)
    usage = replay(after, device.allocator(limited=False))
    assert (usage.allocated_peak_bytes, usage.reserved_peak_bytes) == (42 * MIB, 52 * MIB)
    failure = replay(after, device.allocator(limited=True)).failure
    assert failure is not None
    assert (failure.module, failure.phase, failure.held_bytes) == ("b", "backward", 30 * MIB)


# Small models of several families, each with another head.
SMALL = encoder_sizes(64, 2, 4, 256, vocab_size=512, max_position_embeddings=130, pad_token_id=1)
MODERN = dict(PRESETS["modernbert-base"].config) | SMALL | {
    "num_hidden_layers": 3, "intermediate_size": 96, "bos_token_id": 2, "cls_token_id": 2,
    "eos_token_id": 3, "sep_token_id": 3,
}  # fmt: skip
DEBERTA = dict(PRESETS["deberta-v3-small"].config) | SMALL | {"pooler_hidden_size": 64}
FAMILIES = {
    "bert": ("feature-extraction", SMALL | {"type_vocab_size": 2}),
    "roberta": ("token-classification", SMALL | {"type_vocab_size": 1}),
    "electra": ("question-answering", SMALL | {"embedding_size": 32, "type_vocab_size": 2}),
    "modernbert": ("masked-lm", MODERN),
    "llama": ("causal-lm", SMALL | {"num_key_value_heads": 2, "tie_word_embeddings": False}),
    "deberta-v2": ("sequence-classification", DEBERTA),
}
KINDS = {
    "infer": Settings(),
    "infer bf16": Settings(dtype="bfloat16"),
    "train": Settings(mode="train"),
    "train bf16": Settings(mode="train", autocast="bfloat16"),
}
SHAPES = ((1, 16), (3, 24), (4, 64))


def small(name: str) -> Subject:
    task, config = FAMILIES[name]
    pooling = "mean" if task == "feature-extraction" else "none"
    return subject_of(Preset(name, name, config, "", task), name, task, pooling)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_real_run_takes_what_was_predicted(name: str, kind: str) -> None:
    model = small(name)
    for batch_size, length in SHAPES:
        settings = dataclasses.replace(
            KINDS[kind], batch_size=batch_size, sequence_length=length, device="cpu"
        )
        predicted = tracing.trace(model, settings).timeline
        measured = measure(model, settings)
        for phase in (None, *StepPhase):
            real, fake = measured.peak(phase), predicted.peak(phase)
            assert (real is None) is (fake is None)
            if real is not None and fake is not None:
                assert fake.size_bytes == pytest.approx(real.size_bytes, rel=0.01)


def test_a_decoder_that_keeps_its_cache_holds_keys_and_values_at_the_end() -> None:
    settings = Settings(batch_size=3, sequence_length=24)
    ends = []
    for keeps_cache in (False, True):
        asked = dataclasses.replace(settings, keeps_cache=keeps_cache)
        timeline = tracing.trace(small("llama"), asked).timeline
        ends.append(timeline.alive_bytes()[-1])
    layers, heads, width = 2, 2, 16
    assert ends[1] - ends[0] == 2 * layers * 3 * 24 * heads * width * 4


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_torchs_own_allocator_agrees(name: str) -> None:
    """In fp32. Kernels of 16-bit types also take memory for themselves."""
    settings = Settings(
        mode="train", batch_size=4, sequence_length=64, checkpointing="blocks",
        optimizer=Optimizer("sgd", "for_loop", holds_gradients=True, accumulation=2),
    )  # fmt: skip
    found = verify(small(name), settings)
    assert set(found.phases) >= {"forward", "backward"}  # the update allocates nothing
    assert all(abs(peaks.error) < 0.01 for peaks in found.phases.values())
    assert found.whole.predicted_bytes == pytest.approx(found.allocator_bytes, rel=0.01)
