"""The contract of every figure first, then the findings of each."""

import json
from itertools import pairwise

import pytest
from lm_records import profiled, training
from records import failed_record, make_record
from reports import BATCHES, cores, engines, everything, lengths, low_memory, record, study

from honed import discovery
from honed.record import Samples
from honed.report.evidence import Evidence
from honed.report.figures.base import PACKAGE, all_pictures
from honed.report.panels.spread import MOST_DOTS, thin
from honed.report.paper import Caption, canvas
from honed.report.style import DARK

NAMES = discovery.names(PACKAGE)
PROFILED = [training({"optimizer": name}, passes=profiled()) for name in ("adamw", "sgd")]


def pictures(records):
    return dict(all_pictures(Evidence(tuple(records))))


def colours(value):
    if isinstance(value, dict):
        return {c for v in value.values() for c in colours(v)}
    if isinstance(value, list):
        return {c for v in value for c in colours(v)}
    return {value} if isinstance(value, str) and value.startswith("#") else set()


@pytest.fixture(scope="module")
def found():
    records = everything()
    return dict(all_pictures(Evidence((*records, *low_memory(), *PROFILED), study(records))))


def test_every_figure_draws_something_of_these_records(found):
    # A study for latency and throughput has its own front in the place of the records'.
    names = {
        name.split("-")[0]
        for name in (*found, *pictures([*everything(), *low_memory(), *PROFILED]))
    }
    assert names == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_a_finding_and_names_its_records(found, name):
    ids = {r.id for r in (*everything(), *low_memory(), *PROFILED)}
    picture = found.get(name) or pictures(everything())[name]
    assert picture.title
    assert picture.sentence.endswith(".")
    assert picture.record_ids()
    assert set(picture.record_ids()) <= ids


@pytest.mark.parametrize("name", NAMES)
def test_plotly_and_matplotlib_draw_every_panel(found, name):
    picture = found.get(name) or pictures(everything())[name]
    for panel in picture.all_panels():
        drawn = panel.plotly().to_plotly_json()
        json.dumps(drawn, allow_nan=False)
        assert colours(drawn) <= set(DARK), "the page could not turn it dark"
    for panel in picture.panels:
        _, body = canvas(Caption("title", "sentence."), *panel.size_in)
        axes = body.subplots()
        panel.draw(axes)
        assert axes.get_title(loc="left") == panel.title


@pytest.mark.parametrize("records", [[], [make_record()], [failed_record("oom", "killed")]])
def test_records_that_do_not_differ_are_not_compared(records):
    names = {name.split("-")[0] for name in pictures(records)}
    assert names <= {"memory", "distribution"}


def test_one_engine_is_the_fastest_at_every_batch_size():
    said = pictures(engines())["batch_size"].sentence
    assert said.startswith("openvino int8 is the fastest at every batch size: 5.")
    assert "times as fast as torch fp32." in said


def test_a_diverged_record_is_drawn_marked_and_never_wins():
    picture = pictures(engines())["batch_size"]
    lines = {s.label: s for s in picture.panels[0].series}
    wrong, right = lines["onnxruntime int8"], lines["openvino int8"]
    assert wrong.points[0].value < right.points[0].value
    trace = next(t for t in picture.panels[0].plotly()["data"] if t["meta"] == wrong.label)
    assert list(trace["marker"]["symbol"]) == ["x-thin"] * len(BATCHES)
    for one in pictures(engines()).values():
        assert "onnxruntime int8" not in one.sentence
    assert any("diverged" in note for note in picture.all_notes())


def test_the_winner_is_named_at_each_batch_size_where_it_changes():
    records = [
        record({"backend": backend, "batch_size": batch}, p50_s)
        for backend, batch, p50_s in (
            ("torch", 1, 0.02), ("openvino", 1, 0.05), ("torch", 8, 0.4), ("openvino", 8, 0.2),
        )
    ]  # fmt: skip
    said = pictures(records)["batch_size"].sentence
    assert "The fastest: torch at batch size 1; openvino at batch size 8." in said


def test_a_tie_is_called_not_surely_ahead_and_has_no_ratio():
    records = [
        record({"backend": backend, "batch_size": batch}, p50_s * batch)
        for backend, p50_s in (("torch", 0.05), ("openvino", 0.0500001))
        for batch in (1, 8)
    ]
    said = pictures(records)["batch_size"].sentence
    assert "not surely ahead of" in said
    assert "times as fast as torch" not in said


def test_failed_records_leave_a_shorter_line():
    lines = {s.label: s for s in pictures(engines())["batch_size"].panels[0].series}
    assert [p.x for p in lines["openvino fp32"].points] == [1, 4]


def test_a_note_counts_settings_with_one_x_only():
    records = [*engines((1, 4)), make_record({"batch_size": 4, "threads": 2})]
    notes = pictures(records)["batch_size"].all_notes()
    assert any("1 setting with one batch size only" in note for note in notes)


def test_many_settings_are_several_pictures():
    records = [r for n in (32, 64) for r in _at_length(n)]
    found = pictures(records)
    assert found["batch_size"].title == "Batch size: 32 tokens"
    assert found["batch_size-2"].title == "Batch size: 64 tokens"


def _at_length(length):
    return [
        record({**r.case, "sequence_length": length}, r.metrics.latency_s.p50 * length / 128)
        for r in engines() if r.metrics
    ]  # fmt: skip


def test_cores_and_instances():
    found = pictures(cores())
    assert "From 1 to 4 cores, calls get 3.0 times as fast." in found["cores"].sentence
    assert found["instances"].title == "Instances, each on cores of its own"
    assert found["instances-2"].title == "Instances that share the cores out"
    assert found["efficiency"].sentence == "Measured: 76% of perfect at 4 cores."
    hollow = found["instances"].panels[0].plotly()["data"][0]["marker"]["symbol"]
    assert list(hollow) == ["circle", "circle", "circle-open"]


def test_lines_for_different_totals_of_cores_have_different_names():
    records = [
        record({"threads": threads, "instances": instances}, 0.3 / threads)
        for cores in (2, 4)
        for threads, instances in ((cores, 1), (1, cores))
    ]
    (picture,) = (
        p for p in pictures(records).values() if p.title == "Instances that share the cores out"
    )
    assert [label for label, _ in picture.legend()] == ["2 cores in all", "4 cores in all"]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_lines_have_the_same_name(found, name):
    for key, picture in found.items():
        if key.split("-")[0] == name:
            for panel in picture.panels:
                labels = [s.label for s in getattr(panel, "series", ())]
                assert len(labels) == len(set(labels))


def test_unproven_instances_are_no_finding():
    assert "4 instances" not in pictures(cores())["efficiency-2"].sentence


def test_lengths_and_doubts():
    picture = pictures(lengths())["sequence_length"]
    assert "From 32 to 512 tokens, a call takes 16 times as long." in picture.sentence
    assert "Records with doubts, which stand below: 1 of 2." in picture.all_notes()


def test_memory_has_a_bar_for_every_kind_that_is_known():
    picture = pictures(engines((1,)))["memory"]
    first = picture.panels[0].rows[0]
    assert [b.kind for b in first.bars] == [
        "process at its peak", "of it, shared with files", "process while loading",
        "tensors at their peak", "weights",
    ]  # fmt: skip
    assert "int8 needs the least at its peak" in picture.sentence


def test_the_roof_is_the_measured_bound():
    picture = pictures(engines())["roofline"]
    (roof,) = picture.panels[0].levels
    assert roof.value == engines()[0].metrics.bound_flops_per_s * 1e-9
    assert "% of the 1,200 GFLOP/s its cores can do, the nearest to the bound" in picture.sentence


def test_distributions_are_thinned_by_rank():
    many = [i / 1e6 for i in range(1, 50_001)]
    kept = thin(many)
    assert len(kept) == MOST_DOTS
    assert (kept[0], kept[-1]) == (many[0], many[-1])
    assert thin([3.0, 1.0]) == (1.0, 3.0)
    samples = Samples((tuple(many),), (tuple(many),))
    picture = pictures([make_record(samples=samples)])["distribution"]
    assert picture.panels[0].strips[0].count == 50_000
    (trace,) = picture.panels[0].plotly().data
    assert len(trace.to_json()) < 20_000


def test_too_few_calls_are_no_distribution():
    assert "distribution" not in pictures([make_record(calls=5)])


def test_a_way_that_needs_less_memory_is_shown_with_what_it_costs():
    found = pictures(low_memory())
    front, course = found["memory_front"], found["memory_course"]
    assert front.sentence == (
        "lowmem, lowmem.strategy stream needs the least, 12.0 MiB at batch 1: 138 times less than "
        "torch, at 98% of its throughput."
    )
    assert course.sentence == (
        "lowmem, lowmem.strategy stream adds the least to the process, up to 38.0 MiB; torch adds "
        "1,700 MiB."
    )
    assert len(front.panels[0].trails) == len(front.panels[0].groups) == 3
    panel = course.panels[0]
    assert panel._x_scale().low <= 0
    assert panel._x_scale().high >= max(x for trail in panel.trails for x, _ in trail.points)


def test_settings_that_need_alike_have_no_front_of_memory():
    assert "memory_front" not in pictures(engines())
    assert "memory_course" not in pictures(engines())


def test_a_profile_is_a_flame_graph_whose_frames_add_up():
    drawn = pictures(PROFILED)
    assert (
        "70% of the time goes to matrix products, 15% to softmax" in drawn["profile"].sentence
    )  # side by side
    flame = drawn["profile-2"].panels[0]
    whole, *inner = flame.frames
    assert whole.seconds == pytest.approx(0.2)
    for level in (1, 2):
        frames = [frame for frame in flame.frames if frame.level == level]
        assert sum(frame.seconds for frame in frames) == pytest.approx(0.2)
        ends = [(f.began_s, f.began_s + f.seconds) for f in frames]
        assert all(one[1] <= other[0] + 1e-9 for one, other in pairwise(ends))
    names = {frame.name for frame in inner}
    assert {"forward", "backward", "model", "layers.*", "mlp", "aten::mm"} <= names
    assert "12.0 GFLOP, 150 GFLOP/s" in " ".join(frame.text for frame in inner)
    assert [label for label, _ in flame.legend()][:2] == ["matrix products", "softmax"]
