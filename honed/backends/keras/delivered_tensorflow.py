"""Runs the SavedModel of a delivered folder. It imports tensorflow and numpy, not honed or Keras.

honed copies this file into the folder as `engine.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Engine:
    """The function `serve` of the SavedModel. `settings` has "threads"."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf

        self._tf = tf
        tf.config.set_visible_devices([], "GPU")
        if (threads := settings.get("threads")) is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        facts = json.loads((folder / "engine.json").read_text())
        self._inputs, self._output = facts["inputs"], facts["output"]
        self.loaded = tf.saved_model.load(str(folder))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        zeros = np.zeros_like(batch["input_ids"])
        feed = {
            name: self._tf.constant(batch.get(given, zeros).astype(np.int32))
            for name, given in self._inputs.items()
        }
        return {self._output: np.asarray(self.loaded.serve(feed))}

    def in_force(self) -> dict[str, str]:
        """TensorFlow's threads, and whether it uses oneDNN's kernels."""
        from tensorflow.python.util import _pywrap_util_port

        threading = self._tf.config.threading
        return {
            "threads": str(threading.get_intra_op_parallelism_threads()),
            "inter_op_threads": str(threading.get_inter_op_parallelism_threads()),
            "onednn": "on" if _pywrap_util_port.IsMklEnabled() else "off",
        }
