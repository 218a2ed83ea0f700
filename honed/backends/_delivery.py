"""What a backend's `deliver` returns: how its exported files run without honed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the files of an exported model need to run without honed.

    `engine` is a Python file that imports no honed and defines
    `Engine(folder, settings)`: `engine(batch)` gives the outputs by name. `settings` is what it
    reads; with {} it runs the same files as the engine's defaults would. `packages` names the
    packages that it imports. `helpers` are files like it that it imports, by their new names.

    `snippet` is Python that opens the files of `model/` with the engine alone. `checkpoint` is the
    folder of the transformer where the engine's files are those of the checkpoint themselves.
    """

    engine: Path
    settings: Mapping[str, Any]
    packages: tuple[str, ...]
    snippet: str = ""
    helpers: Mapping[str, Path] = field(default_factory=dict)
    checkpoint: Path | None = None
