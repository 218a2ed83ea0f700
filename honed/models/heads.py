"""The names of a model's inputs and outputs for each task, defined once for every engine."""

from __future__ import annotations

from honed.models.checkpoint import Checkpoint
from honed.models.families import family_of
from honed.models.families.base import Preset
from honed.models.tasks import FEATURES


def input_names(checkpoint: Checkpoint | Preset) -> tuple[str, ...]:
    """The model's inputs in their fixed order; token types only where the model has several."""
    default = family_of(checkpoint.model_type).segments
    segments = checkpoint.config.get("type_vocab_size", default)
    names = ("input_ids", "attention_mask")
    return (*names, "token_type_ids") if isinstance(segments, int) and segments >= 2 else names


def output_names(task: str, pooling: str) -> tuple[str, ...]:
    """The outputs in their fixed order. Their shapes:

    embedding [batch, hidden]; last_hidden_state [batch, length, hidden]; logits [batch, labels] or
    [batch, length, labels or vocabulary]; start_logits and end_logits [batch, length].
    """
    if task == FEATURES:
        return ("last_hidden_state",) if pooling == "none" else ("embedding",)
    return ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
