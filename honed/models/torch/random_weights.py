"""Random weights of a named shape, written as a checkpoint folder. Imports torch: be late."""

from __future__ import annotations

from pathlib import Path

from honed.models.presets import Preset
from honed.models.tiny import write_tiny


def write(shape: Preset, task: str, seed: int, folder: Path) -> None:
    """The same shape, task and seed give the same weights."""
    if shape.model_type == "tiny":
        write_tiny(folder, seed)
        return
    from honed.models.torch.module import auto_class, frameworks

    with frameworks() as (torch, transformers):
        config = transformers.AutoConfig.for_model(shape.model_type, **shape.config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = auto_class(transformers, task).from_config(config)
        module.save_pretrained(folder, max_shard_size="5GB")
