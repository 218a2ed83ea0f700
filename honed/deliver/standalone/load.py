"""Loads the model in this folder. It needs the engine, numpy and `tokenizers`, and not honed.

    from load import Model

    model = Model()
    model(["A text.", "Another text."])   # {"embedding": array [2, hidden]}

Start Python with `./run python your_script.py`: a process cannot set for itself what the engine
and the allocator read from the environment when they start.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
_PR_SET_THP_DISABLE, _PR_GET_THP_DISABLE = 41, 42  # linux/prctl.h
_THP = {"never": (1, 0), "madvise": (1, 2)}  # 2: memory that asks for huge pages still gets them


def read_settings(folder: Path = HERE) -> dict[str, Any]:
    """The settings of the folder; see settings.json."""
    settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
    return settings


def load_engine(folder: Path, engine_settings: Mapping[str, Any]) -> Any:
    """The engine of the folder, with these settings; {} leaves the engine its defaults."""
    if str(folder) not in sys.path:  # for the files that engine.py imports
        sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location("delivered_engine", folder / "engine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Engine(folder / "model", engine_settings)


def apply_in_process(in_process: Mapping[str, Any]) -> None:
    """Set what a process sets for itself, before it allocates: how it takes huge pages."""
    if (flags := _THP.get(str(in_process.get("thp")))) is not None:
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, *flags, 0, 0)


def read_in_process(in_process: Mapping[str, Any]) -> dict[str, str]:
    """What `apply_in_process` has set, as the kernel reports it."""
    if str(in_process.get("thp")) not in _THP:
        return {}
    return {"thp_disabled": str(ctypes.CDLL(None).prctl(_PR_GET_THP_DISABLE, 0, 0, 0, 0))}


class Model:
    """Texts, or ids, to outputs."""

    def __init__(self, folder: Path | str = HERE) -> None:
        folder = Path(folder)
        self.settings = read_settings(folder)
        apply_in_process(self.settings["in_process"])
        self.engine = load_engine(folder, self.settings["engine"])
        self._tokenizer = self._open_tokenizer(folder)

    def _open_tokenizer(self, folder: Path) -> Any:
        reading = self.settings["reading"]
        if reading is None:
            return None
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(reading["longest"])
        tokenizer.enable_padding(pad_id=reading["padding_id"])
        return tokenizer

    def __call__(self, texts: Sequence[str]) -> dict[str, Any]:
        """The outputs for texts: float arrays by name, one row for each text."""
        outputs: dict[str, Any] = self.engine(self.encode(texts))
        return outputs

    def encode(self, texts: Sequence[str]) -> dict[str, Any]:
        """The ids of texts, padded to the longest: int64 arrays [texts, length] by name."""
        if self._tokenizer is None:
            raise ValueError("this model has no tokenizer: call model.engine with ids")
        reading = self.settings["reading"]
        rows = self._tokenizer.encode_batch([reading["prompt"] + text for text in texts])
        parts = {
            "input_ids": [row.ids for row in rows],
            "attention_mask": [row.attention_mask for row in rows],
            "token_type_ids": [row.type_ids for row in rows],
        }
        return {name: np.array(parts[name], np.int64) for name in reading["inputs"]}
