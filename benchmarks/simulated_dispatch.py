"""What the policies of a server do for traffic: the real dispatcher on a simulated clock.

    python -m benchmarks.simulated_dispatch [--rate 105] [--texts 6000]

Workers take as long as a cost model says (the real MiniLM in int8 on OpenVINO, a core each), and
the clock jumps from event to event, so that the machine need not be quiet. HTTP, tokenising and
the clients are left out. Three kinds of traffic: a closed loop of texts of about 6 to 250 tokens;
short texts beside long ones at random times; and twice as many texts as the closed loop reached.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from honed.serve.cost import CostModel
from honed.serve.dispatch.base import Lengths, Rules, load_policy
from honed.serve.dispatcher import Dispatcher
from honed.serve.frames import Answer
from honed.serve.groups import Group, divide
from honed.serve.link import Link
from honed.serve.metrics import Metrics
from honed.serve.refusals import Refusal
from honed.serve.tickets import Batch, Tokens

# About the real MiniLM in int8 on one core of two that share their caches.
MINILM = CostModel(fixed_s=0.0018, token_s=8e-5, square_s=6e-8, plan_s=0.011)
_MOST_CORES = 48
_PREEMPTS_S = 0.001  # until the kernel lets an express worker run on a busy core


def scaled(cores: int) -> CostModel:
    """About BERT-base on so many cores: the work is divided, and each operator waits for all
    cores, for longer the more they are. Texts of 32 tokens then gain nothing from 16 cores instead
    of 8, and texts of 512 gain from all 24 of a socket, as published measurements found."""
    return CostModel(1e-3 + 4e-5 * cores, 4e-4 / cores, 5e-7 / cores)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__()

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class SimulatedLink:
    """A worker that takes as long as the cost model says, on cores that workers share."""

    def __init__(self, machine: Machine, group: Group, up_to: int | None = None) -> None:
        self.machine, self.group, self.up_to = machine, group, up_to
        self.share = Lengths(group.rules, up_to)
        self.ready, self.heard_s, self.answered_rows = True, 0.0, 0
        self.running: deque[Batch] = deque()
        self.ends_s = 0.0
        self._took_s = 0.0
        self._met: set[tuple[int, int]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def takes_more(self, ahead_s: float) -> bool:
        if len(self.running) > 1:
            return False
        return not self.running or self.running[0].predicted_s < ahead_s

    def remaining_s(self, now_s: float, ratio: float) -> float:
        waiting_s = sum(batch.predicted_s * ratio for batch in list(self.running)[1:])
        return max(0.0, self.ends_s - now_s) + waiting_s if self.running else 0.0

    def send(self, batch: Batch, _: float = 1.0) -> None:
        self.running.append(batch)
        if len(self.running) == 1:
            self._begin()

    def delay(self, seconds: float) -> None:
        """A worker of higher priority takes this one's core."""
        assert self._timer is not None
        self._timer.cancel()
        self.ends_s += seconds
        self._took_s += seconds
        self._timer = self.machine.loop.call_at(self.ends_s, self._done)

    def _begin(self) -> None:
        batch, machine = self.running[0], self.machine
        lengths = [item.length for item in batch.items]
        model = self.group.model
        self._took_s = model.batch_s(lengths, batch.width)
        if (shape := (len(lengths), batch.width)) not in self._met:
            self._met.add(shape)
            self._took_s += model.plan_s
        now_s = machine.loop.time()
        if self.up_to is not None:
            self._took_s += machine.preempted(self._took_s)
        else:
            self._took_s += machine.express_left_s(now_s)
        self.ends_s = now_s + self._took_s
        self._timer = machine.loop.call_at(self.ends_s, self._done)

    def _done(self) -> None:
        batch = self.running.popleft()
        self.heard_s = self.machine.loop.time()
        rows = np.zeros((len(batch.items), 1), np.float32)
        answer = Answer(batch.number, self._took_s, rows)
        if self.running:
            self._begin()
        assert self.machine.dispatcher is not None
        self.machine.dispatcher.answered(cast(Link, self), batch, answer)


@dataclass
class Machine:
    """`cores` workers that take every text, and `express` ones for short texts; or, with `sizes`,
    a worker for each cost model, which has so many cores."""

    policy: str
    model: CostModel = MINILM
    cores: int = 2
    express: int = 0
    sizes: Mapping[int, CostModel] | None = None
    longest: int = 512
    max_wait_s: float = 1e9
    loop: JumpingLoop = field(default_factory=JumpingLoop)
    links: list[SimulatedLink] = field(default_factory=list)
    dispatcher: Dispatcher | None = None

    def __post_init__(self) -> None:
        if self.sizes is None:
            groups = [self._group(self.model, self.cores)]
        else:
            groups = [self._group(self.sizes[cores], 1, cores) for cores in sorted(self.sizes)]
        divide(groups)
        self.dispatcher = Dispatcher(groups, Metrics(), self.max_wait_s)
        up_to = self.model.short_edge(self.longest)
        self.links = [SimulatedLink(self, group) for group in groups for _ in range(group.workers)]
        self.links += [SimulatedLink(self, groups[0], up_to) for _ in range(self.express)]
        self.dispatcher.links.extend(cast(list[Link], self.links))

    def _group(self, model: CostModel, workers: int, cores: int | None = None) -> Group:
        def width(tokens: int) -> int:
            return min(model.width(tokens), max(tokens, self.longest))

        bounds = Rules(model, self.longest, width, model.batch_tokens, 64, 0.05)
        return Group(bounds, load_policy(self.policy), workers, cores)

    def preempted(self, took_s: float) -> float:
        """An express worker begins: it takes the core of the worker that would end last, where
        none is free. Returns how long it waits for the core."""
        busy = [link for link in self.links if link.up_to is None and link.running]
        if len(busy) < self.cores:
            return 0.0
        max(busy, key=lambda link: link.ends_s).delay(took_s)
        return _PREEMPTS_S

    def express_left_s(self, now_s: float) -> float:
        """How long express workers still take from a worker that begins on the last free core."""
        busy = [link for link in self.links if link.running]
        if len(busy) <= self.cores:
            return 0.0
        return sum(max(0.0, link.ends_s - now_s) for link in busy if link.up_to is not None)

    def open_loop(self, at_s: Sequence[float], lengths: Sequence[int]) -> list[Sent]:
        """Texts that come at these times, one a request."""

        async def every() -> list[Sent]:
            tasks = []
            for when_s, length in zip(at_s, lengths, strict=True):
                await asyncio.sleep(when_s - self.loop.time())
                tasks.append(asyncio.ensure_future(self._one(length)))
            return [await task for task in tasks]

        return self._run(every())

    def closed_loop(self, clients: int, lengths: Sequence[int]) -> list[Sent]:
        """Clients that each send the next text when they have their answer."""
        left = iter(lengths)

        async def client() -> list[Sent]:
            return [await self._one(length) for length in left]

        async def every() -> list[Sent]:
            of_clients = await asyncio.gather(*(client() for _ in range(clients)))
            return [sent for of_one in of_clients for sent in of_one]

        return self._run(every())

    async def _one(self, length: int) -> Sent:
        assert self.dispatcher is not None
        began_s = self.loop.time()
        try:
            self.dispatcher.admit([length], 1e9)
        except Refusal:
            return Sent(length, began_s, refused=True)
        ticket = self.dispatcher.submit([Tokens(_IDS[:length])], 1e9, per_token=False)
        predicted_s = ticket.predicted_s
        await ticket.future
        return Sent(length, began_s, self.loop.time() - began_s, ticket.queue_s, predicted_s)

    def _run(self, work: Any) -> Any:
        try:
            return self.loop.run_until_complete(work)
        finally:
            self.loop.close()


_IDS = np.zeros(8192, np.int32)


@dataclass(frozen=True)
class Sent:
    """One text: when it came, how long until its answer, how long it waited and should have."""

    length: int
    began_s: float
    took_s: float = 0.0
    waited_s: float = 0.0
    predicted_s: float = 0.0
    refused: bool = False


def poisson(rate: float, count: int, seed: int) -> list[float]:
    return [
        float(at) for at in np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))
    ]


def mixed_lengths(count: int, seed: int, short: float = 0.8) -> list[int]:
    """80 % up to 32 tokens, 20 % of 384 to 512."""
    draw = np.random.default_rng(seed)
    return [int(draw.integers(6, 33)) if draw.random() < short else int(draw.integers(384, 513))
            for _ in range(count)]  # fmt: skip


def p99_ms(sent: Sequence[Sent], *, up_to: int = 10_000) -> float:
    return 1e3 * float(np.quantile([s.took_s for s in sent if s.length <= up_to], 0.99))


def spread_lengths(count: int, seed: int) -> list[int]:
    """About 6 to 250 tokens, as many short as long ones on a logarithmic scale."""
    draw = np.random.default_rng(seed)
    return [round(6 * 40 ** draw.random()) for _ in range(count)]


def per_s(sent: Sequence[Sent]) -> float:
    """Texts per second of a closed loop."""
    return len(sent) / max(each.began_s + each.took_s for each in sent)


def wait_error(sent: Sequence[Sent]) -> float:
    """How far predicted waits are from the real ones, at the median."""
    told = [(e.predicted_s, e.waited_s) for e in sent if e.predicted_s > 0.001 < e.waited_s]
    return float(np.median([abs(predicted / real - 1) for predicted, real in told]))


def large_machines() -> dict[str, Machine]:
    """The same cores, divided in several ways."""
    equal = {f"{_MOST_CORES // cores} x {cores} cores": Machine("by_length", scaled(cores),
                                                               _MOST_CORES // cores)
             for cores in (8, 16, 24, 48)}  # fmt: skip
    sizes = {cores: scaled(cores) for cores in (8, 16, 24)}
    return equal | {"sizes=8+16+24": Machine("by_length", sizes=sizes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=105.0, help="of the mixed texts, per second")
    parser.add_argument("--texts", type=int, default=6000)
    parser.add_argument("--large-rate", type=float, default=400.0, help="on 48 cores, per second")
    asked = parser.parse_args()
    servers = (("fifo", 0), ("by_length", 0), ("by_length", 1))
    print("a closed loop of 32 clients")
    reached = {}
    for policy, express in servers:
        sent = Machine(policy, express=express, longest=256).closed_loop(
            32, spread_lengths(asked.texts, 0)
        )
        rate = reached[policy, express] = per_s(sent)
        print(f"{policy:10} express={express}: {rate:6.1f} texts/s, p99 {p99_ms(sent):6.1f} ms")
    print(f"80 % short and 20 % long texts, {asked.rate:g} a second at random times")
    for policy, express in servers:
        sent = Machine(policy, express=express).open_loop(
            poisson(asked.rate, asked.texts, 1), mixed_lengths(asked.texts, 2)
        )
        print(f"{policy:10} express={express}: p99 of the short {p99_ms(sent, up_to=32):6.1f} ms, "
              f"of all {p99_ms(sent):6.1f} ms")  # fmt: skip
    print(f"{_MOST_CORES} cores, 80 % short and 20 % long texts, {asked.large_rate:g} a second")
    for name, machine in large_machines().items():
        sent = machine.open_loop(
            poisson(asked.large_rate, asked.texts, 1), mixed_lengths(asked.texts, 2)
        )
        long = [each for each in sent if each.length > 32]
        print(f"{name:16}: p99 of the short {p99_ms(sent, up_to=32):6.1f} ms, of the long "
              f"{p99_ms(long):6.1f} ms, of all {p99_ms(sent):6.1f} ms")  # fmt: skip
    print("twice the closed loop's rate, max_wait_s=0.3, answers within 500 ms")
    for (policy, express), rate in reached.items():
        machine = Machine(policy, express=express, longest=256, max_wait_s=0.3)
        sent = machine.open_loop(poisson(2 * rate, asked.texts, 3), spread_lengths(asked.texts, 0))
        admitted = [each for each in sent if not each.refused]
        good = sum(each.took_s < 0.5 for each in admitted) / sent[-1].began_s
        print(f"{policy:10} express={express}: {good:6.1f} texts/s in time, p99 of the admitted "
              f"{p99_ms(admitted):6.1f} ms, predicted waits {wait_error(admitted):.0%} off at the "
              "median")  # fmt: skip


if __name__ == "__main__":
    main()
