"""Whether loading a checkpoint runs Python code from its folder, without importing anything."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from honed.errors import ModelError


def runs_own_code(folder: Path, config: Mapping[str, Any], *, trusted: bool) -> bool:
    """True if the checkpoint contains code and the user trusts it.

    Without trust, a model type that transformers implements runs on transformers' code. Any other
    model type raises ModelError.
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
        f"{folder} is a {model_type or 'model'} that transformers does not implement: "
        f"loading it would run code from the checkpoint ({files})",
        f"read the code first, then add trust_remote_code=true ({folder})",
    )


def _files(auto_map: Mapping[str, Any]) -> list[str]:
    """The files behind the references `modeling_x.Class` and `owner/repo--modeling_x.Class`."""
    files = set()
    for value in auto_map.values():
        for reference in value if isinstance(value, list | tuple) else [value]:
            if not reference:
                continue
            repository, _, name = str(reference).rpartition("--")
            file = f"{name.rpartition('.')[0]}.py"
            files.add(f"{file} of {repository}" if repository else file)
    return sorted(files)


@cache
def _native_model_types() -> frozenset[str]:
    """The model types in transformers' sources. Importing it would take seconds and load torch."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    auto = Path(spec.submodule_search_locations[0]) / "models" / "auto"
    sources = [auto / "auto_mappings.py", auto / "configuration_auto.py"]
    text = "".join(path.read_text("utf-8") for path in sources if path.is_file())
    return frozenset(re.findall(r'"([\w.-]+)"[,:] "\w+Config"', text))
