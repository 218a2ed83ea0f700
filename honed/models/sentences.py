"""What sentence-transformers adds to a checkpoint: where its model stands, and how it reads texts.

The modules behind the transformer are in `sentence_modules.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.errors import ModelError
from honed.models.weights import read_json

TRANSFORMER, POOLING = "Transformer", "Pooling"
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Options of the transformer, and the only values under which its outputs are the token vectors.
_USUAL = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "modality_config.text.method": "forward",
    "modality_config.text.method_output_name": "last_hidden_state",
}
# Arguments for transformers that a folder may carry: by the library's name, which of them change
# nothing that honed computes. The Case decides the type of the weights and where the model runs.
_ARGUMENTS = {
    ("model_args", "model_kwargs"): {
        "add_pooling_layer", "attn_implementation", "device_map", "dtype", "low_cpu_mem_usage",
        "torch_dtype", "use_safetensors",
    },
    ("tokenizer_args", "processor_kwargs"): {"model_max_length", "padding_side", "use_fast"},
    ("config_args", "config_kwargs"): {"use_cache"},
    ("processing_kwargs",): set[str](),
}  # fmt: skip
# The library ignores this one in a folder, and so does honed: the user decides it.
_IGNORED = {"trust_remote_code"}
# A tokenizer without a limit of its own has a number beyond this one.
_UNLIMITED = 10**9
# Prompts that every model has; they are empty unless the folder fills them.
_EMPTY_PROMPTS = {"query": "", "document": ""}
CHOOSE = "add pooling=none to measure the transformer alone"


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts are read: what stands before each, whether it becomes lower case, and after how
    many tokens it is cut (None: only by the Case)."""

    prompt: str = ""
    lower_case: bool = False
    longest: int | None = None


def modules(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The entries of modules.json in their order; none without that file."""
    path = folder / "modules.json"
    if not path.is_file():
        return ()
    listed = read_json(path)
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ModelError(f"{path} is not a list of modules", "copy or download the file again")
    return tuple(listed)


def kind_of(module: Mapping[str, Any]) -> str:
    """The last part of the module's type, such as "Dense"."""
    return str(module.get("type")).rpartition(".")[2]


def transformer_folder(folder: Path) -> Path:
    """The folder of the transformer itself: the one that modules.json names, or `folder`."""
    for module in modules(folder):
        inner = folder / str(module.get("path"))
        if kind_of(module) == TRANSFORMER and (inner / "config.json").is_file():
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


def refuse_other_beginnings(folder: Path) -> None:
    """ModelError where modules.json does not begin with a transformer that is in its folder."""
    listed, path = modules(folder), folder / "modules.json"
    if not listed:
        return
    first, name = folder / str(listed[0].get("path")), str(listed[0].get("type"))
    if kind_of(listed[0]) != TRANSFORMER:
        raise ModelError(
            f"{path} begins with {name}, which honed does not compute",
            "give a model that begins with a Transformer, or the folder of a checkpoint alone",
        )
    if not (first / "config.json").exists():
        raise ModelError(
            f"{path} names the transformer in {first}, which has no config.json",
            "copy or download the folder again, with the folders inside",
        )


def has_pooling(folder: Path) -> bool:
    """Whether modules.json names a Pooling, so that the model makes vectors of texts."""
    return any(kind_of(module) == POOLING for module in modules(folder))


def refuse_options(folder: Path) -> None:
    """ModelError for the first option of the transformer that honed does not compute."""
    path, settings = _settings(folder)
    for dotted, usual in _USUAL.items():
        value: Any = settings
        for key in dotted.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in (None, usual):
            raise _not_computed(path, f"{dotted}={value}")
    for names, harmless in _ARGUMENTS.items():
        for name in names:
            others = sorted(set(settings.get(name) or {}) - harmless - _IGNORED)
            if others:
                raise _not_computed(path, f"{others[0]} in {name}")


def _not_computed(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} sets {what}, which honed does not compute", CHOOSE)


def reading_of(folder: Path) -> Reading:
    """How the model in the folder reads texts."""
    _, settings = _settings(folder)
    return Reading(
        _default_prompt(folder), bool(settings.get("do_lower_case")), _longest(folder, settings)
    )


def _longest(folder: Path, settings: Mapping[str, Any]) -> int | None:
    """The library cuts by its own setting or, in newer versions, by the tokenizer's."""
    path = transformer_folder(folder) / "tokenizer_config.json"
    of_tokenizer = read_json(path) if modules(folder) and path.is_file() else {}
    for source, key in (
        (settings.get("tokenizer_args"), "model_max_length"),
        (settings.get("processor_kwargs"), "model_max_length"),
        (settings, "max_seq_length"),
        (of_tokenizer, "model_max_length"),
    ):
        longest = source.get(key) if isinstance(source, dict) else None
        if isinstance(longest, int | float) and 0 < longest < _UNLIMITED:
            return int(longest)
    return None


def _default_prompt(folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    settings = read_json(path) if path.is_file() else {}
    name = settings.get("default_prompt_name")
    if name is None:
        return ""
    prompts = _EMPTY_PROMPTS | (settings.get("prompts") or {})
    if name not in prompts:
        raise ModelError(
            f"{path} has no prompt {name!r}, which it names as the default",
            "correct default_prompt_name in that file",
        )
    return str(prompts[name] or "")


def _settings(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    inner = transformer_folder(folder)
    path = next((inner / name for name in _SETTINGS if (inner / name).is_file()), None)
    if path is None:
        return inner / _SETTINGS[0], {}
    return path, read_json(path)
