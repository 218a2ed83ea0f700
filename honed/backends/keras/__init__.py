"""Keras: keras-hub's encoders on TensorFlow (eager, graph, XLA) or on JAX.

Keras reads its backend, and TensorFlow whether to use oneDNN, from the environment when they are
imported, so both are set before the process starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honed.backends.base import Delivery, LoadRequest, Traits, installed, refuse, refuse_gpu
from honed.backends.keras.families import family_of
from honed.backends.keras.footprint import footprint as footprint
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Availability, Knob, SpawnEffect, Value
from honed.machine.facts import package_versions

if TYPE_CHECKING:
    from honed.backends.keras.step import KerasStep

HELP = "Keras: keras-hub's encoders on TensorFlow or JAX, weights carried over from the checkpoint"
EXTRA = "tensorflow"
REFERENCE = "torch"
# Keras' int8 quarters the weights, but TensorFlow has no fast int8 product: on CPUs it is slower.
PRECISIONS = ("fp32", "bf16", "int8")
TRAITS = Traits(expert_rank=9, packages=("intel-tensorflow",))  # slow to load and to trace


def _mode_available(mode: Value) -> Availability:
    engine = "jax" if mode == "jax" else "tensorflow"
    return installed({engine: engine}, engine)


def _mode_spawn(mode: Value) -> SpawnEffect:
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    return SpawnEffect(jax if mode == "jax" else {"KERAS_BACKEND": "tensorflow"})


MODE = Knob(
    "keras.mode",
    "TensorFlow eagerly (as unset), its graph, its XLA compiler, or the model under jax.jit",
    ("eager", "graph", "xla", "jax"), "spawn", available_value=_mode_available, spawn=_mode_spawn,
)  # fmt: skip
ONEDNN = Knob(
    "keras.onednn", "whether TensorFlow uses oneDNN's kernels", ("on", "off"), "spawn",
    spawn=lambda value: SpawnEffect({"TF_ENABLE_ONEDNN_OPTS": "1" if value == "on" else "0"}),
)  # fmt: skip
KNOBS = (MODE, ONEDNN)


def available() -> Availability:
    modules = {"keras_hub": "keras-hub", "safetensors": "safetensors", "torch": "torch"}
    return installed(modules, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("keras", "keras-hub", "tensorflow", "jax"))


def check(case: Case) -> None:
    refuse(case, "keras", PRECISIONS)
    refuse_gpu(case, "Keras")
    mode = case.get(MODE.name)
    if case.get(ONEDNN.name) is not None and mode in ("xla", "jax"):
        raise UnsupportedError(
            "keras.onednn changes TensorFlow's kernels; in XLA's it cannot be proven",
            "keras.mode=eager or graph",
        )


def start() -> None:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras_hub  # noqa: F401 - this imports Keras and the engine too
    except ImportError as error:
        raise UnsupportedError(
            f"Keras cannot use {os.environ['KERAS_BACKEND']}: {error}",
            "pip install 'honed[tensorflow]' for keras.mode=eager, graph and xla, "
            "'honed[jax]' for keras.mode=jax",
        ) from error


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    """Weights are converted in a process of their own: that needs torch, whose memory and threads
    do not belong in the measured process."""
    checkpoint = request.checkpoint
    family_of(checkpoint)
    return {"format": 2, "checkpoint": checkpoint.key, "task": checkpoint.task,
            "precision": request.case.precision}  # fmt: skip


def build(request: LoadRequest, folder: Path) -> None:
    from honed.backends.keras.carry import carry

    carry(request.checkpoint, request.case.precision, folder)


def check_delivery(case: Case) -> None:
    if case.get(MODE.name) in (None, "eager"):
        raise UnsupportedError(
            "TensorFlow's files hold a graph, and this setting runs operators one by one",
            "keras.mode=graph, xla or jax",
        )


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    """It loads the model once more: the delivered files hold its traced program."""
    from honed.backends.keras import delivering, step

    assert artifact is not None, "this engine always carries weights over"
    return delivering.deliver(request, step.step_for(request, artifact), folder)


def load(request: LoadRequest, artifact: Path | None) -> KerasStep:
    from honed.backends.keras import saved, step

    assert artifact is not None, "this engine always carries weights over"
    if saved.is_delivered(artifact):
        return saved.step_for(request, artifact)
    return step.step_for(request, artifact)
