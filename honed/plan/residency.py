"""How long weights stay loaded while a model runs: all the time, or part by part.

The three strategies that load part by part are those of a published demonstration of low-memory
inference: every leaf module loads its weights before its forward pass and releases them after it.
`keep_embedding` leaves the word embeddings loaded, and `chunked_embedding` loads them 4096 rows at
a time. This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from honed.errors import UnsupportedError
from honed.models.torch.tracer import Tracer
from honed.timeline import MemoryKind

ROWS_OF_CHUNK = 4096


def load_by_parts(module: Any, strategy: str, tracer: Tracer) -> None:
    """Log loads and releases instead of resident weights; `strategy` is not "resident"."""
    words = module.get_input_embeddings()
    kept = words if strategy == "keep_embedding" else _smallest_kept(module)
    for tensor in [*kept.parameters(), *module.buffers()]:
        tracer.add(tensor, MemoryKind.WEIGHTS)
    for tensor in module.parameters():  # logged as loads and not as tensors
        if not any(tensor is one for one in kept.parameters()):
            tracer.add(tensor, MemoryKind.WEIGHTS)
            tracer.hide([tensor])
    for part in module.modules():
        sizes = [int(p.nbytes) for p in part.parameters(recurse=False)]
        if part is kept or not sizes:
            continue
        if part is words and strategy == "chunked_embedding":
            rows = int(words.weight.shape[0])
            _load_around(part, sizes, ROWS_OF_CHUNK * sizes[0] // rows, tracer)
        else:
            _load_around(part, sizes, max(sizes), tracer)


def _smallest_kept(module: Any) -> Any:
    """The layer norm that the demonstration keeps beside its loaded part.

    Its published peaks hold 8 bytes for each unit of the width more than the parts explain, in
    both strategies that load everything by parts; a layer norm in fp32 has that size.
    """
    for name, part in module.named_modules():
        if name.endswith("embeddings.LayerNorm"):
            return part
    raise UnsupportedError(
        "the strategies that load weights part by part were published for BERT's layout, and this "
        "model has no layer norm behind its embeddings",
        "weights=resident or weights=keep_embedding; to run it so, backend=lowmem",
    )


def _load_around(part: Any, sizes: list[int], chunk: int, tracer: Tracer) -> None:
    """Log a load of each tensor before the forward pass of `part`, and the releases after it. A
    tensor of more than `chunk` bytes is loaded by chunks, one after the other."""
    held: list[Callable[[], None]] = []

    def load(_: Any, __: Any) -> None:
        held.extend(tracer.take(min(size, chunk), MemoryKind.WEIGHTS, "load") for size in sizes)

    def unload(_: Any, __: Any, ___: Any) -> None:
        while held:
            held.pop()()
        for size in sizes:
            for start in range(chunk, size, chunk):
                tracer.take(min(chunk, size - start), MemoryKind.WEIGHTS, "load")()

    part.register_forward_pre_hook(load)
    part.register_forward_hook(unload)
