"""The sampler: settings beside the leaders, ranked by what the trials say of each key."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from landscape import question, space

from honed.study import Setting, Trial
from honed.tune.planner import View
from honed.tune.sampling import neighbours, suggest
from honed.tune.space import Dimension

OPENVINO = Setting({"backend": "openvino", "precision": "int8"})
TORCH = Setting({"backend": "torch", "precision": "fp32"})


def view(sampler: str, *results: tuple[Setting, float], limit: str = "") -> View:
    """Trials with these costs; a limit is half the cost of the first trial."""
    asked = question(
        "objective=latency", f"sampler={sampler}", *([f"limit={limit}"] if limit else [])
    )
    numbers, bound = count(), results[0][1] / 2
    done = [
        Trial(
            next(numbers), "expert", setting, "ok", "r", (cost,), (cost,),
            dict.fromkeys(asked.limits, cost / bound - 1),
        )
        for setting, cost in results
    ]  # fmt: skip
    return View(asked, space(asked), done, 0.3)


def differing(one: Setting, other: Setting) -> set[str]:
    return {k for k in {*one, *other} if one.get(k) != other.get(k)}


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_a_suggestion_is_one_or_two_keys_away_from_a_leader(sampler: str) -> None:
    leader = OPENVINO.changed(**{"openvino.streams": 2})
    tried = [(TORCH, 3.0), (OPENVINO, 1.0), (leader, 0.9)]
    for _ in range(12):
        seen = view(sampler, *tried)
        found = suggest(seen, OPENVINO.branch, seen.space.of("openvino", "search"))
        assert found is not None
        assert not seen.tried(found)
        assert min(len(differing(found, s)) for s, _ in tried[1:]) <= 2
        tried.append((found, 1.1))


def test_a_value_that_was_bad_elsewhere_is_not_tried_again_soon() -> None:
    one = OPENVINO.changed(threads=1)
    tried = [(TORCH, 3.0), (TORCH.changed(threads=1), 6.0), (OPENVINO, 1.0), (one, 2.1)]
    for _ in range(4):
        seen = view("gp", *tried)
        found = suggest(seen, OPENVINO.branch, seen.space.of("openvino", "search"))
        assert found is not None
        assert found.get("threads") != 1
        tried.append((found, 1.0))


def test_an_ordered_key_goes_one_value_at_a_time() -> None:
    batches = Dimension("batch_size", (1, 2, 4, 8, 16, 32), True, "search")
    seen = view("gp", (TORCH, 3.0), (OPENVINO, 1.0))
    wide = replace(seen, space=replace(seen.space, dimensions=(batches,)))
    found = neighbours(wide, OPENVINO, (batches,), in_steps=True)
    assert list(found) == [OPENVINO.changed(batch_size=2)]
    found = neighbours(wide, OPENVINO.changed(batch_size=8), (batches,), in_steps=True)
    assert list(found) == [OPENVINO.changed(batch_size=4), OPENVINO.changed(batch_size=16)]


def test_nothing_is_suggested_when_all_neighbours_were_tried() -> None:
    seen = view("gp", (TORCH, 3.0), (OPENVINO, 1.0))
    dimensions = [d for d in seen.space.of("openvino", "search") if d.key == "threads"]
    tried = [(TORCH, 3.0), (OPENVINO, 1.0), (OPENVINO.changed(threads=1), 2.0),
             (OPENVINO.changed(threads=2), 1.0)]  # fmt: skip
    assert suggest(view("gp", *tried), OPENVINO.branch, dimensions) is None
