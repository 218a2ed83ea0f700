"""The pictures of a tuning study hold its trials, and their sentences the findings."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import cores, engines, everything, record, study

from honed.record import Interval
from honed.report.evidence import Evidence
from honed.report.figures.base import all_pictures
from honed.report.panels.cloud import Dot, best_so_far
from honed.report.panels.grid import Cell, Grid, Surface
from honed.report.panels.parallel import Bundle, Parallel, Rail, Way
from honed.report.style import Style
from honed.study import Axis, Goal, Setting, StudyFacts, Trial, pareto_front


@pytest.fixture(scope="module")
def records():
    return everything()


@pytest.fixture(scope="module")
def facts(records):
    return study(records)


@pytest.fixture(scope="module")
def found(records, facts):
    return drawn(records, facts)


def drawn(records, facts):
    pictures = dict(all_pictures(Evidence(tuple(records), facts)))
    return {name: p for name, p in pictures.items() if name.startswith("study_")}


def test_without_a_study_no_picture_of_a_study_is_drawn(records):
    assert drawn(records, None) == {}


def test_an_empty_study_draws_nothing(records):
    goals = (Goal("latency", "ms", "less"),)
    default = Setting({"backend": "torch", "precision": "fp32"})
    axes = {"backend": Axis("backend", ("torch",))}
    for trials in ((), (Trial(0, "default", default, "running"),)):
        assert drawn(records, StudyFacts("s", goals, trials, axes, default)) == {}


def test_the_sentence_of_the_gain_has_its_interval(found):
    picture = found["study_gain"]
    assert picture.sentence == (
        "From the default to the recommendation for throughput and latency: 6.4 → 31 "
        "sequences/s, 4.81x (4.62 to 5.01)."
    )
    assert len(picture.record_ids()) == 2
    rows = [row.label for row in picture.panels[0].rows]
    assert rows == ["default", "recommended"]


def test_a_study_that_keeps_the_default_says_so(records, facts):
    outcome = dataclasses.replace(facts.outcome, gain=Interval(1.0))
    same = dataclasses.replace(
        facts, outcome=outcome, headline="the default is the best that was found"
    )
    assert drawn(records, same)["study_gain"].sentence == "The default is the best that was found."


def test_what_one_trial_each_tells_is_not_called_measured_in_turns(records, facts):
    assert facts.outcome is not None
    sides = {"default": records[0], "best": records[1]}
    by_trials = dataclasses.replace(
        facts.outcome, default_pooled=None, best_pooled=None, note="misses a limit", **sides
    )
    found = drawn(records, dataclasses.replace(facts, outcome=by_trials))["study_gain"]
    assert "not measured in turns" in " ".join(found.notes)
    assert "misses a limit." in " ".join(found.notes)
    assert "Both were measured in turns" in " ".join(drawn(records, facts)["study_gain"].notes)


def test_the_steps_begin_where_the_one_before_ends(found):
    picture = found["study_steps"]
    assert picture.sentence == (
        "Step by step: backend=openvino precision=int8 3.20 times and batch_size=4 1.50 times; "
        "together 4.81 times better. Not recommended, since no gain was proven: threads=2."
    )
    (panel,) = picture.panels
    assert [(f.label, f.text) for f in (*panel.steps, panel.whole)] == [
        ("backend=openvino precision=int8", "3.2x (3.1 to 3.3)"),
        ("batch_size=4", "1.5x, by one trial each"),
        ("all steps", "4.81x (4.62 to 5.01)"),
    ]
    drawn = panel.plotly()["data"]
    bodies = [t["x"] for t in drawn if t["mode"] == "lines" and t["x"][0] != t["x"][1]]
    assert [x for body in bodies for x in body] == pytest.approx(
        [1, 3.2, 3.2, 4.81, 1, 4.81], rel=1e-3
    )


def test_the_whisker_of_a_step_is_the_interval_of_that_step(found):
    drawn = found["study_steps"].panels[0].plotly()["data"]
    first, second, whole = (t for t in drawn if t["mode"] == "markers")
    assert first["error_x"]["array"] == pytest.approx((0.1,))
    assert first["error_x"]["arrayminus"] == pytest.approx((0.1,))
    assert second["error_x"]["array"] is None, "one trial each has no interval"
    assert whole["error_x"]["array"] == pytest.approx((0.2,))


def test_the_history_has_every_trial_and_its_line_only_trials_within_limits(found, facts):
    cloud = found["study_history"].panels[0]
    assert sum(len(g.dots) for g in cloud.groups) + len(cloud.failed) == len(facts.ended)
    assert len(cloud.failed) == sum(not t.ok for t in facts.ended)
    hollow = {d.x for g in cloud.groups for d in g.dots if d.hollow}
    assert hollow == {t.number for t in facts.ended if t.ok and not t.feasible}
    best = max(t.values[0] for t in facts.ended if t.feasible)
    (trail,) = cloud.trails
    assert trail.points[-1] == (facts.ended[-1].number, best) or trail.points[-1][1] == best
    assert "without a result" in found["study_history"].sentence
    assert "over a limit" in found["study_history"].sentence


@given(st.lists(st.tuples(st.floats(0.1, 1e6), st.booleans()), max_size=30), st.booleans())
def test_the_best_so_far_never_gets_worse(values, less):
    dots = [Dot(i, y, hollow=hollow) for i, (y, hollow) in enumerate(values)]
    steps = best_so_far(dots, less)
    able = [d.y for d in dots if not d.hollow]
    assert bool(steps) == bool(able)
    ys = [y for _, y in steps]
    assert ys == sorted(ys, reverse=less)
    if able:
        assert ys[-1] == (min if less else max)(able)


def test_importances_are_drawn_the_largest_first(found):
    picture = found["study_importance"]
    assert picture.sentence == (
        "precision (61%) changes the cost the most over the settings tried, then backend (24%) "
        "and batch_size (15%)."
    )
    shares = [row.bars[0].point.value for row in picture.panels[0].rows]
    assert shares == sorted(shares, reverse=True)


def test_every_setting_is_a_line_and_the_best_end_at_the_right(found, facts):
    picture = found["study_parallel"]
    panel = picture.panels[0]
    ways = {b.label: b.ways for b in panel.bundles}
    assert sum(map(len, ways.values())) == len(facts.candidates)
    (best,) = ways["the best"]
    ends = [w.stops[-1] for label in ("best quarter", "the rest") for w in ways[label]]
    assert best.stops[-1] >= max(ends)
    assert panel.rails[-1].name == "Throughput, sequences/s"
    mode = [r.name for r in panel.rails].index("precision")
    assert all(0 <= w.stops[mode] <= 1 for own in ways.values() for w in own)
    assert "all have threads as it comes and instances=1" in picture.sentence


def test_names_of_values_without_room_are_placed_on_two_levels():
    long = tuple((i / 9, f"a-long-name-{i}") for i in range(9))
    rails = (Rail("k", long), Rail("k2", ((0.5, "one"),)))
    panel = Parallel("t", rails, (Bundle("a", Style(), (Way((0.1, 0.5)),)),))
    notes = panel.plotly()["layout"]["annotations"]
    assert len({n["y"] for n in notes if n["text"].startswith("a-")}) == 2
    assert all(len(n["text"]) <= 12 for n in notes if n["text"].startswith("a-"))


def test_a_slice_holds_the_best_of_each_pair(found, facts):
    picture = found["study_slices"]
    assert picture.title.startswith("Two settings at a time, backend by precision")
    grid = picture.panels[0].grid
    assert grid.x == ("backend", ("torch", "onnxruntime", "openvino"))
    for (i, j), cell in grid.cells.items():
        pair = (grid.x[1][i], grid.y[1][j])
        rates = [c.values[0] for c in facts.candidates if c.setting.branch == pair and c.feasible]
        assert cell.value == max(rates, default=None)
    assert grid.cells[1, 2].value is None, "all of onnxruntime int8 diverged"
    assert "Best with backend=openvino and precision=int8" in picture.sentence
    assert picture.solids == (), "engines have no order to span a surface over"


def test_two_numbers_are_a_heat_map_and_a_surface():
    rates = {(t, n): t**0.7 * n**0.9 for t in (1, 2, 4) for n in (1, 2)}
    records = [record({"threads": t, "instances": n}, n / rate) for (t, n), rate in rates.items()]
    facts = study(records)
    picture = drawn(records, facts)["study_slices"]
    assert picture.title.startswith("Two settings at a time, threads by instances")
    (surface,) = picture.solids
    heights = surface.plotly()["data"][0]["z"]
    assert [len(row) for row in heights] == [3, 3]
    assert list(surface.plotly()["layout"]["scene"]["xaxis"]["ticktext"]) == ["1", "2", "4"]
    assert "Best with threads=4 and instances=2" in picture.sentence


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 3)),
        st.none() | st.floats(1e-3, 1e6),
        min_size=1,
    ),
    st.booleans(),
)
def test_the_deepest_colour_is_the_best(values, less):
    words = ("0", "1", "2", "3")
    cells = {at: Cell(v) for at, v in values.items()}
    grid = Grid(("a", words), ("b", words), cells, less)
    known = [v for v in values.values() if v is not None]
    for at, value in values.items():
        shade = grid.shade(cells[at])
        assert (shade is None) == (value is None)
        if value is not None:
            assert 0 <= shade <= 1
        if known and value == (min if less else max)(known):
            assert shade == 1
    square = all(values.get(at) is not None for at in ((0, 0), (0, 1), (1, 0), (1, 1)))
    assert Surface.is_drawable(grid) >= square


def test_the_front_has_the_settings_that_no_other_beats(found, facts):
    picture = found["study_front"]
    groups = {g.label: g.dots for g in picture.panels[0].groups}
    best = {(d.x, d.y) for d in groups["no other beats it"]}
    assert best
    for dot in groups["beaten"]:
        if not dot.hollow:
            assert any(x >= dot.x and y <= dot.y for x, y in best)
    assert f"{len(best)} of" in picture.sentence


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_the_front_is_never_empty_nor_beaten(values):
    best = pareto_front([(x, -y) for x, y in values])
    assert bool(best) == bool(values)
    for i in best:
        x, y = values[i]
        assert not any(a <= x and b >= y and (a, b) != (x, y) for a, b in values)


def test_latency_is_drawn_against_throughput_where_batch_sizes_differ():
    found = dict(all_pictures(Evidence(tuple(engines()))))["front"]
    assert found.title == "Latency against throughput"
    families = [g.label for g in found.panels[0].groups]
    assert "torch fp32" in families
    assert len(families) == len(set(families))
    assert "openvino int8" in found.sentence
    (line,) = found.panels[0].trails
    assert [y for _, y in line.points] == sorted(y for _, y in line.points)


def test_one_sequence_at_a_time_has_no_front():
    records = [r for r in cores() if r.case["instances"] == 1]
    assert "front" not in dict(all_pictures(Evidence(tuple(records))))


def test_a_trial_without_a_stored_record_is_still_drawn(records, facts):
    found = drawn(records[:3], facts)
    assert set(found["study_history"].record_ids()) == {r.id for r in records[:3]}
    assert len(found["study_parallel"].panels[0].bundles) == 4
