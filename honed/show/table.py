"""Records side by side in a terminal: one line for each record, or stacked columns if narrow."""

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
from honed.show.columns import ALWAYS, COLUMNS, Column, varies
from honed.show.group_messages import folded, listed
from honed.show.numbers import NONE
from honed.show.say import status, word

_LEAST_ID = 8
_DISPENSABLE = 50  # columns of this rank or more are dropped before columns are stacked
_SETTINGS_WIDTH = 18  # the least width of the only column that wraps
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class RecordsTable:
    """A row for each record, with `extra` columns beside the measures; failures and doubts are
    explained below. A rich renderable: it chooses its columns by the width that it gets."""

    def __init__(self, records: Sequence[Record], extra: Sequence[Column] = ()) -> None:
        self._records = records
        self._measures = (*columns.measure_columns(records), *extra)
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
        dropped = [c.heading for c in self._measures if c.name not in shown and self._has(c)]
        if dropped:
            note = f"too narrow for {', '.join(dropped)}: honed show ID"
            yield Text(note, "dim", justify="left")
        yield from self._failures()
        for number, message in enumerate(self._footnotes, 1):
            yield Text(f"{_superscript(number)} {message}", "yellow", justify="left")

    def _has(self, column: Column) -> bool:
        """Whether any record has a value there: without one, nothing is missing."""
        return any(column.read(record) != NONE for record in self._records)

    def _fitting(self, console: Console, options: ConsoleOptions) -> tuple[Table, set[str]]:
        """The table with the most columns that fits, and the names of its columns."""
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
        table = self._table(stacks, " ")
        while len(stacks) > 3 and _least_width(console, options, table) > options.max_width:
            stacks.remove(max(stacks, key=lambda stack: stack[0].rank))
            table = self._table(stacks, " ")
        for narrow in self._narrowest():
            if _least_width(console, options, table) > options.max_width:
                stacks, table = narrow, self._table(narrow, " ")
        varying = {k for k in ALWAYS if varies(k, self._records)}
        return table, varying | {c.name for stack in stacks for c in stack}

    def _id(self) -> Column:
        return Column("id", "id", 0, lambda r: self._short[r.id], left=True)

    def _status(self) -> Column:
        return Column("status", "status", 0, lambda r: r.status + self._marks(r), left=True)

    def _stacks(self) -> list[tuple[Column, ...]]:
        """Several columns in the place of one: the others stand under the first."""
        at = {c.name: c for c in self._measures}
        tokens = at.get("useful_tokens", COLUMNS["tokens"])
        accuracy = (at["accuracy"],) if "accuracy" in at else ()
        return [
            (self._id(), self._status()),
            (columns.settings_column(self._records),),
            (at["latency"], at["latency_p99"]),
            (at["throughput"], *(self._extra or (tokens,))),
            (at["flops"], at["bound_share"]),
            (at["rss_peak"], at["cosine_min"], *accuracy),
        ]

    def _narrowest(self) -> list[list[tuple[Column, ...]]]:
        """Stacks for terminals of 40 columns, and then of 20: a number is never cut."""
        settings, measures = columns.settings_column(self._records), (COLUMNS["latency"],)
        record = (settings, self._id(), self._status())
        return [[record, measures], [(settings, *measures, *record[1:])]]

    def _flat(self, chosen: Sequence[Column]) -> Table:
        return self._table([(column,) for column in chosen], "\n")

    def _table(self, stacks: Sequence[tuple[Column, ...]], seam: str) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        columns_of_cells = []
        for stack in stacks:
            cells = [
                Text("\n").join(lines)
                for lines in zip(*(self._texts(c) for c in stack), strict=True)
            ]
            header = Text("\n".join(c.header.replace("\n", seam) for c in stack))
            wraps = stack[0].name == "settings"
            widest = max(line.cell_len for text in (header, *cells) for line in text.split("\n"))
            table.add_column(
                header, justify="left" if stack[0].left else "right", no_wrap=not wraps,
                vertical="bottom" if seam == "\n" else "top",
                # Without a least width rich cuts off numbers to make the table fit.
                min_width=_SETTINGS_WIDTH if wraps else widest,
            )  # fmt: skip
            columns_of_cells.append(cells)
        for row in zip(*columns_of_cells, strict=True):
            table.add_row(*row)
        return table

    def _texts(self, column: Column) -> list[Text]:
        cells = column.cells(self._records)
        if column.name == "status":
            return [status(r.status, c.text) for r, c in zip(self._records, cells, strict=True)]
        return [Text(cell.text, "bold cyan" if cell.best else "") for cell in cells]

    def _marks(self, record: Record) -> str:
        """The numbers of the footnotes that belong to the record."""
        lines = dict.fromkeys(self._folded[d.message] for d in record.doubts)
        return " ".join(_superscript(self._footnotes.index(line) + 1) for line in lines)

    def _failures(self) -> Iterator[Text]:
        """Each reason once, after the ids of its records."""
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


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def _short_ids(records: Sequence[Record]) -> Mapping[str, str]:
    """The shortest beginnings of the ids that differ, eight characters at least."""
    for length in range(_LEAST_ID, max((len(r.id) for r in records), default=0)):
        short = {r.id: r.id[:length] for r in records}
        if len(set(short.values())) == len(short):
            return short
    return {r.id: r.id for r in records}


def _least_width(console: Console, options: ConsoleOptions, table: Table) -> int:
    wide = options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, wide, table).minimum
