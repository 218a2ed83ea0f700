"""One record in full: the settings asked for and in effect, the results, and the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from honed.case import CORE_FIELDS, CORE_KEYS
from honed.machine.topology import format_cpus
from honed.record import InputFacts, Latency, Memory, Record
from honed.show.numbers import NONE, measured, mib, plain, seconds
from honed.show.say import cosine, status, word

_ALWAYS = ("model", "backend", "precision", "batch_size", "sequence_length")
_BAR = 28
_GIB = 2**30
_NOT_FINITE = "outputs are not finite"
Row = tuple[str | Text, ...]


def sections(record: Record) -> dict[str, list[Row]]:
    """The rows of each section of a record; a section without rows is left out."""
    found = {
        "settings": _settings(record),
        "inputs": _inputs(record.inputs) if record.inputs else [],
        "speed": _speed(record),
        "latency": _latency(record.metrics.latency_s) if record.metrics else [],
        "memory": _memory(record.memory) if record.memory else [],
        "fidelity": _fidelity(record),
        "accuracy": _accuracy(record),
        "machine": _machine(record.machine),
    }
    return {name: rows for name, rows in found.items() if rows}


def record_details(record: Record) -> RenderableType:
    """All sections of a record that are not empty."""
    parts: list[RenderableType] = [_heading(record)]
    if (error := record.error) is not None:
        parts.append(Text.assemble(status(record.status, error.kind), ": ", error.message))
        if error.hint:
            parts.append(Text(f"  {error.hint}", style="dim"))
    for name, rows in sections(record).items():
        parts += [Text(), Text(name, style="bold"), Padding(_grid(rows), (0, 0, 0, 2))]
    if record.doubts:
        texts = [Text(f"{d.kind}: {d.message}", style="yellow") for d in record.doubts]
        parts += [Text(), Text("doubts", style="bold")]
        parts += [Padding(text, (0, 0, 0, 2)) for text in texts]
    return Group(*parts)


def _heading(record: Record) -> Text:
    took = f"  took {seconds(record.elapsed_s)}" if record.elapsed_s else ""
    return Text.assemble(
        (record.id, "bold"), "  ", status(record.status), f"  {record.created[:19]}",
        f"  honed {record.honed}{took}",
    )  # fmt: skip


def _grid(rows: Sequence[Row]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for index in range(max(map(len, rows))):
        grid.add_column(no_wrap=index == 0, overflow="fold")
    for first, *rest in rows:
        grid.add_row(Text(str(first), style="dim"), *rest)
    return grid


def _settings(record: Record) -> list[Row]:
    """Every key that was set or read back, with its asked and its effective value."""
    rows: list[Row] = [("", Text("asked", "dim"), Text("effective", "dim"))]
    for key in _shown_keys(record):
        asked = record.case.get(key)
        got = [instance[key] for instance in record.effective if key in instance]
        differs = asked is not None and any(g is not None and g != asked for g in got)
        effective = Text(_together(got), style="red" if differs else "")
        rows.append((key, word(asked), Text.assemble(effective, " ≠" if differs else "")))
    return rows


def _shown_keys(record: Record) -> Iterator[str]:
    defaults = {f.name: f.default for f in CORE_FIELDS}
    read_back = {k for i in record.effective for k, v in i.items() if v is not None}
    for key in CORE_KEYS:
        if key in _ALWAYS or key in read_back or record.case.get(key) != defaults[key]:
            yield key
    for key in sorted((set(record.case) | read_back) - set(CORE_KEYS)):
        if record.case.get(key) is not None or key in read_back:
            yield key


def _together(values: Sequence[Any]) -> str:
    """One value if all instances agree, else the value of each instance."""
    words = [facts(v) for v in values]
    if not words:
        return ""
    return words[0] if len(set(words)) == 1 else " | ".join(words)


def facts(value: Any) -> str:
    """A fact of a record, a list or a mapping included, in one line."""
    if isinstance(value, list | tuple):
        if value and all(isinstance(v, int) for v in value):
            return format_cpus(value)
        return ", ".join(map(word, value)) or NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {word(v)}" for k, v in value.items())
    return word(value)


def _speed(record: Record) -> list[Row]:
    metrics = record.metrics
    if metrics is None:
        return []
    rate = metrics.throughput_per_s
    rows: list[Row] = [("throughput", f"{measured(rate.value, rate.ci95)} sequences/s")]
    tokens_per_s, useful_per_s = metrics.tokens_per_s, metrics.useful_tokens_per_s
    if tokens_per_s is not None:
        rows.append(("tokens", f"{plain(tokens_per_s)} /s"))
        if useful_per_s is not None and useful_per_s < tokens_per_s:
            rows.append(("without padding", f"{plain(useful_per_s)} /s"))
    if metrics.flops_per_s is not None:
        bound = metrics.bound_flops_per_s
        share = f", {metrics.flops_per_s / bound:.0%} of {plain(bound / 1e9)}" if bound else ""
        rows.append(("arithmetic", f"{plain(metrics.flops_per_s / 1e9)} GFLOP/s{share}"))
    before = [("import", metrics.import_s), ("build", metrics.build_s), ("load", metrics.load_s)]
    before += [("first call", metrics.first_call_s), ("warm-up", metrics.warmup_s)]
    rows.append(("beforehand", ", ".join(f"{n} {seconds(s)}" for n, s in before if s)))
    rows.append(("measured", f"{metrics.samples} calls in {seconds(metrics.window_s)}"))
    return rows


def _inputs(inputs: InputFacts) -> list[Row]:
    ends = [int(end) for key in inputs.length_histogram for end in key.split("-")]
    rows: list[Row] = [("fed", f"{inputs.sequences} sequences: {inputs.source}")]
    if len(set(ends)) > 1:
        rows.append(("lengths", f"{min(ends)} to {max(ends)} tokens"))
    if inputs.padding_share:
        rows.append(("padding", f"{inputs.padding_share:.1%} of the tokens"))
    return rows


def _latency(latency_s: Latency) -> list[Row]:
    intervals = {"p50": latency_s.ci95, "p90": latency_s.p90_ci95, "p99": latency_s.p99_ci95}
    rows: list[Row] = []
    for name in ("min", "p50", "p90", "p95", "p99", "max", "mean", "stdev"):
        ends = intervals.get(name)
        value: float | None = getattr(latency_s, name)
        between = f"95 % in {plain(ends[0] * 1e3, 4)} … {plain(ends[1] * 1e3, 4)}" if ends else ""
        note = "too few calls to tell" if value is None else between
        shown = NONE if value is None else f"{plain(value * 1e3, 4)} ms"
        rows.append((name, Text(shown, justify="right"), Text(note, style="dim")))
    return rows


def _memory(memory: Memory) -> list[Row]:
    sizes = [(f.name, getattr(memory, f.name)) for f in dataclasses.fields(Memory)]
    known = [(name, size) for name, size in sizes if size is not None]
    largest = max((size for _, size in known), default=0)
    rows: list[Row] = []
    for name, size in known:
        bar = "█" * round(_BAR * size / largest) if largest else ""
        label = name.removesuffix("_bytes").replace("_", " ")
        amount = Text(f"{mib(size)} MiB", justify="right")
        rows.append((label, amount, Text(bar or "▏", style="cyan")))
    return rows


def _fidelity(record: Record) -> list[Row]:
    fidelity = record.fidelity
    if fidelity is None:
        return []
    low = fidelity.cosine_min < fidelity.tolerance
    least = f"{cosine(fidelity.cosine_min)} (at least {fidelity.tolerance:g})"
    rows: list[Row] = [("against", fidelity.reference)]
    rows.append(("least cosine", Text(least, "red" if low else "")))
    largest = fidelity.max_abs_diff
    difference = _NOT_FINITE if largest is None else f"{largest:.3g}"
    if fidelity.relative_diff:
        difference += f" ({100 * fidelity.relative_diff:.2g}% of the largest value)"
    rows.append(("largest difference", difference))
    if fidelity.top1_agreement is not None:
        rows.append(("same first choice", f"{fidelity.top1_agreement:.1%}"))
    if fidelity.neighbour_cosine_min is not None:
        rows.append(("beside other texts", f"{cosine(fidelity.neighbour_cosine_min)} to itself"))
    return rows


def _accuracy(record: Record) -> list[Row]:
    accuracy = record.accuracy
    if accuracy is None:
        return []
    value = _NOT_FINITE if accuracy.value is None else f"{accuracy.value:.4f}"
    rows: list[Row] = [
        (accuracy.metric, f"{value} (fp32 {accuracy.reference:.4f})"),
        ("judged on", f"{accuracy.examples} examples: {accuracy.source}"),
    ]
    if accuracy.drop is not None:
        ends, allowed = accuracy.drop_ci95, accuracy.allowed
        text = f"{accuracy.drop:.2%}"
        text += "" if allowed is None else f" (at most {allowed:.2%})"
        text += f", 95 % in {ends[0]:.2%} … {ends[1]:.2%}" if ends else ""
        exceeded = allowed is not None and accuracy.drop > allowed
        rows.append(("drop", Text(text, "red" if exceeded else "")))
    return rows


def _machine(machine: Mapping[str, Any]) -> list[Row]:
    """The most important facts; the JSON has all of them."""
    rows: list[Row] = []
    for key in ("cpu", "flags", "container", "kernel", "python", "packages"):
        if machine.get(key):
            rows.append((key, facts(machine[key])))
    if memory := machine.get("memory_bytes"):
        rows.append(("memory", f"{memory / _GIB:.1f} GiB"))
    return rows
