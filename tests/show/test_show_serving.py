"""What `honed serve --explain` prints, of numbers that a test gives it."""

from __future__ import annotations

from dataclasses import replace

from records import make_record
from screens import in_one_line

from honed.serve.explain import Explanation, LengthClass, WorkerPlace
from honed.show.serving import explanation

MIB = 2**20
SHORT = LengthClass(64, 0.01, 32, 0.2, 320.0, 40 * MIB)
LONG = LengthClass(512, 0.08, 4, 0.3, 26.0, 55 * MIB)
WORKERS = (WorkerPlace((0,), 1, 700 * MIB), WorkerPlace((1,), 1, 690 * MIB))
FOUND = Explanation(
    make_record(), (), WORKERS, 418 * MIB, 512, 2048, (SHORT, LONG), 1.1, ""
)  # fmt: skip


def shown(found: Explanation) -> str:
    return in_one_line(explanation(found), width=140)


def test_an_express_worker_is_shown_or_proposed() -> None:
    assert "express" not in shown(FOUND)
    able = replace(FOUND, short_edge=64)
    assert "for the 80.0 ms of a long one: express=1 lets texts of up to 64 tokens" in shown(able)
    express = WorkerPlace((0, 1), 1, 300 * MIB, up_to=64)
    text = shown(replace(able, workers=(*WORKERS, express)))
    assert "2 0-1 1 300 up to 64 tokens" in text
    assert "express=1" not in text


def test_the_memory_that_plan_gives_each_batch_stands_beside_what_workers_hold() -> None:
    text = shown(FOUND)
    assert "0 0 1 700" in text
    assert "take 55 MiB in each worker that computes one, 110 MiB in all" in text
    assert "512 80.0 4 300 55 26.0" in text
    unknown = tuple(replace(c, batch_bytes=None) for c in FOUND.classes)
    assert replace(FOUND, classes=unknown).largest_batch_bytes is None
    assert "leaves out the sizes" in shown(replace(FOUND, classes=unknown))
