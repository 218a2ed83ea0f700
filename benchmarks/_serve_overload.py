"""More requests than a server can answer: `python -m benchmarks.serve --overload 60`.

An open loop is sent at rates that rise by a tenth, for --round seconds each. The knee is the
greatest rate at which 99 % of the answers came within the limit and none was refused. Then twice
this rate is sent for a minute. Printed: the answers within the limit per second at both, how soon
refusals came, the p99 of what was admitted, and how far the predicted wait was from the real one.
An answer other than 200 and 429, or a lost one, ends the benchmark.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from contextlib import ExitStack

import numpy as np

from benchmarks._load import Answer, late_ms
from benchmarks._servers import honed_server

_LIMIT_S = 0.5
_MAX_WAIT_S = 0.3  # of the server: the answers of what it admits then come within the limit
_STEP = 1.1
_BEGIN = 0.5  # of the closed loop's rate


def measure(served: list[str], flat: list[str], asked: argparse.Namespace) -> None:
    words = [*served, f"max_wait_s={_MAX_WAIT_S}"]
    with ExitStack() as stack:
        server = honed_server("honed", words, stack)
        corpus = [[text] for text in flat]
        with server.load(corpus) as load:
            answers = load.closed(16, asked.round)
        closed_per_s = len(answers) / asked.round
        print(f"closed loop of 16: {closed_per_s:.1f} requests/s", flush=True)
        knee = knee_good = 0.0
        rate = _BEGIN * closed_per_s
        while True:
            found = server.open_loop(corpus, rate, asked.round, 1, refusals=True)
            good = _good(found) / asked.round
            took_ms = 1e3 * float(np.quantile([a.took_s for a in found], 0.99))
            refused = sum(a.status == 429 for a in found)
            print(f"{rate:8.1f} requests/s: {good:7.1f} within {1e3 * _LIMIT_S:.0f} ms, p99 "
                  f"{took_ms:7.1f} ms, {refused} refused", flush=True)  # fmt: skip
            if refused or took_ms > 1e3 * _LIMIT_S:
                break
            knee, knee_good = rate, good
            rate *= _STEP
        if not knee:
            sys.exit("even the first rate was too much: nothing can be said")
        found = server.open_loop(corpus, 2 * knee, asked.overload, 2, refusals=True)
        _print(found, knee, knee_good, asked.overload)
        _print_shares(found, flat)
        if server.process.poll() is not None:
            sys.exit("the server has ended")


def _good(answers: list[Answer]) -> int:
    return sum(a.status == 200 and a.took_s <= _LIMIT_S for a in answers)


def _print(answers: list[Answer], knee: float, knee_good: float, seconds: float) -> None:
    admitted = [a for a in answers if a.status == 200]
    refused_ms = np.array([a.ended_s - a.sent_s for a in answers if a.status == 429]) * 1e3
    good = _good(answers) / seconds
    print(f"twice the knee, {2 * knee:.1f} requests/s for {seconds:g} s:")
    print(f"  {good:.1f} answers/s within the limit, {good / knee_good:.0%} of the knee's")
    took_ms = np.array([a.took_s for a in admitted]) * 1e3
    print(f"  admitted {len(admitted)}: p50 {np.quantile(took_ms, 0.5):.1f} ms, p99 "
          f"{np.quantile(took_ms, 0.99):.1f} ms (limit {1e3 * _LIMIT_S:.0f})")  # fmt: skip
    print(f"  refused {len(refused_ms)}: p50 {np.quantile(refused_ms, 0.5):.2f} ms, p99 "
          f"{np.quantile(refused_ms, 0.99):.2f} ms")  # fmt: skip
    waits = np.array([(a.timing_ms("queue"), a.timing_ms("predicted")) for a in admitted], float)
    waits = waits[(waits > 1).all(axis=1)]
    apart = np.abs(waits[:, 1] / waits[:, 0] - 1)
    print(f"  predicted wait: {np.median(apart):.0%} from the real one at the median, "
          f"{np.quantile(apart, 0.9):.0%} at the 90th percentile (n={len(apart)})")  # fmt: skip
    print(f"  the sender was late by {late_ms(answers):.2f} ms at p99")


def _print_shares(answers: list[Answer], flat: list[str]) -> None:
    """What share of the short, medium and long texts was refused: a third of the texts each."""
    words = np.array([flat[a.place].count(" ") + 1 for a in answers])
    refused = np.array([a.status == 429 for a in answers])
    edges = [0, *np.quantile(words, (1 / 3, 2 / 3)).astype(int), words.max()]
    for over, up_to in itertools.pairwise(edges):
        those = refused[(words > over) & (words <= up_to)]
        print(f"  {over + 1} to {up_to} words: {those.mean():.0%} of {len(those)} refused")
