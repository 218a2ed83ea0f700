"""What goes into a model and what comes out, for each task: the one definition of both."""

from __future__ import annotations

from honed.models.checkpoint import Checkpoint
from honed.models.families import family_of
from honed.models.tasks import FEATURES


def input_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The model's inputs in their fixed order. Segments only where there are two to tell apart."""
    default = family_of(checkpoint.model_type).segments
    segments = checkpoint.config.get("type_vocab_size", default)
    names = ("input_ids", "attention_mask")
    return (*names, "token_type_ids") if isinstance(segments, int) and segments >= 2 else names


def output_names(task: str, pooling: str) -> tuple[str, ...]:
    """The outputs in their fixed order.

    embedding [batch, hidden]; last_hidden_state [batch, length, hidden]; logits [batch, labels] or
    [batch, length, labels or vocabulary]; start_logits and end_logits [batch, length].
    """
    if task == FEATURES:
        return ("last_hidden_state",) if pooling == "none" else ("embedding",)
    return ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
