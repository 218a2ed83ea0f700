"""Bad luck: texts that break the engine, workers that die or hang, overload, and the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Answer, Server

Start = Callable[..., Server]
POISON = "hello [PAD]"  # the fake engine fails on a real token 0
GOOD = ["the cat sat", "hello world", "a dog on the mat"]


def ask_many(server: Server, texts: list[str], **options: Any) -> list[Answer]:
    with ThreadPoolExecutor(16) as pool:
        return list(
            pool.map(lambda text: server.ask("/embed", {"inputs": text}, **options), texts)
        )


@pytest.mark.parametrize("how", ["raise", "kill", "not-finite"])
def test_a_poisonous_text_is_refused_alone(start: Start, how: str) -> None:
    server = start(f"fake.poison={how}", "fake.latency_us=3000")
    answers = ask_many(server, [*GOOD * 5, POISON, *GOOD * 5])
    assert [answer.status for answer in answers] == [200] * 15 + [424] + [200] * 15
    assert "inputs[0]" in answers[15].json["error"]
    expected = {text: server.ask("/embed", {"inputs": text}).json[0] for text in GOOD}
    for text, answer in zip([*GOOD * 5, "", *GOOD * 5], answers, strict=True):
        if answer.status == 200:
            np.testing.assert_allclose(answer.json[0], expected[text], atol=1e-5)
    batch = server.ask("/embed", {"inputs": [*GOOD, POISON]})
    assert batch.status == 424
    if how == "kill":
        assert "ended a worker before" in batch.json["error"]
    else:
        assert "inputs[3]" in batch.json["error"]
    server.until(lambda: server.ask("/health").status == 200)


def test_answers_survive_the_death_of_a_worker(start: Start) -> None:
    server = start("fake.latency_us=5000")
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.ask, "/embed", {"inputs": GOOD[i % 3]}) for i in range(200)]
        for _ in range(2):
            time.sleep(0.1)
            os.kill(server.workers()[0], signal.SIGKILL)
        answers = [each.result() for each in waiting]
    assert {answer.status for answer in answers} == {200}
    server.until(lambda: len(server.workers()) == 2)
    server.until(lambda: all(each["ready"] for each in server.ask("/state").json["workers"]))
    text = server.ask("/metrics").body.decode()
    assert "honed_worker_restarts_total 2.0" in text
    # Where another test fills its memory group meanwhile, the kill is taken for the kernel's.
    assert re.search(r"the worker died \(SIGKILL\)|killed the worker", server.output())


def test_a_worker_that_stops_is_replaced_and_its_texts_are_answered(start: Start) -> None:
    """So are those that come meanwhile."""
    server = start("fake.latency_us=1000", "instances=1")
    os.kill(server.workers()[0], signal.SIGSTOP)
    long = "mat " * 510
    answers = ask_many(server, ["the cat", *[long] * 31])
    assert {answer.status for answer in answers} == {200}
    assert "gives no answer" in server.output()


def test_a_worker_that_cannot_start_again_does_not_end_the_server(
    start: Start, model: Path, tmp_path: Path
) -> None:
    """The model's folder is taken away while the server runs, and then a worker dies."""
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    server = start(f"model={folder}")
    shutil.rmtree(folder)
    os.kill(server.workers()[0], signal.SIGKILL)
    server.until(lambda: "could not start" in server.output() or len(server.workers()) == 2)
    assert [answer.status for answer in ask_many(server, GOOD)] == [200] * 3
    assert server.ask("/health").status == 200


def test_overload_is_refused_with_the_time_to_come_back(start: Start) -> None:
    server = start("fake.latency_us=40000", "max_wait_s=0.2", "batch_rows=1", "instances=1")
    answers = ask_many(server, ["the cat"] * 48)
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.json == {"error": "Model is overloaded", "error_type": "Overloaded"}
    assert int(refused.headers["retry-after"]) >= 1
    assert int(refused.headers["retry-after-ms"]) >= 50
    assert server.ask("/embed", {"inputs": "the cat"}).status == 200


def test_a_deadline_takes_queued_texts_out(start: Start) -> None:
    server = start("fake.latency_us=150000", "batch_rows=1", "instances=1")
    with ThreadPoolExecutor(4) as pool:
        slow = [pool.submit(server.ask, "/embed", {"inputs": "the cat"}) for _ in range(4)]
        time.sleep(0.1)
        late = server.ask("/embed", {"inputs": "a"}, {"X-Request-Timeout-Ms": "200"})
        assert late.status in (429, 504)  # refused as it came, or dropped from the queue
        assert all(each.result().status == 200 for each in slow)
    wrong = server.ask("/embed", {"inputs": "a"}, {"X-Request-Timeout-Ms": "soon"})
    assert wrong.status == 422


def test_texts_of_a_client_that_left_are_not_computed(start: Start) -> None:
    server = start("fake.latency_us=200000", "batch_rows=1", "instances=1")
    host, port = server.url.removeprefix("http://").split(":")
    body = b'{"inputs": ["a", "b", "c", "d", "e", "f", "g", "h"]}'
    head = f"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"  # noqa: E501
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body)
        server.until(lambda: server.ask("/state").json["queued"] >= 5)
    server.until(lambda: server.ask("/state").json["queued"] == 0)
    metrics = server.ask("/metrics").body.decode()
    assert 'honed_admission_rejected_total{reason="disconnected"} 1.0' in metrics
    batches = re.search(r"^honed_batch_texts_count (\S+)$", metrics, re.MULTILINE)
    assert batches is not None
    assert float(batches[1]) < 8  # each text is a batch


def test_sigterm_answers_everything_that_was_accepted(start: Start) -> None:
    server = start("fake.latency_us=20000", "batch_rows=1", "drain_delay_s=2")
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(server.ask, "/embed", {"inputs": "the cat"}) for _ in range(40)]
        server.until(lambda: server.ask("/state").json["queued"] > 10)
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: server.ask("/health").status == 503)
        assert {each.result().status for each in waiting} == {200}
    assert server.process.wait(20) == 0
    assert server.workers() == []
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as again:  # as the next server binds it
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, int(port)))


def test_sigterm_ends_a_server_whose_worker_is_being_started_again(start: Start) -> None:
    server = start()
    for _ in range(3):
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        server.until(lambda before=before: set(server.workers()) - set(before))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert server.workers() == []


def test_a_second_signal_ends_at_once(start: Start) -> None:
    server = start("fake.latency_us=300000", "batch_rows=1", "instances=1")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(server.ask, "/embed", {"inputs": ["a"] * 4})
        server.until(lambda: server.ask("/state").json["queued"] > 0)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        server.process.wait(20)
        assert lost.exception() is not None or lost.result().status == 503


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["port=99999"], 2, "cannot listen"),
        (["prot=8080"], 2, "did you mean port"),
        (["model=./nowhere"], 1, "there is no folder ./nowhere"),
        (["fake.fail=diverge"], 1, "cosine"),
        (["fake.fail=raise"], 1, "met a shape that it cannot run"),
        (["policy=by_lenght"], 2, "by_length"),
        (["precision=fp32,int8"], 2, "one Case"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    words: list[str], more: list[str], code: int, said: str
) -> None:
    command = [Path(sys.executable).with_name("honed"), "serve", *words, "port=0", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code
