"""The model as a Step, on TensorFlow in three ways or on JAX."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honed.backends.base import Batch, LoadRequest, Outputs
from honed.backends.keras.network import network
from honed.errors import UnsupportedError
from honed.knob import Value
from honed.models.heads import output_names

_INPUTS = {
    "token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "segment_ids": "token_type_ids",
}


def step_for(request: LoadRequest, folder: Path) -> KerasStep:
    """The Step for the mode; UnsupportedError when this process's Keras is another engine's."""
    import keras

    mode = str(request.case.get("keras.mode") or "eager")
    engine = "jax" if mode == "jax" else "tensorflow"
    if keras.backend.backend() != engine:
        raise UnsupportedError(
            f"Keras runs on {keras.backend.backend()} in this process, keras.mode={mode} on "
            f"{engine}",
            "unset KERAS_BACKEND, or set keras.mode",
        )
    return (JaxStep if mode == "jax" else TensorFlowStep)(request, folder, mode)


class KerasStep:
    """What both engines share. Feeds are dicts of int32 tensors, outputs one tensor."""

    def __init__(self, request: LoadRequest, folder: Path, mode: str) -> None:
        checkpoint = request.checkpoint
        self.configure(request.threads)
        self.model = network(checkpoint, request.case.precision, folder)
        self.weights_bytes = sum(int(np.asarray(w).nbytes) for w in self.model.weights)
        self.input_names = tuple(self.model.input)
        (self.output_name,) = output_names(checkpoint.task, checkpoint.pooling)
        self._call: Any = self.compiled(mode)

    def configure(self, threads: int | None) -> None:
        """What must be settled before the engine computes anything."""
        raise NotImplementedError

    def compiled(self, mode: str) -> Any:
        raise NotImplementedError

    def tensor(self, array: Any) -> Any:
        raise NotImplementedError

    def told(self) -> Mapping[str, Value | None]:
        """The engine's own part of what is read back."""
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Any:
        ids = batch["input_ids"]
        arrays = {name: batch.get(_INPUTS[name], np.zeros_like(ids)) for name in self.input_names}
        return {name: self.tensor(array.astype(np.int32)) for name, array in arrays.items()}

    def run(self, feed: Any) -> Any:
        return self._call(feed)

    def outputs(self, raw: Any) -> Outputs:
        return {self.output_name: np.asarray(raw).astype(np.float32)}

    def tensor_peak_bytes(self, feed: Any) -> int | None:  # noqa: ARG002
        """Unknown: neither engine's CPU allocator can be asked."""
        return None

    def device_memory(self, feed: Any) -> Mapping[str, int]:  # noqa: ARG002
        return {}

    def read_back(self) -> Mapping[str, Value | None]:
        return {"precision": self._precision(), "device": "cpu", **self.told()}

    def _precision(self) -> str | None:
        """What the kernels of all matrix products are."""
        kernels = {
            str(k.dtype) for k in map(_kernel, self.model._flatten_layers()) if k is not None
        }
        named = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}
        return named.get(kernels.pop()) if len(kernels) == 1 else None

    def close(self) -> None:
        del self._call, self.model


def _kernel(layer: Any) -> Any:
    """The layer's own kernel, as it is stored (the property of a quantised one is made anew)."""
    return getattr(layer, "_kernel", None)


class TensorFlowStep(KerasStep):
    def configure(self, threads: int | None) -> None:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        if threads is not None:
            # The thread that calls the pool takes a share of an operation only where the pool's
            # threads have less to do than they are (Eigen's parallelFor): one thread more than
            # asked runs, and never more than asked at a time. One thread less in the pool would
            # leave each operation of two threads to one.
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)

    def compiled(self, mode: str) -> Any:
        import tensorflow as tf

        def call(feed: Any) -> Any:
            return self.model(feed, training=False)

        if mode == "eager":
            return call
        # Without reduced retracing each shape gets a graph of its own: honed's are few and fixed.
        return tf.function(call, jit_compile=mode == "xla", reduce_retracing=False)

    def tensor(self, array: Any) -> Any:
        import tensorflow as tf

        return tf.constant(array)

    def told(self) -> Mapping[str, Value | None]:
        import tensorflow as tf
        from tensorflow.python.util import _pywrap_util_port

        threading, mode = tf.config.threading, _mode_of(self._call)
        # A graph runs on a thread of the executor's; else the caller is the one that hands over.
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
    """What TensorFlow says of the traced function; nothing before it has been traced."""
    if not hasattr(call, "_list_all_concrete_functions"):
        return "eager"
    traced = call._list_all_concrete_functions()
    if not traced:
        return None
    compiled = {bool(f.function_def.attr["_XlaMustCompile"].b) for f in traced}
    return "xla" if compiled == {True} else "graph" if compiled == {False} else None


_PRODUCTS = {"MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum"}


def _products(call: Any) -> list[tuple[str, int]]:
    """What the matrix products of the traced graphs multiply; nothing in eager mode."""
    found: Counter[str] = Counter()
    for traced in getattr(call, "_list_all_concrete_functions", list)():
        for operation in traced.graph.get_operations():
            if operation.type in _PRODUCTS:
                attributes = operation.node_def.attr
                found[operation.get_attr("Ta" if "Ta" in attributes else "T").name] += 1
    return found.most_common()


class JaxStep(KerasStep):
    def configure(self, threads: int | None) -> None:
        import jax

        if threads is not None:
            # XLA's CPU client makes its pool this large when it first computes something.
            os.environ["NPROC"] = str(threads)
        # Calls are waited for anyway: in the calling thread they need no second one.
        jax.config.update("jax_cpu_enable_async_dispatch", False)

    def compiled(self, mode: str) -> Any:  # noqa: ARG002
        import jax

        # Weights are arguments: as constants they would be copied into each shape's program.
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

    def told(self) -> Mapping[str, Value | None]:
        jitted = getattr(self._call, "_cache_size", lambda: 0)() > 0
        mode = "jax" if jitted else None
        return {"turns": True, "threads": _pool_threads(), "keras.mode": mode}

    def close(self) -> None:
        del self._weights
        super().close()


def _pool_threads() -> int | None:
    """The threads of XLA's pool, by the name that it gives them."""
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text().strip() for task in tasks.glob("*")]
    return names.count("tf_XLAEigen") or None
