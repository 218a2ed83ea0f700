"""Each case beside the most that its cores can do: arithmetic reached over FLOP per byte.

The roof is the measured matrix product (`metrics.bound_flops_per_s`). The bytes are the weights
alone, which every call reads at least once; with all bytes a point would lie further left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from honed.measures import MEASURES
from honed.record import Interval, Record
from honed.report.evidence import Evidence, pool
from honed.report.figures._along import MOST_LINES, paint
from honed.report.figures.base import Picture, titled
from honed.report.findings import listed
from honed.report.panels.lines import Level, Lines, Series
from honed.show.numbers import plain
from honed.show.rows import SUBJECT

ORDER = 80
_GIGA = 1e-9
_SAME = 1.15  # labels of roofs closer than this ratio would overlap
_REACHED, _SHARE = MEASURES["flops"], MEASURES["bound_share"]


def pictures(evidence: Evidence) -> Iterator[Picture]:
    for subject, measured in evidence.subjects():
        records = [r for r in measured if _intensity(r) and _SHARE.value(r)]
        roofs = _roofs(records)
        if len(records) < 2 or not roofs:
            continue
        panel = Lines(
            "Arithmetic reached, GFLOP/s", "FLOP per byte of weights read",
            _series(evidence, records), _REACHED.shown_unit, roofs, joined=False,
        )  # fmt: skip
        yield Picture(
            titled("Roofline", subject),
            _sentence(evidence, records),
            (panel,),
            tuple(records),
            ("Dashed: the measured bound of the cores that were used, by precision. Bytes count "
             "the weights once a call, the least that must be read. The bandwidth of the memory "
             "is not measured, so the roof has no slope.",),
        )  # fmt: skip


def _reached(record: Record) -> Interval | None:
    """GFLOP/s, with the interval of the throughput from which it follows."""
    metrics = record.metrics
    if metrics is None or not metrics.flops_per_s:
        return None
    rate, reached = metrics.throughput_per_s, metrics.flops_per_s * _GIGA
    if not rate.value or rate.ci95 is None:
        return Interval(reached)
    each = reached / rate.value
    return Interval(reached, (rate.ci95[0] * each, rate.ci95[1] * each))


def _intensity(record: Record) -> float | None:
    """FLOP of one call over the bytes of its weights."""
    metrics, memory = record.metrics, record.memory
    if metrics is None or not metrics.flops_per_s or memory is None or not memory.weights_bytes:
        return None
    rate = metrics.throughput_per_s.value
    batch = record.case.get("batch_size") or 1
    return metrics.flops_per_s / rate * batch / memory.weights_bytes if rate else None


def _roofs(records: Sequence[Record]) -> tuple[Level, ...]:
    """The highest measured bound of each precision and number of CPUs; nearly equal bounds share
    a line."""
    bounds: dict[str, float] = {}
    for record in records:
        bound = record.metrics.bound_flops_per_s if record.metrics else None
        if bound:
            cpus = sum(len(i.get("cpus") or ()) for i in record.effective)
            name = f"{record.case.get('precision')}{f' on {cpus} CPUs' if cpus else ''}"
            bounds[name] = max(bound * _GIGA, bounds.get(name, 0.0))
    lines: dict[float, list[str]] = {}
    for name, value in sorted(bounds.items(), key=lambda item: item[1]):
        last = max(lines, default=0.0)
        lines.setdefault(last if value < _SAME * last else value, []).append(name)
    names_at = {value: listed(names, most=3) for value, names in lines.items()}
    return tuple(Level(f"bound of {who}: {plain(at)}", at) for at, who in names_at.items())


def _series(evidence: Evidence, records: Sequence[Record]) -> tuple[Series, ...]:
    """By engine and precision; by engine alone where that would be too many."""
    keys = evidence.varying(records, ("backend", "precision"))
    if len(evidence.groups(records, keys)) > MOST_LINES:
        keys = ["backend"]
    groups = evidence.groups(records, keys)
    styles = paint(evidence, [same[0] for _, same in groups])
    differing = evidence.varying(records, without=SUBJECT)
    series = []
    for (label, same_engine), style in zip(groups, styles, strict=True):
        settings = (same for _, same in evidence.groups(same_engine, differing))
        points = (pool(same, _reached, _intensity(same[0]) or 0.0) for same in settings)
        series.append(Series(label, style, tuple(p for p in points if p is not None)))
    return tuple(series)


def _sentence(evidence: Evidence, records: Sequence[Record]) -> str:
    shares = [(share, r) for r in records if r.ok and (share := _SHARE.value(r)) is not None]
    if not shares:
        return "No ok record to compare with the bound."
    keys = evidence.varying(records, without=SUBJECT)

    def reached(share: float, record: Record) -> str:
        bound = record.metrics.bound_flops_per_s if record.metrics else None
        roof = plain(bound * _GIGA if bound else None)
        label = evidence.label(record, keys)
        return f"{label} reaches {share:.0%} of the {roof} GFLOP/s its cores can do"

    best = max(shares, key=lambda pair: pair[0])
    worst = min(shares, key=lambda pair: pair[0])
    return f"{reached(*best)}, the nearest to the bound; {reached(*worst)}, the farthest."
