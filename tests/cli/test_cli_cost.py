"""--price and --limit as users meet them."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pytest
from command import Done

FAKE = ["model=tiny", "backend=fake", "duration_s=0.1", "warmup_s=0.1", "sequence_length=8"]


def honed(cwd: Path, *words: str) -> Done:
    return command.honed(cwd, *words, COLUMNS="200")


def test_run_and_list_tell_costs_and_name_the_cheapest(tmp_path: Path) -> None:
    done = honed(
        tmp_path, "run", *FAKE, "batch_size=1,4", "--price", "$4.848/h",
        "--limit", "latency_p50_ms<=1000",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cost per" in done.stdout
    assert "whole machine while it runs only this, back to back ($4.848/h)" in done.stdout
    assert "cheapest that meets latency_p50_ms<=1000" in done.stdout
    listed = honed(tmp_path, "list", "--price", "1/h", "--limit", "latency_p50_ms<=0.000001")
    assert "no ok record with a cost is known to be one that meets" in listed.stdout
    plain = honed(tmp_path, "list").stdout
    assert "cost" not in plain


def test_json_has_the_cost_beside_the_record_and_the_store_has_none(tmp_path: Path) -> None:
    done = honed(tmp_path, "run", *FAKE, "--json", "--price", "3.6/h")
    record = json.loads(done.stdout)
    rate = record["metrics"]["throughput_per_s"]["value"]
    cost = record["cost"]
    assert cost["per_million_sequences"] == pytest.approx(1000 / rate)  # 0.001 a second
    assert cost["assumption"].startswith("cost of the whole machine")
    assert "cheapest" in done.stderr
    stored = json.loads(honed(tmp_path, "list", "--json").stdout)
    assert "cost" not in stored
    assert stored == {k: v for k, v in record.items() if k != "cost"}


def test_compare_tells_what_each_side_costs(tmp_path: Path) -> None:
    words = [*FAKE, "A: batch_size=1", "B: batch_size=2", "--budget", "6s"]
    words = [part for word in words for part in word.split()]
    done = honed(tmp_path, "compare", *words, "--price", "3.6 EUR/h", "--json")
    sides = json.loads(done.stdout)["sides"]
    assert all(side["cost"]["currency"] == "EUR" for side in sides)
    assert all(side["cost"]["per_million_sequences"] > 0 for side in sides)


def test_wrong_words_stop_before_anything_is_measured(tmp_path: Path) -> None:
    for words in (
        ["--price", "cheap"],
        ["--price", "nowhere.yaml"],
        ["--limit", "latency_p99_ms<=50"],
        ["--price", "1/h", "--limit", "latency<=50"],
    ):
        done = honed(tmp_path, "run", *FAKE, *words)
        assert done.returncode == 2
        assert "try:" in done.stderr
    assert not (tmp_path / ".honed").exists()


def test_report_shows_the_costs_and_the_cheapest(tmp_path: Path) -> None:
    honed(tmp_path, "run", *FAKE, "batch_size=1,4")
    done = honed(tmp_path, "report", "--price", "$4.848/h", "--limit", "latency_p50_ms<=1000")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "cost per<br>million" in page
    assert "Cost of the whole machine while it runs only this, back to back ($4.848/h)." in page
    assert "Cheapest that meets latency_p50_ms&lt;=1000" in page
