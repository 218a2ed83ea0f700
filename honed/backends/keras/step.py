"""The Step of the Keras backend: on TensorFlow in three modes, or on JAX."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import Batch, LoadRequest, Outputs, Step
from honed.backends.keras.network import network
from honed.errors import UnsupportedError
from honed.knob import Value
from honed.models.heads import output_names

INPUTS = {"token_ids": "input_ids", "padding_mask": "attention_mask",
           "segment_ids": "token_type_ids"}  # fmt: skip


def step_for(request: LoadRequest, folder: Path) -> KerasStep:
    """The Step for the mode; UnsupportedError if Keras runs on another engine in this process."""
    import keras

    mode = str(request.case.get("keras.mode") or "eager")
    engine = "jax" if mode == "jax" else "tensorflow"
    if keras.backend.backend() != engine:
        raise UnsupportedError(
            f"Keras runs on {keras.backend.backend()} in this process; keras.mode={mode} needs "
            f"{engine}",
            "unset KERAS_BACKEND, or set keras.mode",
        )
    return (JaxStep if mode == "jax" else TensorFlowStep)(request, folder, mode)


class KerasStep(Step):
    """What both engines share. Feeds are dicts of int32 tensors, the raw output is one tensor."""

    def __init__(self, request: LoadRequest, folder: Path, mode: str) -> None:
        checkpoint = request.checkpoint
        self.configure(request.threads)
        self.model = network(checkpoint, request.case.precision, folder)
        self.weights_bytes = sum(int(np.asarray(w).nbytes) for w in self.model.weights)
        self.input_names = tuple(self.model.input)
        (self.output_name,) = output_names(checkpoint.task, checkpoint.pooling)
        self._call: Any = self.compiled(mode)

    def configure(self, threads: int | None) -> None:
        """Apply settings that the engine takes only before its first computation."""
        raise NotImplementedError

    def compiled(self, mode: str) -> Any:
        raise NotImplementedError

    def tensor(self, array: Any) -> Any:
        raise NotImplementedError

    def read_back_engine(self) -> Mapping[str, Value | None]:
        """What is read back from TensorFlow or JAX."""
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Any:
        ids = batch["input_ids"]
        arrays = {name: batch.get(INPUTS[name], np.zeros_like(ids)) for name in self.input_names}
        return {name: self.tensor(array.astype(np.int32)) for name, array in arrays.items()}

    def run(self, feed: Any) -> Any:
        return self._call(feed)

    def outputs(self, raw: Any) -> Outputs:
        return {self.output_name: np.asarray(raw).astype(np.float32)}

    def read_back(self) -> Mapping[str, Value | None]:
        return {"precision": self._precision(), "device": "cpu", **self.read_back_engine()}

    def _precision(self) -> str | None:
        """The type of the kernels of all matrix products; None if they differ."""
        # As they are stored: the property `kernel` of a quantised layer makes a new one.
        stored = (getattr(layer, "_kernel", None) for layer in self.model._flatten_layers())
        kernels = {str(kernel.dtype) for kernel in stored if kernel is not None}
        precisions = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}
        return precisions.get(kernels.pop()) if len(kernels) == 1 else None

    def close(self) -> None:
        del self._call, self.model


class TensorFlowStep(KerasStep):
    def configure(self, threads: int | None) -> None:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        if threads is not None:
            # The calling thread takes a share of an operation only if there are fewer shares than
            # pool threads (Eigen's parallelFor). So one thread more than asked runs over a call,
            # but never more than asked at once. With one thread less in the pool, an operation on
            # two threads would run on one.
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)

    def compiled(self, mode: str) -> Any:
        import tensorflow as tf

        def call(feed: Any) -> Any:
            return self.model(feed, training=False)

        if mode == "eager":
            return call
        # Each shape gets a graph of its own: the shapes of a Case are few and fixed.
        return tf.function(call, jit_compile=mode == "xla", reduce_retracing=False)

    def tensor(self, array: Any) -> Any:
        import tensorflow as tf

        return tf.constant(array)

    def read_back_engine(self) -> Mapping[str, Value | None]:
        import tensorflow as tf
        from tensorflow.python.util import _pywrap_util_port

        threading, mode = tf.config.threading, _mode_of(self._call)
        # A graph runs on a thread of the executor; in other modes the calling thread submits work.
        caller = {"caller": "waits"} if mode == "graph" else {}
        return {
            **caller,
            "turns": True,
            "threads": threading.get_intra_op_parallelism_threads() or None,
            "inter_op_threads": threading.get_inter_op_parallelism_threads() or None,
            "keras.mode": mode,
            "products": ", ".join(f"{n} {kind}" for kind, n in _products(self._call)) or None,
            "keras.onednn": "on" if _pywrap_util_port.IsMklEnabled() else "off",
        }


def _mode_of(call: Any) -> str | None:
    """The mode that the traced function shows; None before it has been traced."""
    if not hasattr(call, "_list_all_concrete_functions"):
        return "eager"
    traced = call._list_all_concrete_functions()
    if not traced:
        return None
    compiled = {bool(f.function_def.attr["_XlaMustCompile"].b) for f in traced}
    return "xla" if compiled == {True} else "graph" if compiled == {False} else None


_PRODUCTS = {"MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}


def _products(call: Any) -> list[tuple[str, int]]:
    """The types of the matrix products in the traced graphs; empty in eager mode."""
    counts: Counter[str] = Counter()
    for traced in getattr(call, "_list_all_concrete_functions", list)():
        for operation in traced.graph.get_operations():
            if operation.type in _PRODUCTS:
                attributes = operation.node_def.attr
                counts[operation.get_attr("Ta" if "Ta" in attributes else "T").name] += 1
    return counts.most_common()


class JaxStep(KerasStep):
    def configure(self, threads: int | None) -> None:
        import jax

        if threads is not None:
            # XLA's CPU client reads the size of its pool when it first computes something.
            os.environ["NPROC"] = str(threads)
        # honed waits for each call anyway, so it runs in the calling thread without a second one.
        jax.config.update("jax_cpu_enable_async_dispatch", False)

    def compiled(self, mode: str) -> Any:  # noqa: ARG002
        import jax

        # Weights are arguments: constants would be copied into the program of each shape.
        model = self.model
        self._weights = [w.value for w in model.trainable_variables]
        rest = [w.value for w in model.non_trainable_variables]

        def call(weights: Any, feed: Any) -> Any:
            return model.stateless_call(weights, rest, feed, training=False)[0]

        return jax.jit(call)

    def tensor(self, array: Any) -> Any:
        import jax

        return jax.numpy.asarray(array)

    def run(self, feed: Any) -> Any:
        import jax

        return jax.block_until_ready(self._call(self._weights, feed))

    def read_back_engine(self) -> Mapping[str, Value | None]:
        jitted = getattr(self._call, "_cache_size", lambda: 0)() > 0
        # The threads of XLA's pool have this name.
        tasks = Path("/proc/self/task").glob("*/comm")
        threads = [task.read_text().strip() for task in tasks].count("tf_XLAEigen")
        return {"turns": True, "threads": threads or None, "keras.mode": "jax" if jitted else None}

    def close(self) -> None:
        del self._weights
        super().close()
