"""The question of a plan, from its words. The words that only plan knows are read here, all other
words by compose."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from honed.case import CORE_KEYS, Case
from honed.compose import compose
from honed.errors import UnsupportedError, UsageError, did_you_mean, nearest
from honed.knobs import all_knobs
from honed.plan.device import ARCHITECTURES, Device, parse_device
from honed.plan.settings import (
    Attention,
    Checkpointing,
    Loop,
    Mode,
    Operators,
    Optimizer,
    Settings,
    Weights,
)
from honed.units import size_bytes

_DEFAULT = Case(model="any")
_TRACED = _DEFAULT.backend  # the backend whose modules are traced
_TRUTHS = {"true": True, "false": False}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OF_DEPLOYMENTS = {"device", "baseline"}
_WORD_OF_WORKLOAD = {"train_step": "mode=train", "max_batch": "max_batch=true"}


@dataclass(frozen=True, slots=True)
class Word:
    """One of plan's own words. Without `values` the text is read by its own rules."""

    help: str
    default: str
    values: tuple[str, ...] = ()


WORDS: Mapping[str, Word] = {
    "mode": Word("what runs: a forward pass, one that keeps gradients, or training steps",
                 "infer", get_args(Mode)),
    "device": Word("cpu, cuda, or either with its size: cuda:16GiB", "cuda"),
    "attention": Word("the kernels of attention; auto is the model's own choice", "auto",
                      get_args(Attention)),
    "checkpointing": Word("with mode=train: recompute activations in the backward pass, of each "
                          "block or of groups of blocks (nested); true is blocks", "off",
                          (*get_args(Checkpointing), *_TRUTHS)),
    "optimizer": Word("with mode=train", "adamw", ("adamw", "sgd")),
    "optimizer_loop": Word("how torch updates many tensors; unset: as torch does on the device, "
                           "foreach on a GPU and for_loop on a CPU", "", get_args(Loop)),
    "gradients": Word("between steps: released, or held and zeroed", "released",
                      ("released", "held")),
    "accumulation": Word("batches between two updates", "1"),
    "cache": Word("with mode=infer: a decoder keeps keys and values of its tokens", "false",
                  tuple(_TRUTHS)),
    "max_batch": Word("find the largest batch size that fits; unset: where the device has a size",
                      "", tuple(_TRUTHS)),
    "memory": Word("a grid: the largest batch for each length that fits into so much, for each "
                   "mode", ""),
    "operators": Word("today's, or those of BERT's code of 2019", "today",
                      get_args(Operators)),
    "weights": Word("with mode=infer: how long weights stay loaded", "resident",
                    get_args(Weights)),
    "architecture": Word("of the GPU; it decides the size of workspaces", "ampere",
                         ARCHITECTURES),
    "expandable_segments": Word("as in PYTORCH_CUDA_ALLOC_CONF", "false", tuple(_TRUTHS)),
    "context": Word("what the CUDA context takes of the device", ""),
    "baseline": Word("of a deployment: an engine that no record has is measured, or refused",
                     "measured", ("measured", "stored")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """`cells` are the settings in the order asked, each with its Case (model, task, seed).

    `grid` is true if `memory=` asks for a grid; the cells then differ in model and mode only.
    `deployments` are asked instead of cells by words that only a process has; `measures` allows
    running an engine without a model.
    """

    cells: tuple[tuple[Case, Settings], ...]
    device: Device
    max_batch: bool
    grid: bool
    lengths: tuple[int, ...] = ()
    deployments: tuple[Case, ...] = ()
    measures: bool = True


def parse(words: Sequence[str], config: Path | None = None) -> Question:
    """The question of `honed plan WORDS`; UsageError with the nearest word if one is unknown."""
    options, rest = _split(words)
    cases = compose(rest, config).cases
    for case in cases:
        if case.workload in _WORD_OF_WORKLOAD:
            raise UsageError(
                f"workload={case.workload} is for honed run; a plan has a word of its own for it",
                _WORD_OF_WORKLOAD[case.workload],
            )
    if _asks_for_deployments(options, rest, cases):
        return _deployments(options, cases)
    _check_one_process(options, cases)
    lengths = tuple(dict.fromkeys(case.sequence_length for case in cases))
    asked_for_lengths = lengths != (_DEFAULT.sequence_length,) or any(
        word.startswith("sequence_length=") for word in rest
    )
    return _of_tensors(options, cases, lengths if asked_for_lengths else ())


def _of_tensors(
    options: Mapping[str, list[str]], cases: Sequence[Case], lengths: tuple[int, ...]
) -> Question:
    """A cell for each Case with each combination of plan's own words, or a grid of them."""
    device = _device(options)
    max_batch = {"true": True, "false": False}.get(
        _one(options, "max_batch"), device.capacity_bytes is not None
    )
    if max_batch and device.capacity_bytes is None:
        raise UsageError("max_batch needs a device with a size", "device=cuda:16GiB")
    grid = bool(_one(options, "memory"))
    values = {key: options.get(key, [word.default]) for key, word in WORDS.items()}
    if grid and "mode" not in options:
        values["mode"] = _modes_of_grid(options)
    combinations = [
        dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())
    ]
    cells = [(case, _settings(case, row, device)) for case in cases for row in combinations]
    if grid:
        cells = _without_shapes(cells)
    return Question(tuple(dict.fromkeys(cells)), device, max_batch, grid, lengths)


def _asks_for_deployments(
    options: Mapping[str, list[str]], rest: Sequence[str], cases: Sequence[Case]
) -> bool:
    """Whether words name what a process has: an engine, instances, threads, integer weights. Words
    about tensors ask for a plan of tensors."""
    if {*options} - _OF_DEPLOYMENTS or "cuda" in _one(options, "device", "cpu"):
        return False
    if any(word.startswith("backend=") for word in rest):
        return True
    return any(
        case.backend != _TRACED or case.precision not in _DTYPES
        or case.instances > 1 or case.threads is not None
        for case in cases
    )  # fmt: skip


def _check_one_process(options: Mapping[str, list[str]], cases: Sequence[Case]) -> None:
    """UsageError where a plan of tensors, which is of one process, would leave instances out."""
    several = next((case.instances for case in cases if case.instances > 1), None)
    if several is None:
        return
    of_tensors = sorted({*options} - _OF_DEPLOYMENTS) or ["device"]
    words = ", ".join(f"{key}={','.join(options[key])}" for key in of_tensors)
    raise UsageError(
        f"instances={several} asks for a deployment, and {words} for the tensors of one process",
        f"leave out instances, or {words}; the memory of a deployment is device=cpu:8GiB",
    )


def _deployments(options: Mapping[str, list[str]], cases: Sequence[Case]) -> Question:
    device = parse_device(_one(options, "device", "cpu"))
    measures = _one(options, "baseline") == "measured"
    return Question((), device, False, False, deployments=tuple(cases), measures=measures)


def _split(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """plan's own words with their values, and the words of the Case."""
    options: dict[str, list[str]] = {}
    rest = []
    for word in words:
        key, equals, text = word.partition("=")
        if key in WORDS and equals:
            options[key] = [_checked(key, value.strip()) for value in text.split(",")]
            continue
        near = did_you_mean(key, WORDS, 1)
        if equals and near and key not in {*CORE_KEYS, *all_knobs()}:
            raise UsageError(f"no setting is called {key!r}", near)
        rest.append(word)
    return options, rest


def _modes_of_grid(options: Mapping[str, list[str]]) -> list[str]:
    """Every mode, unless a word belongs to inference alone."""
    of_inference = options.get("cache", ["false"]) != ["false"]
    of_inference |= options.get("weights", ["resident"]) != ["resident"]
    return ["infer"] if of_inference else list(get_args(Mode))


def _checked(key: str, value: str) -> str:
    known = WORDS[key].values
    lowered = value.lower() if known == tuple(_TRUTHS) else value
    if known and lowered not in known:
        raise UsageError(f"{key}={value} is not known", nearest(value, known))
    return lowered


def _one(options: Mapping[str, list[str]], key: str, default: str | None = None) -> str:
    values = options.get(key, [WORDS[key].default if default is None else default])
    if len(values) > 1:
        raise UsageError(f"{key} takes one value, not {','.join(values)}", f"{key}={values[0]}")
    return values[0]


def _device(options: Mapping[str, list[str]]) -> Device:
    device = parse_device(_one(options, "device"))
    changes: dict[str, Any] = {
        "architecture": _one(options, "architecture"),
        "expandable": _one(options, "expandable_segments") == "true",
    }
    if memory := _one(options, "memory"):
        if device.capacity_bytes is not None:
            raise UsageError("memory= and the size in device= say the same", "give one of them")
        changes["capacity_bytes"] = size_bytes(memory)
    if context := _one(options, "context"):
        changes["context_bytes"] = 0 if context == "0" else size_bytes(context)
    return dataclasses.replace(device, **changes)


def _settings(case: Case, row: Mapping[str, str], device: Device) -> Settings:
    if case.backend != _TRACED:
        raise UnsupportedError(
            f"honed plan traces models of {_TRACED}, and it does not plan backend={case.backend}",
            "leave backend out, or measure it: honed run",
        )
    if case.precision not in _DTYPES:
        raise UnsupportedError(
            f"honed plan does not know how torch holds precision={case.precision}",
            f"precision={' or '.join(_DTYPES)}",
        )
    if not row["accumulation"].isdigit() or int(row["accumulation"]) < 1:
        raise UsageError(f"accumulation={row['accumulation']} is no count", "accumulation=4")
    if _TRUTHS[row["cache"]] and row["mode"] != "infer":
        raise UsageError(f"mode={row['mode']} keeps no cache", "mode=infer, or cache=false")
    if row["weights"] != "resident" and row["mode"] != "infer":
        raise UsageError(
            f"weights={row['weights']} releases weights that the backward pass of "
            f"mode={row['mode']} needs", "mode=infer, or weights=resident",
        )  # fmt: skip
    dtype, autocast = types(case, row["mode"])
    values: dict[str, Any] = {
        "mode": row["mode"], "attention": row["attention"], "operators": row["operators"],
        "weights": row["weights"],
    }  # fmt: skip
    trains = row["mode"] == "train"
    return Settings(
        batch_size=case.batch_size,
        sequence_length=case.sequence_length,
        dtype=dtype,
        autocast=autocast,
        device=device.kind,
        checkpointing=_checkpointing(row["checkpointing"]) if trains else "off",
        keeps_cache=_TRUTHS[row["cache"]],
        optimizer=_optimizer(row, device) if trains else Optimizer(),
        **values,
    )


def _checkpointing(word: str) -> Checkpointing:
    if word in _TRUTHS:
        return "blocks" if _TRUTHS[word] else "off"
    return cast(Checkpointing, word)


def _optimizer(row: Mapping[str, str], device: Device) -> Optimizer:
    loop = row["optimizer_loop"] or ("foreach" if device.kind == "cuda" else "for_loop")
    words: dict[str, Any] = {"name": row["optimizer"], "loop": loop}
    held = row["gradients"] == "held"
    return Optimizer(**words, holds_gradients=held, accumulation=int(row["accumulation"]))


def types(case: Case, mode: str) -> tuple[str, str | None]:
    """The types of weights and of autocast. Training in 16 bits keeps fp32 weights by default."""
    dtype = _DTYPES[case.precision]
    if dtype == "float32":
        return dtype, None
    kind = case.get("torch.bf16") or ("weights" if mode == "infer" else "autocast")
    return ("float32", dtype) if kind == "autocast" else (dtype, None)


def _without_shapes(
    cells: Sequence[tuple[Case, Settings]],
) -> list[tuple[Case, Settings]]:
    """Cells for a grid: one for each that differs in more than its shape."""
    shape: dict[str, Any] = {"batch_size": 1, "sequence_length": 128}
    return [(case.replace(**shape), dataclasses.replace(s, **shape)) for case, s in cells]
