"""Plans for a terminal: one prediction in full, several as a table, grids, and verifications."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.plan.grid import Grid
from honed.plan.prediction import MaxBatch, Prediction
from honed.plan.replay import Failure
from honed.plan.settings import Settings
from honed.plan.verify import Verification
from honed.show.numbers import NONE, mib

_GIB = 2**30
_BAR = 28
_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_HELP_OF_KINDS = {
    "weights": "",
    "gradients": "of weights",
    "optimizer": "state",
    "activations": "inputs, what modules hand on, what the backward pass needs",
    "temporaries": "of single modules, gradients of activations",
    "workspace": "of cuBLAS",
}


def plan_details(found: Prediction) -> RenderableType:
    """One prediction: the verdict, where the memory goes, and what decides it."""
    parts: list[RenderableType] = [_heading(found)]
    if found.source == "closed form":
        parts.append(Text(f"an estimate by formulas: {found.why}", style="yellow"))
    parts.append(_verdict(found))
    if (failure := found.failure) is not None:
        parts.append(
            Text(
                f"the first allocation that fails: {_asked(failure)}, {failure.phase}, with "
                f"{size(failure.held_bytes)} held"
            )
        )
    if found.max_batch is not None:
        parts.append(_largest(found.max_batch, told=failure))
    parts += [Text(), _where(found), _kinds(found)]
    if found.phases:
        peaks = ", ".join(f"{name} {size(peak)}" for name, peak in found.phases.items())
        parts += [Text(), Text(f"requested at the peak of each phase: {peaks}")]
    return Group(*parts)


def plans_table(predictions: Sequence[Prediction]) -> RenderableType:
    """A row for each prediction; settings that are equal everywhere stand above the table."""
    words = [_words(p) for p in predictions]
    shared = [key for key in words[0] if len({row[key] for row in words}) == 1]
    varying = [key for key in words[0] if key not in shared]
    table = Table(*varying, box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("allocated", "reserved", "activations", "fits", "largest\nbatch"):
        table.add_column(heading, justify="right")
    for row, p in zip(words, predictions, strict=True):
        table.add_row(
            *(row[key] for key in varying),
            size(p.allocated_peak_bytes) + ("*" if p.source == "closed form" else ""),
            size(p.reserved_peak_bytes),
            size(p.by_kind["activations"]),
            NONE if p.fits is None else ("yes" if p.fits else Text("no", "red")),
            NONE if p.max_batch is None else str(p.max_batch.batch_size),
        )
    parts: list[RenderableType] = [Text("  ".join(words[0][key] for key in shared), "bold"), table]
    reasons = dict.fromkeys(p.why for p in predictions if p.why)
    parts += [Text(f"* an estimate by formulas: {why}", "yellow") for why in reasons]
    return Group(*parts)


def grid_table(found: Grid) -> RenderableType:
    """The reserved peak of each length and batch size; those that do not fit are dim."""
    table = Table("length", box=box.SIMPLE_HEAD, pad_edge=False)
    for batch_size in found.batch_sizes:
        table.add_column(f"x{batch_size}", justify="right")
    table.add_column("largest\nbatch", justify="right", style="bold")
    for row in found.rows:
        cells = [
            Text(_gib(peak), "" if peak <= found.usable_bytes else "dim red")
            for peak in row.reserved_bytes
        ]
        table.add_row(str(row.sequence_length), *cells, _count(row.max_batch))
    heading = "  ".join([found.model, found.task, *settings_words(found.settings)])
    note = f"GiB reserved at the peak, by batch size; {_gib(found.usable_bytes)} GiB are usable"
    if not found.usable_bytes:
        note += ": the CUDA context takes all of it (context=0 leaves it out)"
    return Group(Text(heading, "bold"), Text(note, "dim"), table)


def verification_table(found: Verification) -> RenderableType:
    """Predicted beside measured, for each phase."""
    table = Table("phase", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("predicted", "measured", "difference"):
        table.add_column(heading, justify="right")
    for name, peaks in {**found.phases, "whole": found.whole}.items():
        table.add_row(
            name, size(peaks.predicted_bytes), size(peaks.measured_bytes), f"{peaks.error:+.2%}"
        )
    allocator = found.whole.predicted_bytes / found.allocator_bytes - 1
    notes = (
        "run on this CPU with the kernels of a CPU; tensors, as torch's dispatcher sees them",
        f"torch's CPU allocator gave out {size(found.allocator_bytes)} at once, what kernels take "
        f"for themselves included: the prediction differs by {allocator:+.2%}",
    )
    shape = f"{found.settings.batch_size}x{found.settings.sequence_length}"
    heading = "  ".join([found.model, shape, *settings_words(found.settings)])
    return Group(Text(heading, "bold"), table, *(Text(note, "dim") for note in notes))


def size(size_bytes: int) -> str:
    """`13.9 GiB` from one GiB on, else MiB."""
    if size_bytes >= _GIB:
        return f"{_gib(size_bytes)} GiB"
    return f"{mib(size_bytes)} MiB"


def settings_words(settings: Settings) -> Iterator[str]:
    """The settings that are not at their default, in the words of `honed plan`."""
    yield settings.mode
    autocast = settings.autocast
    yield _PRECISIONS[settings.dtype] if autocast is None else f"{_PRECISIONS[autocast]} autocast"
    if settings.attention != "auto":
        yield f"attention={settings.attention}"
    if settings.mode == "train":
        optimizer = settings.optimizer
        yield f"{optimizer.name} ({optimizer.loop})"
        if optimizer.holds_gradients:
            yield "gradients=held"
        if optimizer.accumulation > 1:
            yield f"accumulation={optimizer.accumulation}"
    if settings.checkpointing != "off":
        yield f"checkpointing={settings.checkpointing}"
    if settings.keeps_cache:
        yield "cache"
    if settings.operators != "today":
        yield f"operators={settings.operators}"
    if settings.weights != "resident":
        yield f"weights={settings.weights}"


def _words(found: Prediction) -> dict[str, str]:
    settings = found.settings
    return {
        "model": found.model, "task": found.task,
        "batch": str(settings.batch_size), "length": str(settings.sequence_length),
        "how": " ".join(settings_words(settings)),
    }  # fmt: skip


def _heading(found: Prediction) -> Text:
    shape = f"{found.settings.batch_size}x{found.settings.sequence_length}"
    words = [found.task, shape, *settings_words(found.settings)]
    parameters = f"{found.parameters / 1e6:,.1f} M parameters"
    return Text.assemble((found.model, "bold"), "  ", "  ".join([*words, parameters]))


def _verdict(found: Prediction) -> Text:
    peak, reserved = size(found.allocated_peak_bytes), size(found.reserved_peak_bytes)
    held = (
        "" if found.reserved_peak_bytes == found.allocated_peak_bytes else f"{reserved} reserved"
    )
    context = f"{size(found.context_bytes)} for the CUDA context, an assumption"
    beside = ", ".join(filter(None, [held, context if found.context_bytes else ""]))
    beside = f" ({beside})" if beside else ""
    if found.capacity_bytes is None:
        return Text.assemble(("peak ", ""), (peak, "bold"), beside)
    verdict = ("fits", "bold green") if found.fits else ("does not fit", "bold red")
    of = f" of {size(found.capacity_bytes)}"
    return Text.assemble("peak ", (peak, "bold"), of, beside, ": ", verdict)


def _largest(found: MaxBatch, told: Failure | None) -> Text:
    """`told` is a failure that was told already."""
    text = Text.assemble("largest batch ", (_count(found), "bold"))
    if found.batch_size:
        text.append(f", which leaves {size(found.headroom_bytes)}")
    if (failure := found.failure) is not None and failure != told:
        text.append(f"; with one sequence more, {_asked(failure)} ({failure.phase}) find no room")
    return text


def _asked(failure: Failure) -> str:
    """What had no room: weights are there before any operator runs."""
    what = f"{failure.op} in {failure.module or 'the step itself'}" if failure.op else "a weight"
    return f"{size(failure.size_bytes)} for {what}"


def _count(found: MaxBatch) -> str:
    return f"over {found.batch_size}" if found.is_bound else str(found.batch_size)


def _where(found: Prediction) -> Text:
    at = found.peak_at
    if not at.op:
        return Text("where it goes", style="bold")
    module = at.module or "the step itself"
    return Text.assemble(
        ("where it goes", "bold"), f" at the peak: {at.phase}, {at.op} in {module}"
    )


def _kinds(found: Prediction) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    total = sum(found.by_kind.values()) or 1
    for kind, held in found.by_kind.items():
        if held:
            bar = Text("█" * round(_BAR * held / total), "cyan")
            note = _HELP_OF_KINDS.get(kind, "")
            table.add_row(f"  {kind}", size(held), f"{held / total:.0%}", bar, Text(note, "dim"))
    return table


def _gib(size_bytes: int) -> str:
    value = size_bytes / _GIB
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"
