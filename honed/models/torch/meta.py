"""A model on torch's meta device: every tensor's shape and type, and no memory for any of them."""

from __future__ import annotations

from typing import Any

from honed.models.checkpoint import Checkpoint
from honed.models.presets import Preset
from honed.models.tasks import is_encoder_half
from honed.models.torch.module import auto_class, configuration, explained, frameworks


def meta_module(
    model: Checkpoint | Preset,
    task: str | None = None,
    *,
    dtype: str = "float32",
    attention: str | None = None,
) -> Any:
    """The module that `load_module` would give, in eval mode, with its tensors on "meta".

    The weights are neither read nor made: a preset needs no checkpoint on disk. Tied weights are
    tied, so `module.parameters()` yields each once, as for the real module. `task` defaults to
    the checkpoint's, or to the preset's default.
    """
    if task is None:
        task = model.task if isinstance(model, Checkpoint) else model.default_task
    options = {} if attention is None else {"attn_implementation": attention}
    with frameworks() as (torch, transformers), explained(model, attention):
        config = configuration(transformers, model)
        with torch.device("meta"):
            half = is_encoder_half(model.config)
            module = auto_class(transformers, task, encoder_half=half).from_config(
                config, dtype=getattr(torch, dtype), **_trust(model), **options
            )
    module.config.use_cache = False
    return module.eval()


def _trust(model: Checkpoint | Preset) -> dict[str, bool]:
    own_code = isinstance(model, Checkpoint) and model.own_code
    return {"trust_remote_code": True} if own_code else {}
