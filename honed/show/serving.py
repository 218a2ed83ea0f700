"""What `honed serve --explain` prints: the workers, the memory, and the rate of each length."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from honed.machine.topology import format_cpus
from honed.serve.explain import Explanation
from honed.serve.groups import range_words
from honed.show.numbers import NONE, mib, plain
from honed.show.say import status


def explanation(found: Explanation) -> RenderableType:
    """Two tables, and the sentences that belong to them."""
    parts: list[RenderableType] = [
        Text.assemble("proof: ", status(found.record.status)),
        Text(
            f"the front has cores {format_cpus(found.front_cpus)} to itself"
            if found.front_cpus
            else "the front has no core of its own (front_cores=1 keeps one free)"
        ),
        _workers(found),
        Text(
            f"weights {mib(found.weights_bytes)} MiB in each worker, or shared where the engine "
            "maps its file: the proportional memory counts a shared page once"
        ),
        Text(_planned(found)),
        Text(""),
        _classes(found),
        Text(
            f"batches of {found.batch_tokens} tokens at most; texts of {found.longest} tokens at "
            f"most. Measured calls took up to {found.error:.2f} times what this model predicts "
            "(95 % of them)"
        ),
    ]
    if (
        found.short_edge is not None
        and len({(each.over, each.up_to) for each in found.workers}) == 1
    ):
        longest_ms = plain(found.classes[-1].alone_s * 1e3)
        parts.append(
            Text(
                f"a text can wait for the {longest_ms} ms of a long one: express=1 lets texts of "
                f"up to {found.short_edge} tokens pass, for the memory of one more worker"
            )
        )
    if found.record.error is not None:
        parts.append(Text(found.record.error.message))
    if found.notice:
        parts.append(Text(found.notice))
    return Group(*parts)


def _planned(found: Explanation) -> str:
    """What `honed plan` says that the calls will add to the memory of the workers at rest."""
    largest = found.largest_batch_bytes
    if largest is None:
        return "plan: the model's configuration leaves out the sizes that its formulas need"
    all_workers = len(found.workers) * largest
    return (
        f"plan: the tensors of the largest batch take {mib(largest)} MiB in each worker that "
        f"computes one, {mib(all_workers)} MiB in all (by formulas, for torch's operators)"
    )


def _workers(found: Explanation) -> Table:
    table = Table("worker", "cores", "threads", "memory MiB", "texts", box=None, pad_edge=False)
    for index, worker in enumerate(found.workers):
        cores = format_cpus(worker.cpus) if worker.cpus else "not pinned"
        threads = NONE if worker.threads is None else str(worker.threads)
        texts = range_words(worker.over, worker.up_to) or "all"
        table.add_row(str(index), cores, threads, mib(worker.pss_bytes), texts)
    return table


def _classes(found: Explanation) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("tokens up to", "alone ms", "texts a batch", "batch ms", "batch MiB",
                 "texts/s at most"):  # fmt: skip
        table.add_column(name, justify="right")
    for each in found.classes:
        table.add_row(
            str(each.tokens), plain(each.alone_s * 1e3), str(each.batch_texts),
            plain(each.batch_s * 1e3), mib(each.batch_bytes), plain(each.texts_per_s),
        )  # fmt: skip
    return table
