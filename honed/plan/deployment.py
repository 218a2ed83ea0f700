"""A deployment: the resident memory of N processes of one engine, and their container's limit.

What an engine takes without a model is measured once on this machine (`deployment_records`). The
backend's file says what a model adds (`honed.backends._footprint`). This file adds both up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.backends._footprint import Portion, When
from honed.case import Case
from honed.plain import to_plain

MIB = 2**20
# What a limit has beyond the prediction, as a share of the private memory.
MARGIN = 0.08
# A control group also counts what the kernel holds for a process: 8 bytes of page table for each
# page, and about 2 MiB for stacks, files and pipes.
_PAGE_TABLE_SHARE = 8 / 4096
_KERNEL_BYTES = 2 * MIB
# A call of any engine read 2 to 6 MiB of library code, by the bits that the kernel sets on pages.
_READ_LIBRARY_BYTES = 6 * MIB

_KINDS = ("weights", "gradients", "optimizer", "activations", "temporaries", "workspace", "engine")
_KIND_OF_PART = {
    "loading": "temporaries", "interpreter and engine": "engine", "libraries": "engine",
    "difference to a record": "engine",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """What a process takes without a model: private bytes at their peak while it loads and while
    it computes, and pages of library files. `record` is where this was measured."""

    loading_bytes: int
    calling_bytes: int
    library_bytes: int
    record: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What a record of the same model held beyond its own prediction, in one process."""

    private_bytes: int
    record: str
    shape: str


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the answer: the bytes of one process.

    `is_shared`: pages of files, which exist once for all processes. `is_needed`: not bytes that
    the kernel may take back without harm.
    """

    name: str
    size_bytes: int
    when: When
    why: str
    is_shared: bool = False
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Deployment:
    """The answer. Every sum is over all instances.

    loading_bytes, calling_bytes: the private memory at its peak while all instances load, and
        while all of them compute.
    file_bytes: pages of files, each counted once. `needed_file_bytes` of them are read by every
        call; the kernel may take back the others, and reads them again when they are needed.
    kernel_bytes: what the kernel holds for the processes; a control group counts it.
    resident_peak_bytes: private memory at its peak and pages of files.
    least_bytes: what the kernel cannot take back. It kills processes in a smaller group.
    limit_bytes: what to write as the container's limit. It holds `margin_bytes` beyond the private
        memory that is predicted, and the file pages that every call reads.
    unknown: what no part covers, as sentences.
    """

    case: Case
    model: str
    task: str
    weights_bytes: int
    tensors_bytes: int
    parts: tuple[Part, ...]
    engine_record: str
    calibrated_by: str | None
    unknown: tuple[str, ...] = ()
    capacity_bytes: int | None = None

    @property
    def loading_bytes(self) -> int:
        return self.case.instances * self._private("loading")

    @property
    def calling_bytes(self) -> int:
        return self.case.instances * self._private("calling")

    @property
    def private_bytes(self) -> int:
        return max(self.loading_bytes, self.calling_bytes)

    @property
    def peak_when(self) -> When:
        return "loading" if self.loading_bytes > self.calling_bytes else "calling"

    @property
    def file_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts if part.is_shared)

    @property
    def needed_file_bytes(self) -> int:
        return sum(p.size_bytes for p in self.parts if p.is_shared and p.is_needed)

    @property
    def resident_peak_bytes(self) -> int:
        return self.private_bytes + self.file_bytes

    @property
    def kernel_bytes(self) -> int:
        tables = _PAGE_TABLE_SHARE * (self.private_bytes + self.case.instances * self.file_bytes)
        return self.case.instances * _KERNEL_BYTES + int(tables)

    @property
    def least_bytes(self) -> int:
        return self.private_bytes + self.kernel_bytes

    @property
    def margin_bytes(self) -> int:
        return int(MARGIN * self.private_bytes)

    @property
    def limit_bytes(self) -> int:
        """In whole MiB."""
        exact = self.least_bytes + self.margin_bytes + self.needed_file_bytes
        return math.ceil(exact / MIB) * MIB

    @property
    def fits(self) -> bool | None:
        """Whether the device has so much memory; None where its size was not given."""
        return None if self.capacity_bytes is None else self.limit_bytes <= self.capacity_bytes

    def by_kind(self) -> Mapping[str, int]:
        """The resident bytes at the peak by their use, of all instances."""
        kinds = dict.fromkeys(_KINDS, 0)
        for part in self.parts:
            if part.when in ("held", self.peak_when):
                copies = 1 if part.is_shared else self.case.instances
                kinds[_KIND_OF_PART.get(part.name, part.name)] += copies * part.size_bytes
        return kinds

    def to_json(self) -> dict[str, Any]:
        """The keys of every plan, and those of a deployment: `requested` is the tensors,
        `allocated` the private memory, `reserved` the resident memory."""
        names = ("loading_bytes", "calling_bytes", "private_bytes", "file_bytes",
                 "needed_file_bytes", "kernel_bytes", "resident_peak_bytes", "least_bytes",
                 "margin_bytes", "limit_bytes", "fits")  # fmt: skip
        plain: dict[str, Any] = to_plain(self)
        return plain | {name: getattr(self, name) for name in names} | {
            "requested_peak_bytes": self.tensors_bytes,
            "allocated_peak_bytes": self.private_bytes,
            "reserved_peak_bytes": self.resident_peak_bytes,
            "by_kind": dict(self.by_kind()),
            "peak_at": {"op": "", "module": "", "phase": self.peak_when},
            "max_batch": None,
        }  # fmt: skip

    def _private(self, when: When) -> int:
        return private_bytes(self.parts, when)


def parts_of(
    engine: Engine, portions: Sequence[Portion], difference: Difference | None = None
) -> tuple[Part, ...]:
    """The parts of one process."""
    either = min(engine.loading_bytes, engine.calling_bytes)
    measured = f"measured without a model: record {engine.record}"
    read = min(_READ_LIBRARY_BYTES, engine.library_bytes)
    parts = [
        Part("interpreter and engine", either, "held", measured),
        Part("interpreter and engine", engine.loading_bytes - either, "loading", measured),
        Part("interpreter and engine", engine.calling_bytes - either, "calling", measured),
        Part("libraries", read, "held", "code that every call runs", is_shared=True),
        Part("libraries", engine.library_bytes - read, "held",
             "pages of library files that were read once", is_shared=True, is_needed=False),
    ]  # fmt: skip
    parts += [
        Part(p.name, p.size_bytes, p.when, p.why, is_shared=p.is_mapped, is_needed=p.is_read)
        for p in portions
    ]
    if difference is not None:
        why = f"measured less predicted: record {difference.record}, {difference.shape}"
        parts.append(Part("difference to a record", difference.private_bytes, "held", why))
    return tuple(part for part in parts if part.size_bytes)


def private_bytes(parts: Sequence[Part], when: When | None = None) -> int:
    """The private bytes of one process at a time; None is the worse of loading and calling."""
    if when is None:
        return max(private_bytes(parts, "loading"), private_bytes(parts, "calling"))
    return sum(p.size_bytes for p in parts if not p.is_shared and p.when in ("held", when))
