"""The Hugging Face hub: what its cache on this machine holds, and downloads into the cache."""

from __future__ import annotations

from pathlib import Path

from honed.errors import ModelError, UnsupportedError
from honed.models.presets import PRESETS

_TEXT = ["*.json", "*.txt", "*.model"]
# The layers behind the pooling of sentence-transformers ("2_Dense"): small, and often without a
# safetensors file beside that of the transformer.
_LAYERS = ["[1-9]_*/pytorch_model.bin"]
# Where hub repositories keep exports of the weights. honed exports from the weights itself.
_EXPORTS = ["onnx/*", "openvino/*", "*/onnx/*", "coreml/*"]


def find(repo_id: str) -> Path | None:
    """The snapshot folder in the local cache. The network is not used."""
    try:
        from huggingface_hub import constants, try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        for name in ("config.json", "modules.json"):  # an old layout has only the second
            path = try_to_load_from_cache(repo_id, name, cache_dir=constants.HF_HUB_CACHE)
            if isinstance(path, str):
                return Path(path).parent
    except HFValidationError:
        return None
    return None


def repository_of(folder: Path) -> str | None:
    """The hub id of a model's folder in a hub cache, or of the folder of its snapshots."""
    root = folder.parent if folder.name == "snapshots" else folder
    if not root.name.startswith("models--") or not (root / "snapshots").is_dir():
        return None
    return root.name.removeprefix("models--").replace("--", "/", 1)


def download(repo_id: str, *, with_code: bool) -> Path:
    """Download configuration, tokenizer and weights: safetensors, or .bin where there are none."""
    text = [*_TEXT, "*.py"] if with_code else _TEXT
    folder = _fetch(repo_id, [*text, *_LAYERS, "*.safetensors"])
    if not any(folder.glob("*.safetensors")):
        folder = _fetch(repo_id, [*text, "*.bin"])
    return folder


def _fetch(repo_id: str, patterns: list[str]) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError as error:
        raise UnsupportedError(
            "huggingface_hub is not installed, so hub ids cannot be used",
            "pip install 'honed[torch]', or give a checkpoint folder",
        ) from error
    folder_hint = "or give a checkpoint folder: model=./path"
    try:
        folder = huggingface_hub.snapshot_download(
            repo_id, allow_patterns=patterns, ignore_patterns=_EXPORTS,
            cache_dir=constants.HF_HUB_CACHE,
        )  # fmt: skip
        return Path(folder)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{repo_id} is gated on the hub",
            f"accept its terms there and log in (hf auth login), {folder_hint}",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no model {repo_id}, or it is private",
            f"check the spelling, log in if it is private (hf auth login), {folder_hint}, "
            f"or name a shape: {', '.join(PRESETS)}",
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ModelError(
            f"{repo_id} is not on this machine and the hub cannot be reached",
            f"check the network and HF_HUB_OFFLINE, {folder_hint}",
        ) from error
    except Exception as error:  # a full disk, a lost connection: HTTP libraries differ in these
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{repo_id} could not be downloaded: {first}", f"try again, {folder_hint}"
        ) from error
