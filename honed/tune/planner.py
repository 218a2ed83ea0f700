"""What to try next: a pure function of what has been tried.

Nothing is remembered between two calls, so that a resumed study goes on where it was, and several
processes that share one never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from honed.tune.polishing import polish
from honed.tune.sampling import suggest
from honed.tune.space import Branch, Space
from honed.tune.trial import Point, Setting, Trial, front, point, settings, words
from honed.tune.view import Proposal, View

# How far into the search (its time or its trials) each stage may begin a trial. An earlier stage
# that is done leaves its share to the later ones.
_UNTIL = {
    "expert": 0.85,
    "others": 0.55,
    "halving": 0.7,
    "sampler": 0.85,
    "polish": 0.95,
    "unlikely": 0.6,
}
_FINALISTS = 2
_PATIENCE = 8  # sampler trials of a branch without a gain, after which it is given up
_GAIN = 0.99
_CONTENDERS = 4
_ROOT = ("backend", "precision")
_CLOSE = (1.15, 1.08)  # this near to the best: worth a second and a third trial
_IN_DOUBT = 1.3  # one trial each tells settings apart that differ by more
_WEAK = 1.7  # by what is expected of it, a branch this far behind waits


def stages(view: View) -> Proposal | None:
    """Structure before sampler: the next trial, or None when nothing is left worth trying."""
    default = view.space.default
    if not view.tried(default):
        return Proposal(default, "default")
    for stage in (
        _warm,
        _expert,
        _structures,
        _others,
        _halving,
        _sampler,
        _polish,
        _simpler,
        _unlikely,
        _repeat,
    ):
        if (found := stage(view)) is not None:
            return found
    return None


def exhaustive(view: View) -> Proposal | None:
    """Every point of every branch, in order: what brute force does."""
    default = view.space.default
    if not view.tried(default):
        return Proposal(default, "default")
    done = {t.setting for t in view.trials if t.status != "interrupted"}
    for branch in view.space.branches:
        for at in view.space.points(branch):
            if " ".join(words(at)) not in done:
                return Proposal(at, "exhaustive")
    return None


def _warm(view: View) -> Proposal | None:
    """What was best in the nearest earlier study."""
    for found in view.ask.extra.get("warm", ()):
        at = view.space.within(found)
        if at is not None and view.share < _UNTIL["expert"] and view.new(at):
            return Proposal(at, "warm")
    return None


def _expert(view: View) -> Proposal | None:
    """Each engine once, with the precision that promises the most here."""
    seen: set[str] = set()
    for branch in view.space.branches:
        if branch.backend in seen or branch.unlikely or _is_default(view, branch):
            continue
        seen.add(branch.backend)
        if view.share < _UNTIL["expert"] and view.new(branch.point):
            return Proposal(view.space.normal(branch.point), "expert")
    return None


def _is_default(view: View, branch: Branch) -> bool:
    return branch.key == (view.ask.base.backend, view.ask.base.precision)


def _others(view: View) -> Proposal | None:
    """The rest of engines x precisions, while there is time for the weaker ones."""
    for branch in view.space.branches:
        at = view.space.normal(branch.point)
        waits = branch.unlikely or _weak(view, branch)
        if view.share < _UNTIL["others"] and not waits and view.new(at):
            return Proposal(at, "expert")
    return None


def _weak(view: View, branch: Branch) -> bool:
    """Whether its engine, by its best precision so far and what the instructions promise for this
    one, would be far behind the leader."""
    promise = {b.key: b.promise for b in view.space.branches}
    plain = {
        s.branch: s.cost
        for s in view.settings
        if s.feasible and set(s.point) <= set(_ROOT) and s.branch in promise
    }
    own = [cost * promise[key] for key, cost in plain.items() if key[0] == branch.backend]
    if not own or len(view.ask.objectives) > 1 or view.ask.objectives[0].timing is None:
        return False
    return min(own) / branch.promise > _WEAK * min(plain.values())


def _unlikely(view: View) -> Proposal | None:
    """What is expected to be far behind, and engines that by their own word are slow to start or
    have no kernels for this: each once, when the others leave time for it."""
    for branch in sorted(view.space.branches, key=lambda b: b.unlikely):
        at = view.space.normal(branch.point)
        if view.share < _UNTIL["unlikely"] and view.new(at):
            return Proposal(at, "expert")
    return None


def _structures(view: View) -> Proposal | None:
    """The known good shares of a machine's cores, on the branches that lead."""
    for branch in _leading(view)[:_FINALISTS]:
        for shape in _shapes(view.space):
            at = view.space.normal({**branch, **shape})
            if view.share < _UNTIL["halving"] and view.new(at):
                return Proposal(at, "expert")
    return None


def _shapes(space: Space) -> Iterator[dict[str, int | None]]:
    """1 core x N, 4 x N/4, and all cores for one, as far as they are searched."""
    searched = {d.key: d for d in space.dimensions if d.ordered}
    counts = [v for v in searched["threads"].values if v] if "threads" in searched else []
    cores = max((int(c) for c in counts), default=0)
    for threads in (1, 4):
        if "instances" in searched and cores > threads:
            yield {"instances": cores // threads, "threads": threads}
    if cores:
        yield {"threads": cores}


def _leading(view: View) -> list[Point]:
    """One point per branch with a result, the best branch first."""
    found: dict[tuple[str, str], Point] = {}
    for setting in view.settings:
        if setting.ok and setting.branch not in found:
            backend, precision = setting.branch
            found[setting.branch] = point({"backend": backend, "precision": precision})
    return list(found.values())


def _halving(view: View) -> Proposal | None:
    """The better half gets a second trial, the better quarter a third; two go on. Who is too far
    from the second for luck to have decided it gets none."""
    if view.share >= _UNTIL["halving"]:
        return None
    leading = _leading(view)
    if len(leading) <= _FINALISTS:
        return None
    best = [next(s for s in view.settings if s.branch == _key(b)) for b in leading]
    kept = len(leading)
    for trials in (2, 3):
        kept = max(_FINALISTS, -(-kept // 2))
        for setting in best[:kept]:
            apart = _ratio(setting, best[_FINALISTS - 1])
            own = [t for t in view.trials if t.branch == setting.branch and t.ok]
            if len(own) < trials and apart < _IN_DOUBT:
                return Proposal(setting.point, "halving")
        if kept == _FINALISTS:
            break
    return None


def _ratio(one: Setting, other: Setting) -> float:
    """How far apart two settings are, whichever is the better one."""
    low, high = sorted((one.cost, other.cost))
    return high / low if low > 0 else math.inf


def _key(branch: Point) -> tuple[str, str]:
    return str(branch["backend"]), str(branch["precision"])


def _sampler(view: View) -> Proposal | None:
    """Two trials for the leading branch, then one for the second."""
    if view.share >= _UNTIL["sampler"]:
        return None
    leading = _leading(view)[:_FINALISTS]
    done = [sum(t.stage == "sampler" for t in _own(view, branch)) for branch in leading]
    weighed = sorted(
        range(len(leading)), key=lambda i: (done[i] / (_FINALISTS - i), i)
    )  # the least served first
    for index in weighed:
        branch = leading[index]
        if _given_up(_own(view, branch)):
            continue
        own = view.space.of(_key(branch)[0], "search")
        if (at := suggest(view, branch, own)) is not None:
            return Proposal(at, "sampler")
    return None


def _own(view: View, branch: Point) -> list[Trial]:
    return [t for t in view.trials if t.branch == _key(branch) and t.status != "interrupted"]


def _given_up(own: Sequence[Trial]) -> bool:
    """No gain in the last sampler trials."""
    sampled = [t for t in own if t.stage == "sampler"]
    if len(sampled) < _PATIENCE:
        return False
    since = sampled[-_PATIENCE].number
    before = settings([t for t in own if t.number < since])
    now = settings(own)
    return bool(before) and now[0].rank[:2] == before[0].rank[:2] and (
        now[0].cost > _GAIN * before[0].cost
    )  # fmt: skip


def _polish(view: View) -> Proposal | None:
    return polish(view) if view.share < _UNTIL["polish"] else None


def _simpler(view: View) -> Proposal | None:
    """The best without each of its knobs: one short trial each, before anything is proven."""
    if view.share >= 1 or not (found := [s for s in view.settings if s.feasible]):
        return None
    for key in found[0].point:
        at = view.space.normal({k: v for k, v in found[0].point.items() if k != key or k in _ROOT})
        if key not in _ROOT and view.new(at):
            return Proposal(at, "simpler")
    return None


def _repeat(view: View) -> Proposal | None:
    """Repeats for those that may lie on the front. (Those of a single objective race in the end,
    in turns: that tells more than repeats at different times.)"""
    found = [s for s in view.settings if s.feasible]
    if view.share >= 1 or len(view.ask.objectives) == 1 or not found:
        return None
    contenders = front(found)[:_CONTENDERS]
    for repeats, close in enumerate(_CLOSE, start=2):
        for setting in contenders:
            if len(setting.trials) < repeats and setting.cost <= close * found[0].cost:
                return Proposal(setting.point, "repeat")
    return None
