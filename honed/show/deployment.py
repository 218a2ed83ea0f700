"""Deployments for a terminal: one in full, several as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.plan.deployment import MIB, Deployment, Part
from honed.plan.deployment_verify import DeploymentVerification
from honed.show.numbers import NONE
from honed.show.plan import size
from honed.values import typed_words

_BAR = 24
_WHEN = {"held": "", "loading": "while it loads", "calling": "in a call"}


def deployment_details(found: Deployment) -> RenderableType:
    """One deployment: the limit, what it is made of, and where each number is from."""
    parts: list[RenderableType] = [_heading(found), *_verdict(found), Text(), _table(found)]
    parts += [Text(note, "dim") for note in _notes(found)]
    parts += [Text(f"not known: {what}", "yellow") for what in found.unknown]
    return Group(*parts)


def deployments_table(found: Sequence[Deployment]) -> RenderableType:
    """A row for each deployment."""
    table = Table("model", "engine", "shape", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("instances", "private", "files", "resident", "limit", "fits"):
        table.add_column(heading, justify="right")
    for each in found:
        table.add_row(
            each.model, f"{each.case.backend} {each.case.precision}", _shape(each),
            str(each.case.instances), size(each.private_bytes), size(each.file_bytes),
            size(each.resident_peak_bytes), Text(f"{each.limit_bytes // MIB} MiB", "bold"),
            NONE if each.fits is None else ("yes" if each.fits else Text("no", "red")),
        )  # fmt: skip
    unknown = dict.fromkeys(what for each in found for what in each.unknown)
    return Group(table, *(Text(f"not known: {what}", "yellow") for what in unknown))


def _heading(found: Deployment) -> Text:
    case = found.case
    knobs = typed_words(dict(case.knobs))
    threads = "" if case.threads is None else f"{case.threads} threads each"
    words = [found.task, _shape(found), case.backend, case.precision, *knobs,
             _times(case.instances, "process"), threads]  # fmt: skip
    return Text.assemble((found.model, "bold"), "  ", "  ".join(filter(None, words)))


def _verdict(found: Deployment) -> Iterator[Text]:
    # Whole MiB, as the option of a container takes them.
    text = Text.assemble("container limit ", (f"{found.limit_bytes // MIB} MiB", "bold"))
    if found.fits is not None:
        verdict = ("fits", "bold green") if found.fits else ("does not fit", "bold red")
        text.append(f" of {size(found.capacity_bytes or 0)}: ").append(*verdict)
    yield text
    yield Text(
        f"  {size(found.private_bytes)} private memory, most of it {_at(found)}; "
        f"{size(found.kernel_bytes)} of the kernel; {size(found.needed_file_bytes)} of files that "
        f"every call reads; {size(found.margin_bytes)} margin"
    )
    yield Text(
        f"below about {size(found.least_bytes)} the kernel kills a process. "
        f"{size(found.file_bytes - found.needed_file_bytes)} more are pages of files that it may "
        "take back: a group is charged for them if it is the first to touch them"
    )


def _at(found: Deployment) -> str:
    return "while all load" if found.peak_when == "loading" else "while all compute"


def _table(found: Deployment) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "left", "left"):
        table.add_column(justify=justify)
    total = max((abs(part.size_bytes) for part in found.parts), default=1)
    for part in found.parts:
        bar = Text("█" * round(_BAR * max(0, part.size_bytes) / total),
                   "green" if part.is_shared else "cyan")  # fmt: skip
        note = ", ".join(filter(None, [_WHEN[part.when], part.why]))
        table.add_row(f"  {part.name}", size(part.size_bytes), _kind(part), bar, Text(note, "dim"))
    return table


def _kind(part: Part) -> str:
    if not part.is_shared:
        return "each process"
    return "file, read" if part.is_needed else "file, may go"


def _notes(found: Deployment) -> Iterator[str]:
    yield f"resident at the peak: {size(found.resident_peak_bytes)}, files counted once"
    if found.calibrated_by is not None:
        yield f"corrected by record {found.calibrated_by}"
    yield "honed's workers; a front that listens (honed serve) is a process of its own"


def _shape(found: Deployment) -> str:
    return f"{found.case.batch_size}x{found.case.sequence_length}"


def _times(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}es"


def deployment_verification(found: DeploymentVerification) -> RenderableType:
    """Predicted beside measured."""
    table = Table("memory", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("predicted", "measured", "difference"):
        table.add_column(heading, justify="right")
    for name, peaks in {"private": found.private, "files": found.files}.items():
        table.add_row(
            name, size(peaks.predicted_bytes), size(peaks.measured_bytes), f"{peaks.error:+.1%}"
        )
    return Group(table, Text(f"measured: record {found.record}", "dim"))
