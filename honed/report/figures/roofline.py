"""Each case beside what its cores can do at most: arithmetic reached against arithmetic per byte.

The roof is the measured matrix product (`metrics.bound_flops_per_s`). Bytes are the weights alone,
which every call reads at least once; so a point lies further left than it stands, never right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.record import Record
from honed.report.evidence import Ends, Evidence, pool
from honed.report.figures._along import MOST_LINES, paint
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.lines import Level, Lines, Series
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

ORDER = 80
_GIGA = 1e-9
_SAME = 1.15  # roofs nearer than this would be written over each other


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for subject, records in evidence.subjects():
        known = [r for r in records if _reached(r) and _intensity(r) and _share(r)]
        roofs = _roofs(known)
        if len(known) < 2 or not roofs:
            continue
        panel = Lines(
            "Arithmetic reached, GFLOP/s", "FLOP per byte of weights read",
            _series(evidence, known), "GFLOP/s", _GIGA, roofs, joined=False,
        )  # fmt: skip
        yield Picture(
            titled("Roofline", subject),
            _sentence(evidence, known),
            (panel,),
            tuple(known),
            ("Dashed: the measured bound of the cores that were used, by precision. Bytes count "
             "the weights once a call, the least that must be read; the bandwidth of the memory "
             "is not measured, so the roof has no slope.",),
        )  # fmt: skip


def _reached(record: Record) -> tuple[float, Ends | None] | None:
    """FLOP/s, with the interval of the throughput that it comes from."""
    found = record.metrics
    if found is None or not found.flops_per_s:
        return None
    rate = found.throughput_per_s
    if not rate.value or rate.ci95 is None:
        return found.flops_per_s, None
    each = found.flops_per_s / rate.value
    return found.flops_per_s, (rate.ci95[0] * each, rate.ci95[1] * each)


def _intensity(record: Record) -> float | None:
    """FLOP of one call over the bytes of its weights."""
    found, memory = record.metrics, record.memory
    if found is None or not found.flops_per_s or memory is None or not memory.weights_bytes:
        return None
    rate = found.throughput_per_s.value
    batch = record.case.get("batch_size") or 1
    return found.flops_per_s / rate * batch / memory.weights_bytes if rate else None


def _share(record: Record) -> float | None:
    found = record.metrics
    if found is None or not found.flops_per_s or not found.bound_flops_per_s:
        return None
    return found.flops_per_s / found.bound_flops_per_s


def _roofs(records: Sequence[Record]) -> tuple[Level, ...]:
    """One for each precision and number of CPUs, as high as the highest measured; equal ones
    share a line."""
    found: dict[str, float] = {}
    for record in records:
        bound = record.metrics.bound_flops_per_s if record.metrics else None
        if bound:
            cpus = sum(len(i.get("cpus") or ()) for i in record.effective)
            name = f"{record.case.get('precision')}{f' on {cpus} CPUs' if cpus else ''}"
            found[name] = max(bound, found.get(name, 0.0))
    lines: list[tuple[float, list[str]]] = []
    for name, value in sorted(found.items(), key=lambda item: item[1]):
        if lines and value < _SAME * lines[-1][0]:
            lines[-1][1].append(name)
        else:
            lines.append((value, [name]))
    return tuple(
        Level(f"bound of {listed(names, most=3)}: {plain(value * _GIGA)}", value)
        for value, names in lines
    )


def _series(evidence: Evidence, records: Sequence[Record]) -> tuple[Series, ...]:
    """By engine and precision; by engine alone where that would be too many."""
    keys = evidence.varying(records, ("backend", "precision"))
    if len(evidence.groups(records, keys)) > MOST_LINES:
        keys = ["backend"]
    groups = evidence.groups(records, keys)
    styles = paint(evidence, [rows[0] for _, rows in groups])
    apart = evidence.varying(records, without=SUBJECT)
    return tuple(
        Series(label, style, tuple(
            point for _, same in evidence.groups(rows, apart)
            if (x := _intensity(same[0])) and (point := pool(same, _reached, x)) is not None
        ))
        for (label, rows), style in zip(groups, styles, strict=True)
    )  # fmt: skip


def _sentence(evidence: Evidence, records: Sequence[Record]) -> str:
    shares = {r.id: share for r in records if r.ok and (share := _share(r)) is not None}
    if not shares:
        return "No ok record to hold against the bound."
    keys = evidence.varying(records, without=SUBJECT)
    by_id = {r.id: r for r in records}
    best, worst = (f(shares, key=lambda key: shares[key]) for f in (max, min))

    def told(id: str) -> str:
        bound = by_id[id].metrics
        roof = plain(bound.bound_flops_per_s * _GIGA) if bound and bound.bound_flops_per_s else ""
        label = evidence.label(by_id[id], keys)
        return f"{label} reaches {shares[id]:.0%} of the {roof} GFLOP/s its cores can do"

    return f"{told(best)}, the nearest to the bound; {told(worst)}, the farthest."
