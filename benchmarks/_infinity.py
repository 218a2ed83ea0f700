"""infinity-emb 0.0.78 as a rival, in an environment of its own.

It needs an older transformers than honed, and its option for BetterTransformer has to be off. The
environment is made once, in ~/.cache/honed-benchmarks/infinity, and kept.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks._environments import made
from benchmarks._servers import MODEL, OPENAI, Server, free_port, started

_PACKAGES = (
    "infinity-emb[server,torch]==0.0.78",
    "transformers==4.49.0",
    "sentence-transformers==3.4.1",
    "torch==2.13.0",
    "numpy<2",
    "click<8.2",  # typer of that time cannot use a newer one
    "optimum<1.25",
)
_DTYPES = {"inf-fp32": "float32", "inf-int8": "int8"}


def servers(stack: ExitStack) -> list[Server]:
    """infinity-emb in fp32 and in int8, each with one process that uses all cores, its default."""
    program = made("infinity", _PACKAGES).with_name("infinity_emb")
    found = []
    for name, dtype in _DTYPES.items():
        port = free_port()
        command = [
            str(program), "v2", "--model-id", str(MODEL), "--engine", "torch", "--device", "cpu",
            "--dtype", dtype, "--no-bettertransformer", "--port", str(port),
        ]  # fmt: skip
        server = started(name, command, port, stack)
        server.api = OPENAI
        found.append(server)
    return found
