"""The page of a suite: each view from records made by hand, and the page as one file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from lm_records import (
    MIB,
    TIMELINE,
    attention,
    first_call,
    mixed,
    not_tried,
    profiled,
    training,
    watched,
)

from honed import discovery
from honed.case import Case
from honed.plain import to_plain
from honed.plan.of_case import Expected
from honed.record import Doubt, Record
from honed.report.mistakes import MISTAKES, answers
from honed.report.paper import Caption, canvas
from honed.report.style import DARK
from honed.report.suite import page
from honed.report.views.base import Shown, Subject, load_view
from honed.show.numbers import NONE
from honed.suite.base import Experiment
from honed.suite.measure import Result

VIEWS = [name for name in discovery.names("honed.report.views") if name != "base"]


def subject(view: str, *records: Record, compares: bool = False) -> Subject:
    experiment = Experiment(view, view.title(), "Is it so?", view, (), compares)
    return Subject(Result(experiment, records))


def shown(view: str, *records: Record, compares: bool = False) -> Shown:
    return load_view(view).show(subject(view, *records, compares=compares))


@pytest.fixture
def timeline(tmp_path: Path) -> Path:
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps(to_plain(TIMELINE)))
    return path


def sweep() -> list[Record]:
    cells = []
    for length, ms, mib in ((256, 1.0, 4), (1024, 12.0, 40), (4096, 200.0, 600)):
        case = {"sequence_length": length}
        cells.append(attention({**case, "attention": "naive"}, ms, mib))
        cells.append(attention({**case, "attention": "sdpa"}, ms / 4, 2))
    return [*cells, not_tried({"sequence_length": 16384, "attention": "naive"})]


def everything(timeline: Path) -> dict[str, list[Record]]:
    """Records for each view."""
    cold = training({"warmup_steps": 0}, 1.6, spread=1.3, doubts=(first_call(),))
    ways = [
        training({"checkpointing": how}, slowness, passes=watched(timeline))
        for how, slowness in (("off", 1.0), ("blocks", 1.3), ("nested", 1.7))
    ]
    return {
        "phases": [training(), training({"model": "lm-medium"}, 3.0)],
        "warmup": [cold, training({"warmup_steps": 5})],
        "profile": [
            training(passes=profiled()), training({"until": "forward"}, passes=profiled())
        ],
        "precision": [training({"precision": "bf16"}, passes=mixed())],
        "memory": [training(passes=watched(timeline))],
        "checkpointing": ways,
        "attention": sweep(),
    }  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_draws_and_fills_its_tables(view: str, timeline: Path) -> None:
    found = shown(view, *everything(timeline)[view])
    assert found.findings
    assert all(sentence.endswith(".") for sentence in found.findings)
    assert found.grids
    for grid in found.grids:
        assert grid.rows
        assert {len(row) for row in grid.rows} == {len(grid.headings)}
    for picture in found.pictures:
        for panel in picture.all_panels():
            drawn = json.dumps(panel.plotly().to_plotly_json(), allow_nan=False)
            assert set(re.findall(r'"(#[0-9a-f]{6})"', drawn)) <= set(DARK)
        for flat in picture.panels:
            _, body = canvas(Caption("title", "sentence."), *flat.size_in)
            flat.draw(body.subplots())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_without_numbers_says_nothing(view: str) -> None:
    assert shown(view, not_tried({})) == Shown()


def test_phases_add_up_and_are_compared() -> None:
    (first, second) = shown("phases", training(), training({"model": "lm-medium"}, 3.0)).findings
    assert first == (
        "lm-small: a step takes 340 ms: forward 29%, backward 59% and optimizer 12%; the phases, "
        "timed apart, add up to the step within 0.0%."
    )
    assert second.startswith("lm-medium: a step takes 1.02 s")
    both = [training(), training({"precision": "bf16"}, 0.5), training({"model": "lm-xl"}, 9.0)]
    (said,) = shown("phases", *both, compares=True).findings
    assert "lm-small bf16 is 2.00 times as fast (forward is 2.00 times as fast" in said
    assert said.endswith("as lm-small fp32.")


def test_a_warm_up_shows_what_the_first_call_does() -> None:
    cold = training({"warmup_steps": 0}, 1.6, spread=1.3)
    (said,) = shown("warmup", training({"warmup_steps": 5}), cold).findings
    assert said == (
        "After 0 warm-up steps the mean is 1.60 times as long as after 5: it is 544 ms, and the "
        "standard deviation is 130% of it. The slowest step took 1.10 times the median."
    )


def test_profiles_show_products_against_softmax_and_the_phases() -> None:
    found = shown("profile", training(passes=profiled()))
    text = " ".join(found.findings)
    assert "70% of the time goes to matrix products, 15% to softmax, 10% to the optimizer" in text
    assert "matrix products take 4.67 times as long as softmax, for 18.0 GFLOP" in text
    assert "matrix products take 60% of forward, 100% of backward and 0% of optimizer" in text
    assert "The profiler made calls longer by up to 25%" in text


def test_attention_says_where_a_kernel_ends_and_what_the_fused_one_gains() -> None:
    found = shown("attention", *sweep())
    text = " ".join(found.findings)
    assert "naive was measured at up to 4,096 tokens; 16,384 tokens: attention=naive takes" in text
    assert "sdpa was measured at up to 4,096 tokens." in text
    assert "sdpa beside naive at sequence_length 4096: forward is 4.00 times as fast" in text
    assert "2.0 MiB are alive in place of 600" in text
    assert "None of 6 cells is faster" in text
    (grid,) = found.grids
    assert grid.rows[-1] == ("16384", "oom", "oom", "oom", NONE, NONE, NONE)
    doubt = Doubt("traffic", "a call took 0.55 ms")
    wrong = replace(sweep()[0], doubts=(doubt,))
    assert "not to be believed: naive at 256." in " ".join(shown("attention", wrong).findings)


def test_memory_stands_beside_its_plan(timeline: Path) -> None:
    record = training(passes=watched(timeline))
    expected = Expected(404 * MIB, 500 * MIB, 100 * MIB, TIMELINE)
    about = subject("memory", record)
    result = replace(about.result, expected={record.to_case().id: expected})
    found = load_view("memory").show(Subject(result))
    assert "The plan said 404 MiB (+1.00%)." in found.findings[0]
    assert "16 x 128 x 768 float16, has 3.00 MiB." in found.findings[1]
    assert found.grids[0].rows[0][2:6] == ("404", "400", "+1.00%", "403")
    (picture,) = found.pictures
    assert [panel.title for panel in picture.panels] == ["Measured, MiB", "Planned, MiB"]
    gone = training(passes=watched(timeline.with_name("gone.json")))
    assert shown("memory", gone).pictures == ()


def test_every_mistake_is_answered_also_without_records(timeline: Path) -> None:
    records = [r for of in everything(timeline).values() for r in of]
    said = dict(answers(records))
    assert list(said) == list(MISTAKES)
    text = " ".join(said.values())
    assert "130% of the mean; 1 of 1 such records have the doubt" in text
    assert "0 of 6 attention cells are faster" in text
    assert "of 4 pairs of neighbouring lengths, 0 have less memory" in text
    assert "16 x 128 x 768 float16 has 3.00 MiB" in text
    assert "outputs of normalisation layers are float32, gradients are float32" in text
    assert "1 of 1 cases that do not fit were refused" in text
    assert all(answer.endswith(".") for _, answer in answers([]))


def test_the_page_is_one_file_with_every_experiment(timeline: Path) -> None:
    found = [
        Result(Experiment(view, f"About {view}", "Is it so?", view, ()), tuple(records), left=1)
        for view, records in everything(timeline).items()
    ]
    missing = Experiment("later", "Later", "Is it so?", "phases", ())
    text = page("lm-systems", [*found, Result(missing, (), left=3)])
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(?:src|href)=[\"'](?!#)", markup)
    for view in VIEWS:
        assert f'<section id="{view}">' in text
    assert "No numbers: 3 cases not measured yet." in text
    assert "it was not tried" in text
    for anchor in set(re.findall(r'href="#([^"]+)"', markup)):
        assert f'id="{anchor}"' in markup, anchor
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len({each["name"] for each in data["pictures"]}) == len(data["pictures"])
    assert "&lt;layer&gt;" in text or "\\u0026lt;layer" in text  # names of modules are no markup


def test_labels_leave_out_how_long_a_case_was_measured() -> None:
    records = [training({"steps": n, "warmup_steps": n}, n) for n in (1, 2)]
    assert subject("phases", *records).varying == ["model"]
    assert isinstance(Case.from_json(records[0].case), Case)
