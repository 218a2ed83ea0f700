"""Servers for tests: `honed serve` in a process of its own, on a port that the system chooses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.models.tiny import write_tiny

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "world", "hello", "über"]
LONGEST = 512  # positions of the tiny model
_START_S = 180.0  # a cold start computes a reference and exports the model


def write_model(folder: Path) -> Path:
    """The fake engine's model with a small word-piece tokenizer. The text "[PAD]" is token 0."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    write_tiny(folder, 0)
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
             "sep_token": "[SEP]", "mask_token": "[MASK]"}  # fmt: skip
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    prompts = {"prompts": {"query": "the cat ", "": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


@dataclass
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server."""

    def __init__(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115
        command = [Path(sys.executable).with_name("honed"), "serve", "port=0", *words]
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}
        )
        self.url = self._wait()

    def output(self) -> str:
        return Path(self.log.name).read_text()

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST `body` (bytes as they are, anything else as JSON), or GET without one."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers or {}))
        if data is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.read(), _lower(answer.headers))
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), _lower(error.headers))

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes().decode()
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if "honed.serve.worker" in command and int(parent) == self.process.pid:
                found.append(int(path.name))
        return sorted(found)

    def until(self, condition: Any, seconds: float = 30.0) -> None:
        """Wait until `condition()` holds; fails with the server's output."""
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s, self.output()
            assert self.process.poll() is None, self.output()
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()

    def _wait(self) -> str:
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            found = re.search(r"at (http://\S+) \(ready", self.output())
            if found:
                return found[1]
            if self.process.poll() is not None:
                raise AssertionError(self.output())
            time.sleep(0.02)
        self.process.kill()
        raise AssertionError(f"not ready after {_START_S} s: {self.output()}")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
