"""Whether a checkpoint would run Python code of its own, decided without importing anything."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from honed.errors import ModelError


def runs_own_code(folder: Path, config: Mapping[str, Any], *, trusted: bool) -> bool:
    """True if the checkpoint's own code is to be run: it carries some and is trusted.

    Without trust, a model type that transformers implements runs on transformers' code; any other
    raises ModelError.
    """
    auto_map = config.get("auto_map")
    if not auto_map:
        return False
    if trusted:
        return True
    model_type = str(config.get("model_type", ""))
    if model_type in _native_model_types():
        return False
    files = ", ".join(_files(auto_map))
    raise ModelError(
        f"{folder} is a {model_type or 'model'} that transformers does not implement itself: "
        f"it would run the checkpoint's own code ({files})",
        f"read the code first, then add trust_remote_code=true ({folder})",
    )


def _files(auto_map: Mapping[str, Any]) -> list[str]:
    """`modeling_x.Class` -> modeling_x.py; `owner/repo--modeling_x.Class` names its repository."""
    found = set()
    for value in auto_map.values():
        for reference in value if isinstance(value, list | tuple) else [value]:
            if not reference:
                continue
            repository, _, name = str(reference).rpartition("--")
            file = f"{name.rpartition('.')[0]}.py"
            found.add(f"{file} of {repository}" if repository else file)
    return sorted(found)


@cache
def _native_model_types() -> frozenset[str]:
    """Read from transformers' sources: importing it would take seconds and load torch."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    auto = Path(spec.submodule_search_locations[0]) / "models" / "auto"
    sources = [auto / "auto_mappings.py", auto / "configuration_auto.py"]
    text = "".join(path.read_text("utf-8") for path in sources if path.is_file())
    return frozenset(re.findall(r'"([\w.-]+)"[,:] "\w+Config"', text))
