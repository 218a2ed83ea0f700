"""Question: what a study is asked. The words that only tune knows are read here, all other words
by compose."""

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
from honed.compose import Choice, key_choices
from honed.errors import UsageError, did_you_mean, nearest
from honed.knobs import all_knobs, belongs
from honed.measures import MEASURES, OBJECTIVES, Limit, Measure, parse_limit
from honed.tune.policy import POLICY
from honed.values import as_typed

SAMPLERS = ("gp", "tpe", "random")
# The fields of a Case that are settings of the machine; all others say what is run.
STRUCTURE = ("backend", "precision", "instances", "threads", "sizes", "batch_size")
_TUNE_WORDS = ("objective", "limit", "budget", "trials", "price", "sampler", "study", "search",
               "serve", "clients")  # fmt: skip
_REPEATABLE = ("limit", "search")
_DEFAULT_CLIENTS = 32
_NO_LIMIT_MS = 3_600_000
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LATENCY_LIMIT = re.compile(r"latency_(?:p\d+|max)_ms<=?([\d.e+]+)")


@dataclass(frozen=True, slots=True)
class Question:
    """What one study is for. `base` is the untouched setting, with everything that the user fixed.

    `allowed`: searched keys that the user restricted, with the values left; one value fixes a key.
    `searched`: the only keys to search; None: all of them. `budget_s` None: as long as `trials`
    take. `objectives` are names of measures, `limits` are limits as they are typed. `extra`: the
    planner, and the settings of an earlier study to begin with. `clients`: every setting is
    measured as a server that so many clients ask; None: in the workers themselves.
    """

    name: str
    base: Case
    allowed: Mapping[str, tuple[Choice, ...]]
    objectives: tuple[str, ...]
    limits: tuple[str, ...] = ()
    budget_s: float | None = POLICY.budget_s
    trials: int | None = None
    price_per_h: float | None = None
    sampler: str = "gp"
    seed: int = 0
    searched: tuple[str, ...] | None = None
    clients: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The objectives, a cost in the currency of the price."""
        return tuple(MEASURES[name].priced(self.price_per_h) for name in self.objectives)

    def costs(self, values: Sequence[float]) -> tuple[float, ...]:
        """The objectives' values so that less is better; empty without a result."""
        return tuple(m.cost(v) for m, v in zip(self.measures, values, strict=False))

    @property
    def bounds(self) -> tuple[Limit, ...]:
        return tuple(map(parse_limit, self.limits))

    @property
    def metric(self) -> str:
        """The measure by which two settings are compared in turns; empty where one trial tells the
        value of every objective."""
        return next((m.compared_by for m in self.measures if m.compared_by), "")

    @property
    def needs_memory(self) -> bool:
        measures = [*self.measures, *(bound.measure for bound in self.bounds)]
        return any(m.needs_memory for m in measures)

    @property
    def needs_accuracy(self) -> bool:
        """Whether a limit is about the accuracy, so that every trial has to tell it."""
        return any(bound.measure.name == "accuracy" for bound in self.bounds)

    @property
    def counts_throughput(self) -> bool:
        """Whether doing more at once is better: instances and batch sizes are then searched."""
        return any(m.compared_by in ("throughput", "goodput") for m in self.measures)

    @property
    def limit_ms(self) -> int:
        """Within which time an answer of a server counts: the strictest limit of a latency."""
        found = (_LATENCY_LIMIT.fullmatch(limit) for limit in self.limits)
        return min((max(1, int(float(each[1]))) for each in found if each), default=_NO_LIMIT_MS)

    def searches(self, key: str) -> bool:
        """Whether `search=` includes the key; a key with several values is always searched."""
        return self.searched is None or key in self.searched or len(self.allowed.get(key, ())) > 1


def parse(
    words: Sequence[str],
    config: Path | None = None,
    default_budget_s: float | None = POLICY.budget_s,
) -> Question:
    """The question of `honed tune WORDS`; UsageError with the nearest word if one is unknown.

    `default_budget_s` is the budget where the words give neither `budget=` nor `trials=`.
    """
    options, settings = _split(words)
    objectives = parse_objectives(options.get("objective", ["latency"])[-1])
    clients = _clients(options, objectives)
    if clients is not None:
        settings = [*settings, "batch_size=1"]  # a server makes its batches itself
    price = units.price(options["price"][-1]).per_hour if "price" in options else None
    if price is None and "cost" in objectives:
        raise UsageError("what does an hour of this machine cost?", "price=4.848/h")
    choices = _choices(settings, config)
    base = _base(choices)
    sampler = options.get("sampler", ["gp"])[-1]
    if sampler not in SAMPLERS:
        raise UsageError(f"no sampler is called {sampler!r}", nearest(sampler, SAMPLERS))
    trials = _whole_number("trials", options["trials"][-1]) if "trials" in options else None
    if "study" in options:
        _check_name(options["study"][-1])
    default_budget_s = default_budget_s if trials is None else None
    model = re.sub(r"[^A-Za-z0-9.]+", "-", Path(base.model).name).strip("-.") or "model"
    new_name = f"{model}-{'-'.join(objectives)}-{secrets.token_hex(2)}"
    asked = Question(
        name=options.get("study", [new_name])[-1],
        base=base,
        allowed={k: tuple(v) for k, v in choices.items() if k in _searchable()},
        objectives=objectives,
        limits=tuple(str(parse_limit(text)) for text in options.get("limit", ())),
        budget_s=units.seconds(options["budget"][-1]) if "budget" in options else default_budget_s,
        trials=trials,
        price_per_h=price,
        sampler=sampler,
        seed=base.seed,
        searched=_searched(options["search"]) if "search" in options else None,
        clients=clients,
    )
    _refuse_unmeasured(asked)
    return asked


def _refuse_unmeasured(asked: Question) -> None:
    """UsageError for an objective or a limit about something that the Case does not measure."""
    if asked.needs_memory and not asked.base.memory:
        what = "an objective or a limit is about memory, which memory=false leaves out"
        raise UsageError(what, "drop memory=false")
    if asked.needs_accuracy and not asked.base.evaluates:
        what = "accuracy is judged on labelled examples, and there are none"
        raise UsageError(what, "add eval=FILE.jsonl")


def _check_name(name: str) -> None:
    """UsageError for the name of a study that no command could name again."""
    if not name.strip() or name == "last" or ":" in name:
        why = "is the newest study to other commands" if name == "last" else "names no study"
        raise UsageError(f"study={name} {why}", "give another name, without a colon")


def _clients(options: Mapping[str, list[str]], objectives: Sequence[str]) -> int | None:
    """How many clients ask a server; None where no server is tuned."""
    word, count = options.get("serve", ["false"])[-1].lower(), options.get("clients")
    if word not in _TRUTHS:
        raise UsageError(f"serve={word} is neither true nor false", "serve=true")
    if not _TRUTHS[word]:
        if "goodput" in objectives:
            raise UsageError("goodput is what a server reaches", "add serve=true")
        if count is not None:
            raise UsageError("clients ask a server", "add serve=true")
        return None
    limits = (str(parse_limit(text)) for text in options.get("limit", ()))
    if "goodput" in objectives and not any(map(_LATENCY_LIMIT.fullmatch, limits)):
        raise UsageError("within which time is an answer good?", "limit='latency_p99_ms<=100'")
    return _DEFAULT_CLIENTS if count is None else _whole_number("clients", count[-1])


def parse_objectives(text: str) -> tuple[str, ...]:
    """`throughput`, or several with commas: the study then has a Pareto front."""
    names = tuple(n.strip() for n in text.split(",") if n.strip())
    for name in names:
        if name not in OBJECTIVES:
            raise UsageError(f"no objective is called {name!r}", nearest(name, OBJECTIVES))
    if not names or len(set(names)) < len(names):
        raise UsageError(
            f"objective={text} names no objective, or one twice", "objective=latency,throughput"
        )
    return names


def _split(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """tune's own words by their keys, and the words of the Case."""
    options: dict[str, list[str]] = {}
    settings: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if key in _TUNE_WORDS and equals:
            options.setdefault(key, []).append(value)
            if len(options[key]) > 1 and key not in _REPEATABLE:
                comma = ",".join(options[key]) if key == "objective" else options[key][0]
                raise UsageError(f"{key}= is given twice", f"give it once: {key}={comma}")
            continue
        near = did_you_mean(key, _TUNE_WORDS, 1)
        if equals and near and key not in {*CORE_KEYS, *all_knobs()}:
            raise UsageError(f"no setting is called {key!r}", near)
        settings.append(word)
    return options, settings


def _searched(texts: Sequence[str]) -> tuple[str, ...]:
    """The keys of `search=threads,allocator`."""
    keys = [key.strip() for text in texts for key in text.split(",") if key.strip()]
    for key in keys:
        if key not in _searchable():
            near = did_you_mean(key, _searchable())
            raise UsageError(f"{key!r} is nothing to search", near or "honed run --keys")
    return tuple(dict.fromkeys(keys))


def _choices(settings: Sequence[str], config: Path | None) -> dict[str, list[Choice]]:
    """Each key with the values that the words leave to it. Without a word about the engine, the
    knobs of every comparable engine may be named."""
    free = config is None and not any(word.startswith("backend=") for word in settings)
    comparable = comparable_backends(Case(model="any").backend)
    backends = [f"backend={','.join(comparable)}"] if free else []
    choices = key_choices([*backends, *settings], config)
    if free:
        choices.pop("backend")
    for key, values in choices.items():
        if len(values) > 1 and key not in _searchable():
            raise UsageError(
                f"{key}={','.join(map(as_typed, values))}: one study is about one {key}",
                f"give one value; searched are {', '.join(STRUCTURE)} and every knob",
            )
    return choices


def _searchable() -> set[str]:
    return {*STRUCTURE, *(key for key, knob in all_knobs().items() if knob.of != "question")}


def _base(choices: Mapping[str, list[Choice]]) -> Case:
    """Untouched but for keys with a single value. Where the default engine or precision is not
    among the values left, the first one that is."""
    defaults = Case(model="any")
    fixed = {k: v[0] for k, v in choices.items() if len(v) == 1}
    for key in ("backend", "precision"):
        values = choices.get(key, [])
        if len(values) > 1 and defaults.get(key) not in values:
            fixed[key] = values[0]
    backend, workload = (str(fixed.get(k) or defaults.get(k)) for k in ("backend", "workload"))
    return Case.from_json({k: v for k, v in fixed.items() if belongs(k, backend, workload)})


def _whole_number(key: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"{key}={text} is not a whole number from 1 on", f"{key}=20")
    return int(text)
