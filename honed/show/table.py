"""Records side by side: a line each where the terminal is wide, stacked where it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from honed.record import Record
from honed.show import columns
from honed.show.columns import ALWAYS, Column, varies
from honed.show.details import record_details
from honed.show.group_messages import folded, listed
from honed.show.say import status, word

__all__ = ["RecordsTable", "record_details", "records_table"]

_LEAST_ID = 8
_DISPENSABLE = 50  # columns of this rank or more may go before the rows are stacked
_SETTINGS_WIDTH = 18  # of the one column that wraps, at least
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def records_table(records: Sequence[Record], extra: Sequence[Column] = ()) -> RecordsTable:
    """A row per record, with `extra` columns beside the measures; what failed, and what is
    doubtful, below."""
    return RecordsTable(tuple(records), extra)


class RecordsTable:
    """A rich renderable that learns its width only when it is printed."""

    def __init__(self, records: Sequence[Record], extra: Sequence[Column] = ()) -> None:
        self._records = records
        self._measures = (*columns.measures(records), *columns.accuracy(records), *extra)
        self._extra = extra
        self._folded = folded([d.message for r in records for d in r.doubts])
        self._footnotes = list(dict.fromkeys(self._folded.values()))
        self._short = _short_ids(records)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._records:
            yield Text("no records", style="dim")
            return
        table, shown = self._fitting(console, options)
        shared = [k for k in ALWAYS if k not in shown and not varies(k, self._records)]
        if shared:
            yield Text("  ".join(word(self._records[0].case.get(k)) for k in shared), "bold")
        yield table
        lost = [c.name for c in self._measures if c.name not in shown]
        if lost:
            yield Text(f"too narrow for {', '.join(lost)}: honed show ID", "dim", justify="left")
        yield from self._failures()
        for number, message in enumerate(self._footnotes, 1):
            yield Text(f"{_superscript(number)} {message}", "yellow", justify="left")

    def _fitting(self, console: Console, options: ConsoleOptions) -> tuple[Table, set[str]]:
        """The richest table that fits, and the names of what it shows."""
        chosen = [self._id(), *columns.key_columns(self._records), *self._measures]
        chosen.append(self._status())
        while (worst := max(chosen, key=lambda c: c.rank)).rank >= _DISPENSABLE:
            table = self._flat(chosen)
            if _least_width(console, options, table) <= options.max_width:
                break
            chosen.remove(worst)
        table = self._flat(chosen)
        if _least_width(console, options, table) <= options.max_width:
            return table, {c.name for c in chosen}
        stacks = self._stacks()
        table = self._stacked(stacks)
        while len(stacks) > 3 and _least_width(console, options, table) > options.max_width:
            stacks.remove(max(stacks, key=lambda stack: stack[0].rank))
            table = self._stacked(stacks)
        varying = {k for k in ALWAYS if varies(k, self._records)}
        return table, varying | {c.name for stack in stacks for c in stack}

    def _id(self) -> Column:
        return Column("id", "id", 0, lambda r: self._short[r.id], left=True)

    def _status(self) -> Column:
        return Column("status", "status", 0, lambda r: r.status + self._marks(r), left=True)

    def _stacks(self) -> list[tuple[Column, ...]]:
        """Two columns in the room of one: the second stands under the first."""
        tokens = columns.USEFUL if columns.USEFUL in self._measures else columns.TOKENS
        return [
            (self._id(), self._status()),
            (columns.settings_column(self._records),),
            (columns.P50, columns.P99),
            (columns.THROUGHPUT, *(self._extra or (tokens,))),
            (columns.ARITHMETIC, columns.BOUND),
            (columns.PEAK, columns.COSINE, *columns.accuracy(self._records)),
        ]

    def _flat(self, chosen: Sequence[Column]) -> Table:
        return self._table([(column,) for column in chosen], "\n")

    def _stacked(self, stacks: Sequence[tuple[Column, ...]]) -> Table:
        return self._table(stacks, " ")

    def _table(self, stacks: Sequence[tuple[Column, ...]], seam: str) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        columns_of_cells = []
        for stack in stacks:
            cells = [
                Text("\n").join(lines)
                for lines in zip(*(c.cells(self._records) for c in stack), strict=True)
            ]
            header = Text("\n".join(c.header.replace("\n", seam) for c in stack))
            wraps = stack[0].name == "settings"
            table.add_column(
                header,
                justify="left" if stack[0].left else "right",
                vertical="bottom" if seam == "\n" else "top",
                no_wrap=not wraps,
                # Rich would rather cut a number than the table.
                min_width=_SETTINGS_WIDTH if wraps else _widest([header, *cells]),
            )
            columns_of_cells.append(cells)
        for row in zip(*columns_of_cells, strict=True):
            table.add_row(*row)
        return table

    def _marks(self, record: Record) -> str:
        """Which footnotes are this record's."""
        lines = dict.fromkeys(self._folded[d.message] for d in record.doubts)
        return " ".join(_superscript(self._footnotes.index(line) + 1) for line in lines)

    def _failures(self) -> Iterator[Text]:
        """Each reason once, with whose it is."""
        alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for record in self._records:
            if (error := record.error) is not None:
                reason = (record.status, error.message, error.hint)
                alike[reason].append(self._short[record.id])
        for (outcome, message, hint), ids in alike.items():
            line = Text.assemble(listed(ids), " ", status(outcome), f": {message}")
            if hint:
                line.append(f" → {hint}", "dim")
            line.justify = "left"
            yield line


def _widest(texts: Sequence[Text]) -> int:
    return max(line.cell_len for text in texts for line in text.split("\n"))


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def _short_ids(records: Sequence[Record]) -> Mapping[str, str]:
    """The shortest beginnings that tell these records apart, eight characters at least."""
    for length in range(_LEAST_ID, max((len(r.id) for r in records), default=0)):
        short = {r.id: r.id[:length] for r in records}
        if len(set(short.values())) == len(short):
            return short
    return {r.id: r.id for r in records}


def _least_width(console: Console, options: ConsoleOptions, table: Table) -> int:
    wide = options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, wide, table).minimum
