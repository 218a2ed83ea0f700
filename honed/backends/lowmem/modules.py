"""Module-by-module streaming: hooks around the modules of transformers' own model.

It runs the three published strategies (`lazy`, `keep_embedding`, `chunked_embedding`), which copy
the weights of a module into memory before it is called and drop them afterwards, and every model
whose computation `stream.py` does not describe. For the latter, parameters stay views of the map,
tables are gathered by rows, and a layer is called for a few sequences at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from honed.backends.lowmem.rowwise import compute_by_rows
from honed.backends.lowmem.skeleton import skeleton, stored_names
from honed.backends.lowmem.tensors import WeightTensors
from honed.models.checkpoint import Checkpoint

_CHUNK_ROWS = 4096  # rows of the words that are loaded at once, as published
_GROUP_ROWS = 512  # tokens that go through a layer together


class ModuleStream:
    """The checkpoint's module with its weights in the map.

    `strategy` is one of the published ones, or "stream".
    """

    def __init__(
        self, checkpoint: Checkpoint, weights: WeightTensors, strategy: str,
        group_rows: int = _GROUP_ROWS,
    ) -> None:  # fmt: skip
        self.weights, self.strategy = weights, strategy
        self._group_rows = group_rows
        self._holds_layer = False
        self.module = skeleton(checkpoint, weights, None if strategy == "stream" else "eager")
        self._names = stored_names(checkpoint, self.module, weights)
        self._words = self.module.get_input_embeddings()
        # Parameter -> the name of its tensor, and the data it has while its module is not called.
        self._idle: dict[Any, tuple[str, Any]] = {}
        self.kept_bytes = sum(int(b.nbytes) for b in self.module.buffers())
        self._set_idle_data()
        for module in self.module.modules():
            if module._parameters:
                self._hook(module)
        if strategy == "stream":
            layers = _layers(self.module)
            # Products with a part of the rows would convert weights of another type again.
            if all(data.dtype == weights.dtype for _, data in self._idle.values()):
                compute_by_rows(layers, group_rows, self._holding)
                weights.mapped.release_all()
            for layer in layers:
                self._by_groups(layer)

    def __call__(self, **inputs: Any) -> Any:
        """What the module returns."""
        with self.weights.mapped.held():
            try:
                return self.module(**inputs)
            finally:
                self.weights.mapped.release_all()

    @property
    def matrices_bytes(self) -> int:
        """All weights that a call multiplies. The tables are read by rows."""
        found = {
            id(parameter): int(parameter.nbytes)
            for module in self.module.modules()
            if not isinstance(module, torch.nn.Embedding)
            for parameter in module._parameters.values()
            if parameter is not None and parameter.dim() > 1
        }
        return sum(found.values())

    def name_of(self, parameter: Any) -> str:
        """The name of a parameter's tensor in the files."""
        return self._idle[parameter][0]

    def _set_idle_data(self) -> None:
        """Give every parameter the data that it has while its module is not called."""
        kept = {id(p) for p in self.module.parameters() if self._is_kept(p)}
        idle: dict[int, Any] = {}
        for name, parameter in self.module.named_parameters():
            stored = self._names[name]
            data = self.weights.in_map(stored)
            if id(parameter) in kept or self._is_small(parameter, data):
                data = data.to(self.weights.dtype, copy=True)
                self.kept_bytes += int(data.nbytes)
                self.weights.mapped.release((stored,))
            idle[id(parameter)] = torch.nn.Parameter(data, requires_grad=False)
            self._idle[idle[id(parameter)]] = (stored, data)
        for module in self.module.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:  # a tied one is the same object in all its places
                    module._parameters[name] = idle[id(parameter)]

    def _is_kept(self, parameter: Any) -> bool:
        """The published strategies keep the norm behind the embeddings; one also the words."""
        if self.strategy == "stream":
            return False
        norm = next((m for m in self.module.modules() if isinstance(m, torch.nn.LayerNorm)), None)
        of_norm = norm is not None and any(parameter is p for p in norm.parameters())
        return of_norm or (self.strategy == "keep_embedding" and parameter is self._words.weight)

    def _is_small(self, parameter: Any, data: Any) -> bool:
        """What "stream" keeps: vectors; and tables of another type, unless they are the words or
        tied to them, because some models (DeBERTa) use a table without calling its module."""
        if self.strategy != "stream":
            return False
        is_table = any(
            parameter is module.weight and parameter is not self._words.weight
            for module in self.module.modules()
            if isinstance(module, torch.nn.Embedding)
        )
        return data.dim() <= 1 or (is_table and data.dtype != self.weights.dtype)

    def _hook(self, module: Any) -> None:
        parameters = [p for p in module._parameters.values() if p is not None]
        if all(self._is_kept(p) for p in parameters):
            return
        if isinstance(module, torch.nn.Embedding):
            if self.strategy == "stream":
                module.forward = lambda ids: self._gathered(module, ids)
                return
            if self.strategy == "chunked_embedding" and module is self._words:
                module.forward = lambda ids: self._chunked(module, ids)
                return
        module.register_forward_pre_hook(lambda *_: self._load(parameters))
        module.register_forward_hook(lambda *_: self._drop(parameters), always_call=True)

    def _load(self, parameters: Sequence[Any]) -> None:
        """Before a module is called: copy its weights, or convert those of another type."""
        self.weights.mapped.make_sure([self._idle[parameter][0] for parameter in parameters])
        for parameter in parameters:
            _, data = self._idle[parameter]
            if self.strategy != "stream" or data.dtype != self.weights.dtype:
                parameter.data = data.to(self.weights.dtype, copy=True)

    def _drop(self, parameters: Sequence[Any]) -> None:
        names = []
        for parameter in parameters:
            name, data = self._idle[parameter]
            parameter.data = data
            names.append(name)
        if not self._holds_layer:
            self.weights.mapped.release(names)

    def _gathered(self, module: Any, ids: Any) -> Any:
        """The rows of the ids, read from the file."""
        name, data = self._idle[module.weight]
        flat = ids.reshape(-1)
        rows = torch.empty(len(flat), data.shape[1], dtype=self.weights.dtype)
        self.weights.rows(name, flat.tolist(), rows)
        return rows.view(*ids.shape, -1)

    def _chunked(self, module: Any, ids: Any) -> Any:
        """The published way: the table is loaded in chunks, and each chunk fills in its rows."""
        name, data = self._idle[module.weight]
        result = torch.empty(*ids.shape, data.shape[1], dtype=self.weights.dtype)
        for first in range(0, len(data), _CHUNK_ROWS):
            inside = (ids >= first) & (ids < first + _CHUNK_ROWS)
            if bool(inside.any()):
                chunk = data[first : first + _CHUNK_ROWS].to(self.weights.dtype, copy=True)
                result[inside] = torch.nn.functional.embedding(ids[inside] - first, chunk)
                self.weights.mapped.release((name,))
        return result

    def _by_groups(self, layer: Any) -> None:
        """Call a layer for a few sequences at a time, and hold its pages until all went through.

        Tensors among its arguments whose first axis is the batch are cut; others are passed on.
        A call with a cache of keys and values is not cut, since the cache holds the whole batch.
        """
        whole = layer.forward

        def forward(states: Any, *args: Any, **kwargs: Any) -> Any:
            batch, length = states.shape[:2]
            at_once = max(1, self._group_rows // length)
            if at_once >= batch or kwargs.get("past_key_values") is not None:
                return whole(states, *args, **kwargs)

            def cut(value: Any, first: int) -> Any:
                if not isinstance(value, torch.Tensor) or value.dim() < 2:
                    return value
                # A table of two axes, such as relative positions, may have as many rows by chance.
                of_batch = value.shape[0] == batch and (
                    value.dim() > 2 or value.shape[1] == length
                )
                return value[first : first + at_once] if of_batch else value

            outputs = []
            with self._holding():
                for first in range(0, batch, at_once):
                    part = [cut(arg, first) for arg in (states, *args)]
                    named = {key: _each(value, cut, first) for key, value in kwargs.items()}
                    outputs.append(whole(*part, **named))
            return _joined(outputs)

        layer.forward = forward
        layer.register_forward_hook(lambda *_: self.weights.mapped.release_all())

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        before, self._holds_layer = self._holds_layer, True
        try:
            yield
        finally:
            self._holds_layer = before


def _each(value: Any, cut: Callable[[Any, int], Any], first: int) -> Any:
    """Tuples of tensors, such as the two parts of rotary positions, are cut one by one."""
    if isinstance(value, tuple):
        return tuple(cut(part, first) for part in value)
    return cut(value, first)


def _joined(outputs: list[Any]) -> Any:
    """The outputs of all groups as the layer would have returned them for the batch."""
    if isinstance(outputs[0], torch.Tensor):
        return torch.cat(outputs)
    parts = zip(*outputs, strict=True)
    return tuple(torch.cat(p) if isinstance(p[0], torch.Tensor) else p[0] for p in parts)


def _layers(module: Any) -> list[Any]:
    """The repeated layers: the longest list of modules of one class."""
    found = [list(m) for m in module.modules() if isinstance(m, torch.nn.ModuleList)]
    alike = [layers for layers in found if len({type(layer) for layer in layers}) == 1]
    return max(alike, key=len, default=[])
