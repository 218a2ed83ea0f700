"""Short texts beside long ones: `python -m benchmarks.serve --mixed 0.7`.

80 % of the texts have up to 32 tokens and 20 % have 384 to 512, on MiniLM with all 512 positions.
They are sent as an open loop at a share of the rate that policy=fifo reaches in a closed loop.
Three servers take turns: policy=fifo, the default, and the default with express=1. Latencies count
from the moment for which each request was drawn.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks._load import Answer, late_ms
from benchmarks._servers import Server, honed_server, long_model, mixed_texts

_LIMIT_S = 0.25  # of the goodput


def measure(setting: list[str], folder: Path, asked: argparse.Namespace) -> None:
    flat, short = mixed_texts(1000, 1)
    corpus = [[text] for text in flat]
    (folder / "texts.txt").write_text("\n".join(flat[:200]))
    served = [f"model={long_model(folder)}", *setting, "sequence_length=512"]
    with ExitStack() as stack:
        servers = [honed_server("fifo", [*served, "policy=fifo"], stack),
                   honed_server("honed", served, stack),
                   honed_server("express", [*served, "express=1"], stack)]  # fmt: skip
        with servers[0].load(corpus) as load:
            load.closed(asked.clients, min(2.0, asked.round))
            answers = load.closed(asked.clients, asked.round)
        fifo_per_s = len(answers) / (max(a.ended_s for a in answers) - answers[0].sent_s)
        rate = asked.mixed * fifo_per_s
        print(f"policy=fifo reaches {fifo_per_s:.1f} requests/s in a closed loop of "
              f"{asked.clients}; sent: {rate:.1f} requests/s")  # fmt: skip
        for number in range(asked.rounds):
            for server in servers[:: 1 if number % 2 else -1]:
                answers = server.open_loop(corpus, rate, asked.round, number)
                server.rounds.append(answers)
        for server in servers:
            front, workers = server.memory_mib()
            print(f"{server.name:8} memory: front {front:.0f} MiB, workers {workers:.0f} MiB")
    print(f"{'':8} {'short p50':>9} {'short p99':>9} {'long p99':>9} {'all p50':>9} {'all p99':>9}"
          f"  ms  within {1e3 * _LIMIT_S:.0f} ms/s  sender late p99 ms")  # fmt: skip
    seconds = asked.rounds * asked.round
    for server in servers:
        _print(server, [a for answers in server.rounds for a in answers], short, seconds)


def _print(server: Server, answers: list[Answer], short: list[bool], seconds: float) -> None:
    took_ms = np.array([a.took_s for a in answers]) * 1e3
    is_short = np.array([short[a.place] for a in answers])
    numbers = [*np.quantile(took_ms[is_short], (0.5, 0.99)), np.quantile(took_ms[~is_short], 0.99),
               *np.quantile(took_ms, (0.5, 0.99))]  # fmt: skip
    good = int((took_ms <= 1e3 * _LIMIT_S).sum()) / seconds
    print(f"{server.name:8} " + " ".join(f"{number:9.1f}" for number in numbers)
          + f"  {good:16.1f} {late_ms(answers):12.2f}")  # fmt: skip
