"""Runs the OpenVINO model of a delivered folder. It imports openvino and numpy, and not honed.

honed copies this file into the folder as `engine.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Engine:
    """The compiled model. `settings` has "properties" of `compile_model`; "outputs", the names of
    the outputs in their order; and, if one shape of batches has a compiled model for itself,
    "shape" [batch_size, length]. Batches of other shapes share another one, which is compiled
    when the first of them comes."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        # A preloaded allocator crashes oneTBB's hwloc without this variable.
        os.environ.setdefault("TBB_ENABLE_SANITIZERS", "1")
        # The telemetry package would write to the home folder and send data.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        self._core, self._file = openvino.Core(), str(folder / "model.xml")
        self._properties = dict(settings.get("properties", {}))
        model = self._core.read_model(self._file)
        self._inputs = [port.get_any_name() for port in model.inputs]
        self._outputs = settings.get("outputs") or [port.get_any_name() for port in model.outputs]
        shape = settings.get("shape")
        self._shape = tuple(shape) if shape else None
        if self._shape is not None:
            model.reshape({name: list(self._shape) for name in self._inputs})
        self._compiled = self._core.compile_model(model, "CPU", self._properties)
        self._request = self._compiled.create_infer_request()
        self._any_shape = self._request if self._shape is None else None

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        if shape == self._shape:
            return self._request
        if self._any_shape is None:
            compiled = self._core.compile_model(self._file, "CPU", self._properties)
            self._any_shape = compiled.create_infer_request()
        return self._any_shape

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        feed = {name: batch[name] for name in self._inputs}
        request = self._request_for(batch[self._inputs[0]].shape)
        raw = request.infer(feed, share_inputs=True, share_outputs=False)
        return {name: raw[index] for index, name in enumerate(self._outputs)}

    def in_force(self) -> dict[str, str]:
        """The properties that were set, and the shape of the inputs, "[?,?]" for any, as the
        compiled model reports them."""
        names = ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "INFERENCE_PRECISION_HINT")
        read = {name: str(self._compiled.get_property(name)) for name in names}
        return {**read, "shape": str(self._compiled.inputs[0].get_partial_shape())}
