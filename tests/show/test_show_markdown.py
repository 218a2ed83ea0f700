"""The table for documents: whole rows, statuses, and nothing that breaks the table."""

import re

from records import failed_record, make_record
from reports import engines, everything

from honed.report import write_markdown
from honed.show.cost import prices
from honed.show.cost_table import cost_column, cost_notes
from honed.show.markdown import markdown
from honed.show.rows import Extra


def table(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines]


def test_every_record_is_a_row_with_its_status():
    records = everything()
    head, dashes, *rows = table(markdown(records))
    assert len(rows) == len(records)
    assert {len(row) for row in (head, dashes, *rows)} == {len(head)}
    names = [name.strip() for name in head]
    assert names[:2] == ["backend", "precision"]
    assert {"batch_size", "p50 ms (95 %)", "seq/s (95 %)", "peak MiB", "cosine"} <= set(names)
    assert names[-1] == "status"
    assert sorted(row[-1].strip() for row in rows) == sorted(r.status for r in records)


def test_rows_of_one_shape_stand_together_the_fastest_first():
    rows = table(markdown(engines()))[2:]
    p50s = [float(re.sub(r"[*,]", "", row[3]).split()[0]) for row in rows if "±" in row[3]]
    batch = [row[2].strip() for row in rows]
    assert batch == sorted(batch, key=batch.index)
    assert p50s[0] == min(p50s)


def test_the_best_beyond_doubt_is_bold_and_reasons_stand_below():
    text = markdown(engines())
    assert "**" in next(line for line in text.splitlines() if line.startswith("| openvino"))
    assert "- oom: killed at 16 GiB" in text
    assert text.count("- diverged: cosine 0.812") == 1
    diverged = [line for line in text.splitlines() if line.endswith("diverged |")]
    assert diverged
    assert not any("**" in line for line in diverged)


def test_what_records_say_cannot_break_the_table():
    nasty = "a|b <script>`x`\n**y**"
    records = (make_record({"torch.mode": nasty}), make_record(seed=1),
               failed_record("crashed", nasty, case={"batch_size": 2}))  # fmt: skip
    text = markdown(records)
    head, _, *rows = table(text)
    assert len(rows) == 3
    assert all(len(row) == len(head) for row in rows)
    assert re.search(r"(?<!\\)<script", text) is None


def test_costs_and_the_cheapest_are_told():
    records = engines()
    known = prices("$3.60/h")
    extra = Extra((cost_column(known),), tuple(cost_notes(records, known)))
    text = markdown(records, extra)
    assert "cost per million" in text
    assert re.search(r"^- cheapest: \w{8} \(openvino int8", text, re.MULTILINE)


def test_it_is_written_where_wanted(tmp_path):
    path = write_markdown([make_record()], tmp_path / "docs" / "table.md")
    assert path.read_text("utf-8").startswith("| backend | precision |")
