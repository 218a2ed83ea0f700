"""Words to what is asked: tune's own words here, all the others to compose."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed import units
from honed.backends.base import comparable_backends
from honed.case import CORE_KEYS, Case
from honed.compose import Choice
from honed.compose import asked as composed
from honed.errors import UsageError, did_you_mean
from honed.knobs import all_knobs
from honed.tune import objective
from honed.tune.objective import Limit, Objective

SAMPLERS = ("gp", "tpe", "random")
_OWN = ("objective", "limit", "budget", "trials", "price", "sampler", "study", "search")
# The fields of a Case that are settings of the machine; all others say what is run.
STRUCTURE = ("backend", "precision", "instances", "threads", "batch_size")
_BUDGET_S = 600.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What one study is for. `base` is the out-of-the-box setting, with all that the user fixed.

    `allowed` are the searched keys that the user restricted, with the values left to them; a
    single one fixes a key. `searched`: the only keys that are; None: all that there are.
    `budget_s` None: as long as `trials` take.
    """

    name: str
    base: Case
    allowed: Mapping[str, tuple[Choice, ...]]
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()
    budget_s: float | None = _BUDGET_S
    trials: int | None = None
    price_per_h: float | None = None
    sampler: str = "gp"
    seed: int = 0
    searched: tuple[str, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def searches(self, key: str) -> bool:
        """Whether `search=` leaves it in; several values given for a key ask for it anyway."""
        return self.searched is None or key in self.searched or len(self.allowed.get(key, ())) > 1

    @property
    def needs_memory(self) -> bool:
        wanted = any("memory" in o.needs for o in self.objectives)
        return wanted or any(limit.needs_memory for limit in self.limits)

    @property
    def counts_throughput(self) -> bool:
        """Whether more is done at once is better: instances and batches are then searched."""
        return any(o.timing == "throughput" for o in self.objectives)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "base": self.base.to_json(),
            "allowed": {k: list(v) for k, v in self.allowed.items()},
            "objectives": [o.name for o in self.objectives],
            "limits": [str(limit) for limit in self.limits],
            "budget_s": self.budget_s,
            "trials": self.trials,
            "price_per_h": self.price_per_h,
            "sampler": self.sampler,
            "seed": self.seed,
            "searched": None if self.searched is None else list(self.searched),
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ask:
        return cls(
            name=data["name"],
            base=Case.from_json(data["base"]),
            allowed={k: tuple(v) for k, v in data["allowed"].items()},
            objectives=objective.objectives(",".join(data["objectives"])),
            limits=tuple(objective.limit(text) for text in data["limits"]),
            budget_s=data["budget_s"],
            trials=data["trials"],
            price_per_h=data["price_per_h"],
            sampler=data["sampler"],
            seed=data["seed"],
            searched=tuple(data["searched"]) if data.get("searched") is not None else None,
            extra=data.get("extra", {}),
        )


def parse(given: Sequence[str], config: Path | None = None) -> Ask:
    """The study that the words ask for; UsageError with the nearest word otherwise."""
    own, rest = _split(given)
    wanted = objective.objectives(own.get("objective", ["latency"])[-1])
    price = units.price(own["price"][-1]).per_hour if "price" in own else None
    if price is None and any(o.name == "cost" for o in wanted):
        raise UsageError("what does an hour of this machine cost?", "price=4.848/h")
    asked = _asked(rest, config)
    base = _base(asked)
    trials = _whole(own, "trials", at_least=1)
    default_s = _BUDGET_S if trials is None else None
    return Ask(
        name=own["study"][-1] if "study" in own else _name(base, wanted),
        base=base,
        allowed={k: tuple(v) for k, v in asked.items() if k in _searchable()},
        objectives=wanted,
        limits=tuple(objective.limit(text) for text in own.get("limit", ())),
        budget_s=units.seconds(own["budget"][-1]) if "budget" in own else default_s,
        trials=trials,
        price_per_h=price,
        sampler=_sampler(own.get("sampler", ["gp"])[-1]),
        seed=base.seed,
        searched=_searched(own["search"]) if "search" in own else None,
    )


def _searched(texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of `search=threads,allocator`."""
    keys = [key.strip() for text in texts for key in text.split(",") if key.strip()]
    for key in keys:
        if key not in _searchable():
            near = did_you_mean(key, _searchable())
            raise UsageError(f"{key!r} is nothing to search", near or "honed run --keys")
    return tuple(dict.fromkeys(keys))


def _split(given: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    own: dict[str, list[str]] = {}
    rest: list[str] = []
    for word in given:
        key, equals, value = word.partition("=")
        if key in _OWN and equals:
            own.setdefault(key, []).append(value)
        elif equals and did_you_mean(key, _OWN, 1) and key not in _known():
            raise UsageError(f"no setting is called {key!r}", did_you_mean(key, _OWN, 1))
        else:
            rest.append(word)
    return own, rest


def _known() -> set[str]:
    return {*CORE_KEYS, *all_knobs()}


def _asked(rest: Sequence[str], config: Path | None) -> dict[str, list[Choice]]:
    """Keys and the values left to each. Without a word on the engine, every comparable one's
    knobs may be named."""
    free = config is None and not any(word.startswith("backend=") for word in rest)
    comparable = comparable_backends(str(_default("backend")))
    every = [f"backend={','.join(comparable)}"] if free else []
    asked = composed([*every, *rest], config)
    if free:
        asked.pop("backend")
    for key, values in asked.items():
        if len(values) > 1 and key not in _searchable():
            raise UsageError(
                f"{key}={','.join(map(str, values))}: one study is about one {key}",
                f"give one value; searched are {', '.join(STRUCTURE)} and every knob",
            )
    return asked


def _searchable() -> set[str]:
    return {*STRUCTURE, *all_knobs()}


def _base(asked: Mapping[str, list[Choice]]) -> Case:
    """Untouched, but for what has a single value; the first engine, if torch is not among them."""
    fixed = {k: v[0] for k, v in asked.items() if len(v) == 1}
    for key in ("backend", "precision"):
        left = asked.get(key, [])
        if len(left) > 1 and _default(key) not in left:
            fixed[key] = left[0]
    owners = {"", *(str(fixed.get(k) or _default(k)) for k in ("backend", "workload"))}
    ours = {k: v for k, v in fixed.items() if k in CORE_KEYS or _owner(k) in owners}
    return Case.from_json(ours)


def _default(key: str) -> Choice:
    return Case(model="any").get(key)


def _owner(key: str) -> str:
    return key.rpartition(".")[0]


def _name(base: Case, wanted: Sequence[Objective]) -> str:
    model = re.sub(r"[^A-Za-z0-9.]+", "-", Path(base.model).name).strip("-.") or "model"
    return f"{model}-{'-'.join(o.name for o in wanted)}-{secrets.token_hex(2)}"


def _sampler(text: str) -> str:
    if text not in SAMPLERS:
        known = f"{did_you_mean(text, SAMPLERS)} known: {', '.join(SAMPLERS)}"
        raise UsageError(f"no sampler is called {text!r}", known.strip())
    return text


def _whole(own: Mapping[str, list[str]], key: str, at_least: int) -> int | None:
    if key not in own:
        return None
    text = own[key][-1]
    if not text.isdigit() or int(text) < at_least:
        raise UsageError(f"{key}={text} is no whole number from {at_least} on", f"{key}=20")
    return int(text)
