"""Requests per second of `honed serve`, beside other servers and beside `honed run`.

    python -m benchmarks.serve [--backend openvino] [--precision int8] [--clients 32]
                               [--round 20] [--rounds 3] [--texts 1] [--exact] [--infinity]
                               [--quick] [--words gives_way=5]
    python -m benchmarks.serve --mixed 0.7
    python -m benchmarks.serve --overload 60

MiniLM-L6 (the real one), texts of 4 to 200 words. The servers take turns, in rounds whose order
changes: honed serve with the setting that was asked for, honed serve with policy=fifo, and the
same model in fp32 under a plain script (FastAPI and sentence-transformers,
benchmarks/plain/fastapi_server.py); with --exact also honed serve whose batches are exactly as
wide as their longest text; with --infinity also infinity-emb 0.0.78 in fp32 and int8, in an
environment that is made first (benchmarks/_infinity.py). Each is alive the whole time and idle
outside its rounds. A closed loop of clients asks for `--texts` texts at a time. Every answer is
counted, and before the rounds one text in fifty is compared with the plain script's vector.
Clients and server share the machine, so the numbers are of both; the CPU time of each is printed.

Then `honed run` computes the same token ids with the same Case, without a server, clients, texts
or JSON: the share of its sequences/s that the server keeps is printed. An answer other than 200
ends the benchmark.

`--mixed 0.7` measures the dispatch instead (benchmarks/_serve_mixed.py), and `--overload 60` what
happens at twice the greatest rate for so many seconds (benchmarks/_serve_overload.py).
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks import _infinity, _serve_mixed, _serve_overload
from benchmarks._common import honed_run
from benchmarks._load import checked
from benchmarks._servers import (
    MODEL,
    PLAIN,
    Cpu,
    Server,
    free_port,
    honed_server,
    started,
    texts,
)

_LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.99, "int8": 0.97}


def one_round(server: Server, corpus: list[list[str]], clients: int, seconds: float) -> None:
    """A closed loop for a while; its beginning is not counted."""
    first_s = min(1.0, seconds / 5)
    with server.load(corpus) as load:
        warm = load.closed(clients, first_s)
        before = server.cpu_now()
        answers = load.closed(clients, seconds)
        after = server.cpu_now()
    checked([*warm, *answers], lambda place: len(corpus[place]), refusals=False)
    took_s = max(a.ended_s for a in answers) - min(a.sent_s for a in answers)
    if len(answers) <= clients:
        sys.exit(f"{server.name} answered no second request within {seconds:g} s: try --round 60")
    server.rounds.append(answers)
    server.per_s.append(len(answers) / took_s)
    count = sum(answer.vectors for answer in answers)
    server.cpu.append(
        Cpu(
            (after.front_s - before.front_s) / count,
            (after.workers_s - before.workers_s) / count,
            (after.load_s - before.load_s) / count,
        )
    )


def compare_vectors(servers: list[Server], corpus: list[list[str]], precision: str) -> None:
    """honed gives the vectors of the plain script, one text in fifty; what rivals give is told."""
    some = [given[0] for given in corpus[::50]]
    rows = {server.name: server.vectors(some) for server in servers}
    for name, found in rows.items():
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(rows["plain"], axis=1)
        least = float(((found * rows["plain"]).sum(axis=1) / lengths).min())
        print(f"{name:8} least cosine to the plain script's vectors: {least:.5f}")
        if least < _LEAST_COSINE[precision] and not name.startswith("inf-"):
            sys.exit(f"{name} does not give the model's vectors")


def line(server: Server) -> str:
    every = np.array([answer.took_s for answers in server.rounds for answer in answers]) * 1e3
    p50, p99 = np.quantile(every, (0.5, 0.99))
    cpu = [1e6 * statistics.median(getattr(each, name) for each in server.cpu)
           for name in ("front_s", "workers_s", "load_s")]  # fmt: skip
    return (
        f"{server.name:8} {statistics.median(server.per_s):9.1f}  "
        f"{min(server.per_s):7.1f} to {max(server.per_s):7.1f} {p50:9.1f} {p99:9.1f}   "
        + " ".join(f"{each:8.0f}" for each in cpu)
    )


def run_alone(served: Sequence[str], seconds: float) -> float:
    """The best sequences/s of `honed run` on the same texts: one at a time, and sorted batches."""
    rates = []
    for more in (["batch_size=1"], ["batch_size=8", "padding=sorted"]):
        record = honed_run(*served, *more, "memory=false", f"duration_s={seconds}")
        rates.append(float(record["metrics"]["throughput_per_s"]["value"]))
        print(f"honed run {' '.join(more)}: {rates[-1]:.1f} sequences/s", flush=True)
    return max(rates)


def closed(asked: argparse.Namespace, served: list[str], corpus: list[list[str]]) -> None:
    """Who answers more requests per second, and how much of honed run's rate is left."""
    alone = run_alone(served, asked.round)  # exports first, so that no server has to
    with ExitStack() as stack:
        servers = [honed_server("honed", served, stack),
                   honed_server("fifo", [*served, "policy=fifo"], stack)]  # fmt: skip
        if asked.exact:
            servers.append(honed_server("exact", [*served, "padding=longest"], stack))
        port = free_port()
        # -P: the folder of the script has a torch.py of its own.
        plain = [sys.executable, "-P", str(PLAIN), str(MODEL), str(port)]
        servers.append(started("plain", plain, port, stack))
        if asked.infinity:
            servers += _infinity.servers(stack)
        compare_vectors(servers, corpus, asked.precision)
        for number in range(asked.rounds):
            turn = number % len(servers)
            for server in servers[turn:] + servers[:turn]:
                one_round(server, corpus, asked.clients, asked.round)
        for server in servers:
            front, workers = server.memory_mib()
            print(f"{server.name:8} memory: front {front:.0f} MiB, workers {workers:.0f} MiB")
    print(f"{asked.clients} clients, {asked.texts} texts a request, {asked.rounds} rounds of "
          f"{asked.round:g} s")  # fmt: skip
    print(f"{'':8} {'requests/s':>9}  {'of the rounds':>18} {'p50 ms':>9} {'p99 ms':>9}   "
          "CPU us a text: front, workers, clients")  # fmt: skip
    for server in servers:
        print(line(server))
    ours = servers[0]
    for theirs in servers[1:]:
        ratios = [a / b for a, b in zip(ours.per_s, theirs.per_s, strict=True)]
        print(f"honed / {theirs.name}: {statistics.median(ratios):.2f} times the requests/s")
    kept = statistics.median(ours.per_s) * asked.texts / alone
    print(f"{kept:.0%} of the sequences/s of honed run, which takes "
          f"{1e6 * asked.instances / alone:.0f} CPU us a text")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--instances", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--texts", type=int, default=1, help="texts of one request")
    parser.add_argument("--round", type=float, default=20.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mixed", type=float, help="share of the closed loop's rate: 0.7")
    parser.add_argument("--overload", type=float, help="seconds at twice the knee: 60")
    parser.add_argument("--exact", action="store_true", help="batches of every width, too")
    parser.add_argument("--infinity", action="store_true", help="infinity-emb as a rival, too")
    parser.add_argument("--words", nargs="*", default=[], help="more words for honed serve")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    if asked.quick:
        asked.round, asked.rounds = 2.0, 1
    flat = texts(2000 if not asked.quick else 200, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # int8 is calibrated on the texts, and they have to be the same file for run and serve.
        (folder / "texts.txt").write_text("\n".join(flat))
        setting = [f"backend={asked.backend}", f"precision={asked.precision}", "threads=1",
                   f"instances={asked.instances}", f"inputs={folder / 'texts.txt'}"]  # fmt: skip
        served = [f"model={MODEL}", *setting, "sequence_length=256"]
        if asked.mixed:
            _serve_mixed.measure(setting, folder, asked)
        elif asked.overload:
            _serve_overload.measure([*served, *asked.words], flat, asked)
        else:
            corpus = [flat[at : at + asked.texts] for at in range(0, len(flat), asked.texts)]
            closed(asked, served, corpus)


if __name__ == "__main__":
    main()
