"""infinity-emb 0.0.78 as a rival, in an environment of its own.

It needs an older transformers than honed, and its option for BetterTransformer has to be off. The
environment is made once, in ~/.cache/honed-benchmarks/infinity, and kept.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from contextlib import ExitStack
from pathlib import Path

from benchmarks._servers import MODEL, OPENAI, Server, free_port, started

_FOLDER = Path("~/.cache/honed-benchmarks/infinity").expanduser()
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
    program = _program()
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


def _program() -> Path:
    program = _FOLDER / "bin" / "infinity_emb"
    if not program.exists():
        print(f"making {_FOLDER}: this takes minutes", flush=True)
        venv.create(_FOLDER, with_pip=True, clear=True)
        done = subprocess.run([str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "-q",
                               *_PACKAGES], check=False)  # fmt: skip
        if done.returncode or not program.exists():
            sys.exit(f"infinity-emb could not be installed into {_FOLDER}")
    return program
