"""Case: one run, fully described, frozen, JSON both ways."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, cast

from honed import length_spec, sizes
from honed.errors import UsageError, nearest
from honed.knob import Value
from honed.units import size, size_bytes

PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int4")
FEATURES = "feature-extraction"
TASKS = (
    "auto", FEATURES, "sequence-classification", "token-classification", "question-answering",
    "masked-lm", "causal-lm",
)  # fmt: skip
METRICS = (
    "auto", "accuracy", "f1", "micro_f1", "macro_f1", "exact_match", "spearman", "ndcg",
    "rank_overlap",
)  # fmt: skip
POOLINGS = (
    "auto", "mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", "none",
)  # fmt: skip
DEVICES = ("cpu", "cuda")
NO_MODEL = "none"  # the model of a workload that measures an operator alone


def _key(help: str, default: Any = dataclasses.MISSING, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True, slots=True)
class Case:
    """What is run, how, and when to stop. `knobs` holds every other setting, by its full key.

    None means untouched: the engine and the machine stay as they come.
    """

    model: str = _key("checkpoint folder, hub id or named shape")
    task: str = _key("what the model's head does", "auto", values=TASKS)
    pooling: str = _key("how token vectors become one vector", "auto", values=POOLINGS)
    inputs: str | None = _key("file of texts: .txt, .jsonl or .csv; unset: random ids", None)
    inputs_field: str = _key("the field of a .jsonl or column of a .csv that holds text", "text")
    lengths: str | None = _key(
        "random ids of many lengths: 8..512, lognormal(120,80), histogram.json|csv|jsonl", None
    )
    batches: int | None = _key(
        "time only this many batches, chosen from small to large; unset: all", None, at_least=1
    )
    backend: str = _key("the engine", "torch")
    precision: str = _key("the arithmetic of the matrix products", "fp32", values=PRECISIONS)
    device: str = _key("where it runs", "cpu", values=DEVICES)
    batch_size: int = _key("sequences per call", 1, at_least=1)
    total_batch: int | None = _key(
        "sequences over all instances; sets batch_size", None, at_least=1
    )
    sequence_length: int = _key(
        "tokens per sequence; with texts or lengths, the longest kept", 128, at_least=1
    )
    threads: int | None = _key("cores per instance", None, at_least=1)
    instances: int = _key("processes measured together, each on its own cores", 1, at_least=1)
    sizes: str | None = _key(
        "cores of each instance where they differ, as 8+16+24 or 2x8+16; sets instances", None
    )
    oversubscribe: bool = _key("allow more threads than effective cores", False)
    workload: str = _key("which traffic", "closed_loop")
    duration_s: float = _key("measure for at least this long", 5.0, above=0)
    min_samples: int = _key("measure at least this many calls per instance", 20, at_least=1)
    warmup_s: float = _key("stop waiting for stable times after this long", 10.0, at_least=0)
    timeout_s: float = _key("give a case up after this long", 900.0, above=0)
    memory: bool = _key("measure memory in a pass of its own", True, size=True)
    passes: str | None = _key("more passes than the workload has, joined by +", None)
    eval: str | None = _key(
        "labelled .jsonl: text and label; text, text2, score; query, positive, negatives", None
    )
    eval_metric: str = _key("what the labelled examples are judged by", "auto", values=METRICS)
    max_accuracy_drop: float | None = _key(
        "beyond this drop from fp32 the setting has diverged: 0.5% is 0.005 of the metric",
        None, at_least=0, below=1, share=True,
    )  # fmt: skip
    max_neighbour_drift: float | None = _key(
        "a setting whose outputs for a text differ by more between two batches has diverged: "
        "0.5% is a cosine of 0.995", None, at_least=0, below=1, share=True,
    )  # fmt: skip
    memory_budget: str | None = _key(
        "the most memory that a call may add: 64MiB, 1GiB", None, size=True
    )
    memory_limit: str | None = _key(
        "the most memory of all processes together, which the kernel enforces: memory=2GiB", None,
        size=True,
    )  # fmt: skip
    seed: int = _key("seeds random weights and random ids", 0, at_least=0)
    trust_remote_code: bool = _key("run Python code that a checkpoint carries", False)
    allow_system_changes: bool = _key("knobs may change the whole machine for a while", False)
    python: str | None = _key("another interpreter for the workers", None)
    knobs: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", MappingProxyType(dict(sorted(self.knobs.items()))))
        for spec in CORE_FIELDS:
            check_value(spec, getattr(self, spec.name))
        if self.eval_metric != "auto" and self.eval is None:
            message = f"eval_metric={self.eval_metric} needs examples"
            raise UsageError(message, "add eval=FILE.jsonl")
        if self.sizes is not None:
            self._set_sizes(self.sizes)
        if self.total_batch is not None:
            object.__setattr__(self, "batch_size", self._share(self.total_batch))
        if self.memory_budget is not None:
            object.__setattr__(self, "memory_budget", size(size_bytes(self.memory_budget)))
        if self.memory_limit is not None:
            object.__setattr__(self, "memory_limit", size(size_bytes(self.memory_limit)))
        if self.lengths is not None:
            object.__setattr__(self, "lengths", self._distribution(self.lengths))

    def _set_sizes(self, text: str) -> None:
        """`sizes` in its canonical spelling, and as many instances as it names."""
        cores = sizes.parse(text)
        for key, value, fits in (
            ("instances", self.instances, (1, len(cores))), ("threads", self.threads, (None,))
        ):  # fmt: skip
            if value not in fits:
                raise UsageError(
                    f"{key}={value} contradicts sizes={text}, which says how many cores each of "
                    f"{len(cores)} instances has",
                    "give only one of the two",
                )
        object.__setattr__(self, "sizes", sizes.spelled(cores))
        object.__setattr__(self, "instances", len(cores))

    def _distribution(self, text: str) -> str:
        """`text` in its canonical spelling, so that equal distributions give equal Cases."""
        asked = length_spec.parse(text)
        if self.inputs is not None:
            raise UsageError(
                f"lengths={asked} and inputs={self.inputs} both say how long sequences are",
                "give only one of the two",
            )
        if asked.kind == "uniform" and asked.first > self.sequence_length:
            raise UsageError(
                f"lengths={asked} would all be cut at sequence_length={self.sequence_length}",
                f"sequence_length={asked.longest}",
            )
        return str(asked)

    def _share(self, total: int) -> int:
        """Each instance's part of `total`; a batch_size given as well must agree."""
        share, rest = divmod(total, self.instances)
        if rest or not share:
            raise UsageError(
                f"total_batch={total} cannot be split evenly over {self.instances} instances",
                f"instances={','.join(str(n) for n in range(1, total + 1) if total % n == 0)}",
            )
        if self.batch_size not in (1, share):
            raise UsageError(
                f"batch_size={self.batch_size} contradicts total_batch={total} over "
                f"{self.instances} instances",
                "give only one of the two",
            )
        return share

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """The same for the same Case on any machine, and in versions that add settings."""
        changed = {k: v for k, v in self.to_json().items() if _DEFAULTS.get(k) != v}
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]

    def get(self, key: str) -> Value | None:
        """The value of a field or knob by the key a user types."""
        if key in CORE_KEYS:
            return cast("Value | None", getattr(self, key))
        return self.knobs.get(key)

    @property
    def evaluates(self) -> bool:
        """Whether the accuracy of its outputs is judged."""
        return self.eval is not None or self.max_accuracy_drop is not None

    def label(self, varying: Sequence[str] = ()) -> str:
        """A name for people: `bert-base-uncased torch int8 1x128`, then other `varying` keys."""
        lengths = PurePath(self.lengths).name if self.lengths else self.sequence_length
        named = {"model", "backend", "precision", "batch_size", "sequence_length", "lengths"}
        others = [f"{k}={v}" for k in varying if k not in named and (v := self.get(k)) is not None]
        shape = f"{self.batch_size}x{lengths}"
        model = self.workload if self.model == NO_MODEL else PurePath(self.model).name
        return " ".join([model, self.backend, self.precision, shape, *others])

    def replace(self, **changes: Any) -> Case:
        """A copy with other values; `knobs` given here are merged into the present ones."""
        knobs = {**self.knobs, **changes.pop("knobs", {})}
        if self.total_batch is not None:
            changes = {"batch_size": 1} | changes  # it follows from the others
        return dataclasses.replace(
            self, knobs={k: v for k, v in knobs.items() if v is not None}, **changes
        )

    def to_json(self) -> dict[str, Value | None]:
        """Flat: every field, then every knob that is set."""
        return {k: getattr(self, k) for k in CORE_KEYS} | dict(self.knobs)

    def __to_plain__(self) -> dict[str, Value | None]:
        return self.to_json()

    @classmethod
    def __from_plain__(cls, data: Mapping[str, Any]) -> Case:
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Case:
        """Keys that are no field are knobs; null means unset."""
        if "model" not in data:
            raise UsageError("a Case needs a model", "add model=NAME")
        core = {k: v for k, v in data.items() if k in CORE_KEYS}
        knobs = {k: v for k, v in data.items() if k not in CORE_KEYS and v is not None}
        return cls(**core, knobs=knobs)


CORE_FIELDS = tuple(f for f in dataclasses.fields(Case) if f.name != "knobs")
CORE_KEYS = tuple(f.name for f in CORE_FIELDS)
_DEFAULTS = {f.name: f.default for f in CORE_FIELDS}


def check_value(spec: dataclasses.Field[Any], value: Any) -> None:
    """Raise UsageError unless `value` has the type of one of CORE_FIELDS and keeps its limits."""
    limits, name = spec.metadata, spec.name
    if value is None:
        if "None" not in str(spec.type):
            raise UsageError(f"{name} may not be null", f"give {name} a value")
        return
    expected = str(spec.type).removesuffix(" | None")
    if not _is_a(value, expected):
        raise UsageError(
            f"{name}={value!r} is not {_ARTICLES[expected]}", f"help: {limits['help']}"
        )
    if "values" in limits and value not in limits["values"]:
        raise UsageError(f"{name}={value} is not known", nearest(value, limits["values"]))
    if "at_least" in limits and value < limits["at_least"]:
        raise UsageError(f"{name}={value} is too small", f"use {limits['at_least']} or more")
    if "below" in limits and value >= limits["below"]:
        raise UsageError(f"{name}={value} is too large", f"a share: write {name}={value:g}%")
    if "above" in limits and value <= limits["above"]:
        raise UsageError(f"{name}={value} is too small", f"use more than {limits['above']}")


_ARTICLES = {"str": "a word", "int": "a whole number", "float": "a number",
             "bool": "true or false"}  # fmt: skip


def _is_a(value: Any, expected: str) -> bool:
    if expected == "bool":
        return isinstance(value, bool)
    if expected == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if expected == "float":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) < math.inf  # not so for NaN
    return isinstance(value, str) and bool(value)
