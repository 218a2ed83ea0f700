"""What sentence-transformers adds to a checkpoint: where its model stands, and how it reads texts.

What honed does not do is refused by its name, unless the user chooses a task or a pooling: then
the user decides what runs, and only the settings for texts are taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import ModelError
from honed.models.weights import read_json

_LIBRARY = "sentence_transformers."
# Dropout does nothing outside training, and Normalize changes the length of a vector only.
_HONOURED = ("Transformer", "Pooling", "Normalize", "Dropout")
_CHOOSE = "add pooling=mean, pooling=cls or pooling=none to measure the model without it"
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are read: what stands before each, whether it becomes lower case, and after how
    many tokens it is cut (None: only by the Case)."""

    prompt: str = ""
    lower_case: bool = False
    longest: int | None = None


def transformer_folder(folder: Path) -> Path:
    """The folder of the transformer itself: `folder`, or the one that modules.json names first."""
    if (folder / "config.json").exists():
        return folder
    for module in _modules(folder):
        inner = folder / str(module.get("path"))
        if _kind(module) == "Transformer" and (inner / "config.json").is_file():
            return inner
    return folder


def root_folder(folder: Path) -> Path:
    """The folder that lists the modules, given the folder of the transformer itself."""
    outer = folder.parent
    return outer if (outer / "modules.json").is_file() else folder


def prompts_of(root: Path) -> Mapping[str, str]:
    """The texts that a request may put before its own, by name."""
    path = root / "config_sentence_transformers.json"
    settings = read_json(path) if path.is_file() else {}
    return {str(name): str(text or "") for name, text in (settings.get("prompts") or {}).items()}


def refuse_modules(folder: Path) -> None:
    """ModelError for the first module or option that honed does not compute."""
    for module in _modules(folder):
        name = str(module.get("type"))
        if _kind(module) not in _HONOURED or not name.startswith(_LIBRARY):
            raise ModelError(
                f"{folder / 'modules.json'} has a module {name}, which honed does not compute",
                _CHOOSE,
            )
        if _kind(module) == "Pooling":
            _refuse_excluded_prompt(folder, folder / str(module.get("path")) / "config.json")
    path, settings = _settings(folder)
    for key, usual in (
        ("transformer_task", "feature-extraction"),
        ("module_output_name", "token_embeddings"),
    ):
        if settings.get(key, usual) != usual:
            raise ModelError(
                f"{path} sets {key}={settings[key]}, which honed does not compute", _CHOOSE
            )


def reading_of(folder: Path) -> Reading:
    """How the model in the folder reads texts."""
    _, settings = _settings(folder)
    longest = settings.get("max_seq_length")
    return Reading(
        _default_prompt(folder),
        bool(settings.get("do_lower_case")),
        longest if isinstance(longest, int) and longest > 0 else None,
    )


def _default_prompt(folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path) if path.is_file() else {}
    name = settings.get("default_prompt_name")
    if name is None:
        return ""
    prompts = settings.get("prompts") or {}
    if name not in prompts:
        raise ModelError(
            f"{path} has no prompt {name!r}, which it names as the default",
            "correct default_prompt_name in that file",
        )
    return str(prompts[name] or "")


def _refuse_excluded_prompt(folder: Path, path: Path) -> None:
    settings = read_json(path) if path.is_file() else {}
    if settings.get("include_prompt", True) is False and _default_prompt(folder):
        raise ModelError(
            f"{path} leaves the prompt out of the pooling (include_prompt), which honed does not",
            _CHOOSE,
        )


def _settings(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    inner = transformer_folder(folder)
    path = next((inner / name for name in _SETTINGS if (inner / name).is_file()), None)
    if path is None:
        return inner / _SETTINGS[0], {}
    return path, read_json(path)


def _modules(folder: Path) -> list[Mapping[str, Any]]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    listed = read_json(path)
    return [module for module in listed if isinstance(module, dict)]


def _kind(module: Mapping[str, Any]) -> str:
    return str(module.get("type")).rpartition(".")[2]
