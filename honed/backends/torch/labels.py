"""Random labels for the head of each task, and the loss that a model gives for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from honed.case import FEATURES
from honed.models.checkpoint import Checkpoint
from honed.models.evaluation.labels import Labels

_IGNORED = -100  # the label of tokens that cross entropy leaves out, in torch and transformers


def labels_for(checkpoint: Checkpoint, inputs: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The labels by the names that the model takes them by; empty for a model without a head.

    Language models learn their own inputs. Other heads get labels drawn by the seed.
    """
    import torch

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rows, length = ids.shape
    drawn = torch.Generator().manual_seed(seed)

    def numbers(below: int, *shape: int) -> Any:
        return torch.randint(below, shape, generator=drawn).to(ids.device)

    task = checkpoint.task
    if task == FEATURES:
        return {}
    if task in ("causal-lm", "masked-lm"):
        return {"labels": ids.masked_fill(mask == 0, _IGNORED)}
    if task == "question-answering":
        return {"start_positions": numbers(length, rows), "end_positions": numbers(length, rows)}
    count = Labels.of(checkpoint.config).count
    if task == "token-classification":
        return {"labels": numbers(count, rows, length).masked_fill(mask == 0, _IGNORED)}
    kind = checkpoint.config.get("problem_type")
    if kind == "multi_label_classification":
        labels = numbers(2, rows, count).float()
    elif count == 1 or kind == "regression":
        labels = numbers(1000, rows) / 1000
    else:
        labels = numbers(count, rows)
    return {"labels": labels}


def loss_of(call: Callable[..., Any], inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
    """The model's own loss. For a model without a head, the mean square of every second number of
    its vectors: a layer norm keeps that of all numbers at 1, which would have no gradient."""
    output = call(**inputs, **labels)
    if labels:
        return output.loss
    return output.last_hidden_state[..., ::2].float().square().mean()
