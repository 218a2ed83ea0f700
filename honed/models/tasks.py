"""The task of a checkpoint's trained head and how its token vectors are pooled, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.case import FEATURES as FEATURES
from honed.errors import ModelError
from honed.models.families import family_of
from honed.models.weights import read_json

# The end of the architecture's name -> the task of its trained head.
_HEADS = {
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "masked-lm",
    "ForCausalLM": "causal-lm",
    "LMHeadModel": "causal-lm",
    "ForPreTraining": FEATURES,
    "Model": FEATURES,
}


def head_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The task that the checkpoint's head was trained for."""
    architectures = config.get("architectures") or ["Model"]
    name = str(architectures[0])
    head = next((task for end, task in _HEADS.items() if name.endswith(end)), None)
    if head is None:
        raise ModelError(
            f"{folder} is a {name}, and honed has no task for it",
            f"honed runs architectures that end in {', '.join(_HEADS)}",
        )
    if head == FEATURES and config.get("is_encoder_decoder") and not is_encoder_half(config):
        raise ModelError(
            f"{folder} is a {name}, an encoder-decoder, and honed runs encoders or decoders",
            "save its encoder alone, for example T5EncoderModel.from_pretrained(FOLDER)"
            ".save_pretrained(OTHER)",
        )
    # Embedding models often keep the name of the language model that they were trained from.
    if head in ("masked-lm", "causal-lm") and (folder / "modules.json").is_file():
        return FEATURES
    return head


def is_encoder_half(config: Mapping[str, Any]) -> bool:
    """Whether the weights are the encoder of an encoder-decoder, such as T5EncoderModel."""
    return str((config.get("architectures") or [""])[0]).endswith("EncoderModel")


def is_multi_label(task: str, config: Mapping[str, Any]) -> bool:
    """Whether a classifier decides each label by itself, so that a text may have several."""
    kind = config.get("problem_type")
    return task == "sequence-classification" and kind == "multi_label_classification"


def resolve_task(asked: str, head: str, folder: Path, config: Mapping[str, Any]) -> str:
    """`asked`, or the head's task for "auto"; ModelError if the checkpoint has no such head."""
    if asked in ("auto", head, FEATURES):
        return head if asked == "auto" else asked
    architecture = str((config.get("architectures") or ["Model"])[0])
    if asked == "masked-lm" and (
        architecture.endswith("ForMaskedLM")
        or (
            architecture.endswith("ForPreTraining")
            and family_of(str(config.get("model_type"))).pretraining_fills_masks
        )
    ):
        return asked
    if asked == "causal-lm" and architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return asked
    raise ModelError(
        f"{folder} is a {architecture}: for task={asked} its head would be random weights",
        f"use task={head}, or a checkpoint trained for {asked}, or a named shape",
    )


def resolve_pooling(asked: str, task: str, folder: Path) -> str:
    """`asked`; for "auto" the checkpoint's own pooling settings, or the mean without any."""
    if task != FEATURES:
        if asked in ("mean", "cls"):
            raise ModelError(
                f"pooling={asked} does not apply to task={task}",
                f"leave pooling out, or use task={FEATURES}",
            )
        return "none"
    return asked if asked != "auto" else _own_pooling(folder) or "mean"


def _own_pooling(folder: Path) -> str | None:
    """The pooling in the settings that sentence-transformers saves with a checkpoint."""
    modules = folder / "modules.json"
    path = folder / "1_Pooling" / "config.json"
    if modules.is_file():
        listed = read_json(modules)
        names = [str(m.get("path")) for m in listed if str(m.get("type", "")).endswith("Pooling")]
        path = folder / names[0] / "config.json" if names else path
    if not path.is_file():
        return None
    settings = read_json(path)
    modes = _modes(settings)
    supported = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}
    if len(modes) == 1 and modes[0] in supported:
        return supported[modes[0]]
    raise ModelError(
        f"{path} asks for pooling by {' and '.join(modes) or 'nothing'}, which honed cannot do",
        "add pooling=mean, pooling=cls or pooling=none",
    )


def _modes(settings: Mapping[str, Any]) -> list[str]:
    """The pooling modes. Older files have one flag per mode, newer ones a name or a list."""
    named = settings.get("pooling_mode")
    if named is not None:
        return [named] if isinstance(named, str) else [str(name) for name in named]
    start = "pooling_mode_"
    return [k.removeprefix(start) for k, on in settings.items() if k.startswith(start) and on]
