"""Runs the CTranslate2 model of a delivered folder. It imports ctranslate2 and numpy, not honed.

honed copies this file into the folder as `engine.py`. `text_vectors.py`, beside it, pools.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


class Engine:
    """One encoder. `settings` are arguments of `ctranslate2.Encoder`.

    CTranslate2 runs the encoder. What follows it runs in numpy: pooling and the layers behind it,
    or the last layer of a classifier.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import ctranslate2

        self._facts = json.loads((folder / "facts.json").read_text())
        self._layers = [SimpleNamespace(**layer) for layer in self._facts["layers"]]
        with np.load(folder / "head.npz") as head:
            self._head = dict(head)
        self._vectors: Any = importlib.import_module("text_vectors")
        self._view = ctranslate2.StorageView.from_array
        self._encoder = ctranslate2.Encoder(str(folder), **settings)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name. Padding
        stands behind the tokens."""
        mask = batch["attention_mask"]
        ids = self._view(np.ascontiguousarray(batch["input_ids"], dtype=np.int32))
        lengths = self._view(mask.sum(axis=1).astype(np.int32))
        segments = batch.get("token_type_ids") if self._facts["segments"] else None
        given = [] if segments is None or not segments.any() else [segments.tolist()]
        output = self._encoder.forward_batch(ids, lengths, *given)
        return {self._facts["output"]: self._after(output, mask.astype(np.float32))}

    def _after(self, output: Any, mask: Any) -> Any:
        """`output` is kept alive while numpy reads its memory."""
        pooling = self._facts["pooling"]
        if pooling is None:
            return np.asarray(output.pooler_output) @ self._head["weight"].T + self._head["bias"]
        tokens = np.asarray(output.last_hidden_state)
        if pooling == "none":
            return tokens.copy()
        shares = self._vectors.shares(mask, pooling, self._facts["left_out"])
        pooled = self._vectors.pooled(tokens, shares)
        return self._vectors.transformed(pooled, self._layers, self._head)

    def in_force(self) -> dict[str, str]:
        """What the encoder reports. It does not report its threads."""
        return {"compute_type": self._encoder.compute_type, "device": self._encoder.device}
