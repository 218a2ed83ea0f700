"""Weights in a narrower type, written once into a file of honed's cache, tensor after tensor.

int8: each output of a linear layer has a scale, stored as NAME + SCALES; the codes are symmetric.
Tables and vectors stay as they are: of a table only some rows are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest, about_model
from honed.backends.lowmem.checkpoint_layout import encoder_layout
from honed.backends.lowmem.layout import EncoderLayout
from honed.backends.lowmem.mapped import MappedWeights
from honed.backends.lowmem.stored import StoredTensor, stored_tensors
from honed.errors import UnsupportedError

SCALES = ".scales"
_FORMAT = 1  # raise it when the content for the same checkpoint changes
_FILE = "model.safetensors"
_ROWS = 1024  # of a matrix at a time


def artifact(request: LoadRequest) -> Mapping[str, Any] | None:
    """What decides the converted file; None if the checkpoint's own file is used."""
    precision, checkpoint = request.case.precision, request.checkpoint
    if precision == "fp32":
        return None
    stored = stored_tensors(checkpoint.folder)
    if precision == "bf16" and {tensor.dtype for tensor in stored.values()} == {"BF16"}:
        return None
    if precision == "int8":
        _matrices_for_int8(checkpoint.model_type, encoder_layout(checkpoint, stored))
    return {**about_model(request, _FORMAT), "precision": precision}


def build(request: LoadRequest, folder: Path) -> None:
    """Write the converted weights into the folder."""
    checkpoint, precision = request.checkpoint, request.case.precision
    stored = stored_tensors(checkpoint.folder)
    names: frozenset[str] = frozenset()
    if precision == "int8":
        names = _matrices_for_int8(checkpoint.model_type, encoder_layout(checkpoint, stored))
    mapped = MappedWeights(stored)
    try:
        with mapped.held():
            _write(folder / _FILE, mapped, precision, names)
    finally:
        mapped.close()


def _matrices_for_int8(model_type: str, layout: EncoderLayout | None) -> frozenset[str]:
    """The matrices that become int8: those of the layers. A head is small, and a vocabulary that
    is tied to the words is read by rows too."""
    if layout is None:
        raise UnsupportedError(
            f"lowmem has no int8 for {model_type}: it knows the layers of the BERT family alone",
            "precision=fp32 or bf16",
        )
    return frozenset(linear.weight for layer in layout.layers for linear in layer.linears)


def _write(path: Path, mapped: MappedWeights, precision: str, for_int8: frozenset[str]) -> None:
    """The header first, since all sizes are known; then each tensor in the order of the
    checkpoint, a few rows at a time."""
    ordered = sorted(mapped.stored.values(), key=lambda t: (t.file, t.offset))
    header: dict[str, Any] = {}
    end = 0
    for tensor in ordered:
        for name, dtype, shape, nbytes in _parts(tensor, precision, for_int8):
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + nbytes]}
            end += nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)  # the data then begin at a multiple of eight
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            for block in _converted(mapped, tensor, precision, for_int8):
                file.write(block)
            mapped.check()
            mapped.release((tensor.name,))


def _parts(
    tensor: StoredTensor, precision: str, for_int8: frozenset[str]
) -> list[tuple[str, str, tuple[int, ...], int]]:
    """The names, types, shapes and bytes that a tensor becomes. Scales come first, because four
    bytes have to lie at a multiple of four."""
    count = math.prod(tensor.shape)
    if tensor.name in for_int8:
        outputs = tensor.shape[0]
        return [
            (tensor.name + SCALES, "F32", (outputs,), 4 * outputs),
            (tensor.name, "I8", tensor.shape, count),
        ]
    if precision == "bf16":
        return [(tensor.name, "BF16", tensor.shape, 2 * count)]
    return [(tensor.name, "F32", tensor.shape, 4 * count)]


def _converted(
    mapped: MappedWeights, tensor: StoredTensor, precision: str, for_int8: frozenset[str]
) -> Iterator[bytes]:
    """The bytes of a tensor in its new type."""
    import torch

    from honed.backends.lowmem.tensors import WeightTensors

    source = WeightTensors(mapped, torch.float32).in_map(tensor.name)
    if tensor.name not in for_int8:
        narrow = torch.bfloat16 if precision == "bf16" else torch.float32
        rows = source.reshape(-1) if source.dim() == 0 else source
        for first in range(0, len(rows), _ROWS):
            part = rows[first : first + _ROWS].to(narrow).contiguous()
            yield part.view(torch.uint8).numpy().tobytes()
        return
    scales = source.float().abs().amax(1).clamp(min=1e-9) / 127
    yield scales.numpy().tobytes()
    for first in range(0, len(source), _ROWS):
        part = source[first : first + _ROWS].float() / scales[first : first + _ROWS, None]
        yield part.round().to(torch.int8).numpy().tobytes()
