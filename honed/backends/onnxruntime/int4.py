"""4-bit weights of the linear layers, in blocks with a scale and a zero point each."""

from __future__ import annotations

import logging
from pathlib import Path

from honed.backends.base import LoadRequest
from honed.knob import Knob, Value

BLOCK = Knob("onnxruntime.block_size", "4-bit weights that share a scale", (16, 32, 64, 128))
COMPUTE = Knob("onnxruntime.block_compute",
               "round activations that meet 4-bit weights to int8 per block, or keep them fp32",
               ("int8", "fp32"))  # fmt: skip
KNOBS = (BLOCK, COMPUTE)

# The operator's accuracy_level for the narrowest type to which it may round activations.
LEVELS = {"int8": 4, "fp32": 1}
# Larger blocks are faster and round more: least cosine of a real MiniLM on random ids 0.931 with
# 32, 0.899 with 64, 0.879 with 128; int4 must reach 0.9.
_BLOCK = 32


def about(request: LoadRequest) -> dict[str, Value]:
    case = request.case
    return {BLOCK.name: case.get(BLOCK.name) or _BLOCK,
            COMPUTE.name: case.get(COMPUTE.name) or "int8"}  # fmt: skip


def write(request: LoadRequest, graph: Path, work: Path) -> Path:
    import onnx
    from onnxruntime.quantization import matmul_nbits_quantizer as library

    logging.getLogger().setLevel(logging.ERROR)  # importing it sets the level to INFO
    choices = about(request)
    rounding = library.DefaultWeightOnlyQuantConfig(
        bits=4,
        block_size=choices[BLOCK.name],
        is_symmetric=False,  # with a zero point of its own, a block uses all 16 levels
        accuracy_level=LEVELS[str(choices[COMPUTE.name])],
    )
    quantiser = library.MatMulNBitsQuantizer(onnx.load(str(graph)), algo_config=rounding)
    quantiser.process()
    path = work / "int4.onnx"
    quantiser.model.save_model_to_file(str(path), use_external_data_format=True)
    return path
