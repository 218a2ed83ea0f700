"""A delivered folder whose engine is a matrix product in numpy, quick enough to check often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from honed.deliver import write
from honed.deliver.standalone import verify

ENGINE = """
import time
import numpy as np

class Engine:
    def __init__(self, folder, settings):
        self._weights = np.load(folder / "weights.npy")
        self._wait_s = settings.get("wait_s", 0.004)
        self._threads = settings.get("threads", 1)

    def __call__(self, batch):
        time.sleep(self._wait_s)
        return {"embedding": self._weights[batch["input_ids"]].mean(axis=1)}

    def in_force(self):
        return {"threads": str(self._threads)}
"""
SETTINGS: dict[str, Any] = {
    "engine": {"wait_s": 0.001, "threads": 2}, "packages": {}, "threads": None,
    "environment": {}, "preload": [], "in_process": {}, "reading": None,
    "in_force": {"threads": "2"}, "busy_threads": None, "gain": None,
    "calls_s": 0.1,
}  # fmt: skip


def delivered_folder(path: Path, **changes: Any) -> Path:
    """`changes` replace keys of the settings."""
    (path / "model").mkdir(parents=True)
    weights = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    np.save(path / "model" / "weights.npy", weights)
    ids = np.arange(12).reshape(3, 4)
    output = weights[ids].mean(axis=1)
    np.savez(path / "check.npz", **{"input/input_ids": ids, "output/embedding": output})
    (path / "engine.py").write_text(ENGINE)
    write.write_scripts(path)
    save_settings(path, {**SETTINGS, **changes})
    write.write_checksums(path)
    return path


def save_settings(path: Path, settings: dict[str, Any]) -> None:
    (path / "settings.json").write_text(json.dumps(settings))


def promises(folder: Path, rounds: int = 1) -> dict[str, verify.Promise]:
    return {promise.name: promise for promise in verify.verify(folder, rounds)}
