"""Random weights of a named shape, written as a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from honed.models.presets import Preset
from honed.models.tiny import write_tiny
from honed.models.torch.module import auto_class, configuration, frameworks


def write(shape: Preset, task: str, seed: int, folder: Path) -> None:
    """The same shape, task and seed give the same weights."""
    if shape.model_type == "tiny":
        write_tiny(folder, seed)
        return
    with frameworks() as (torch, transformers):
        config = configuration(transformers, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = auto_class(transformers, task).from_config(config)
        module.save_pretrained(folder, max_shard_size="5GB")
