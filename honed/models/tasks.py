"""The task of a checkpoint's trained head, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.case import FEATURES as FEATURES
from honed.errors import ModelError
from honed.models import sentences
from honed.models.families import family_of

# The end of the architecture's name -> the task of its trained head.
_HEADS = {
    "ForSequenceClassification": "sequence-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering", "ForMaskedLM": "masked-lm",
    "ForCausalLM": "causal-lm", "LMHeadModel": "causal-lm",
    "ForPreTraining": FEATURES, "Model": FEATURES,
}  # fmt: skip


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
    # sentence-transformers runs what modules.json lists, whatever head the weights once had.
    language_model = head in ("masked-lm", "causal-lm")
    if sentences.has_pooling(folder) or (language_model and sentences.modules(folder)):
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
    ends = {"masked-lm": ("ForMaskedLM",), "causal-lm": ("ForCausalLM", "LMHeadModel")}
    if family_of(str(config.get("model_type"))).pretraining_fills_masks:
        ends["masked-lm"] = ("ForMaskedLM", "ForPreTraining")
    if architecture.endswith(ends.get(asked, ())):
        return asked
    raise ModelError(
        f"{folder} is a {architecture}: for task={asked} its head would be random weights",
        f"use task={head}, or a checkpoint trained for {asked}, or a named shape",
    )


def check_pooling(asked: str, task: str) -> None:
    """ModelError for a pooling that is asked for of a task whose outputs are not pooled."""
    if task != FEATURES and asked not in ("auto", "none"):
        raise ModelError(
            f"pooling={asked} does not apply to task={task}",
            f"leave pooling out, or use task={FEATURES}",
        )
