"""Runs the ONNX model of a delivered folder. It imports onnxruntime and numpy, and not honed.

honed copies this file into the folder as `engine.py`, and makes its own sessions with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PREFIX = "output."  # so that no output has the name of an input


def session_options(settings: Mapping[str, Any]) -> Any:
    """An `onnxruntime.SessionOptions`.

    `settings` has the names of the graph level and of the execution mode (None: the default),
    "attributes" of the options, and configuration "entries".
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if level := settings.get("graph_optimization_level"):
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    if mode := settings.get("execution_mode"):
        options.execution_mode = getattr(ort.ExecutionMode, mode)
    for name, value in settings.get("attributes", {}).items():
        setattr(options, name, value)
    for key, value in settings.get("entries", {}).items():
        options.add_session_config_entry(key, value)
    return options


class Engine:
    """One session. `settings` is what `session_options` takes, and "disabled_optimizers"."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import onnxruntime as ort

        self._session = ort.InferenceSession(
            str(folder / "model.onnx"), session_options(settings),
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(settings.get("disabled_optimizers", [])),
        )  # fmt: skip
        self._inputs = [port.name for port in self._session.get_inputs()]
        self._outputs = [port.name.removeprefix(_PREFIX) for port in self._session.get_outputs()]

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        raw = self._session.run(None, {name: batch[name] for name in self._inputs})
        return dict(zip(self._outputs, raw, strict=True))

    def in_force(self) -> dict[str, str]:
        """The settings of the finished session."""
        options = self._session.get_session_options()
        names = ("intra_op_num_threads", "inter_op_num_threads", "graph_optimization_level",
                 "execution_mode")  # fmt: skip
        return {name: str(getattr(options, name)) for name in names}
