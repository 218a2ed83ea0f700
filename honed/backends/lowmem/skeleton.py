"""A module of transformers without memory for its parameters, and which tensors those are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from honed.backends.lowmem.tensors import WeightTensors
from honed.errors import ModelError
from honed.models.checkpoint import Checkpoint
from honed.models.tasks import FEATURES, is_encoder_half
from honed.models.torch.module import auto_class, configuration, explained, frameworks

_ONE_AT_A_TIME = threading.Lock()


def skeleton(checkpoint: Checkpoint, weights: WeightTensors, attention: str | None) -> Any:
    """The module without memory for its parameters. Its buffers are computed as usual."""
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    if checkpoint.own_code:
        options["trust_remote_code"] = True
    with frameworks() as (_, transformers), explained(checkpoint, attention):
        config = configuration(transformers, checkpoint)
        half = is_encoder_half(checkpoint.config)
        auto = auto_class(transformers, checkpoint.task, encoder_half=half)
        with _parameters_without_memory():
            module = auto.from_config(config, dtype=weights.dtype, **options)
    module.config.use_cache = False
    body = module.base_model
    pooler = getattr(body, "pooler", None)
    if checkpoint.task == FEATURES and pooler is not None and not _has_pooler(weights):
        body.pooler = None  # no output uses it, and the checkpoint has no weights for it
    return module.eval()


def _has_pooler(weights: WeightTensors) -> bool:
    return any("pooler." in name for name in weights.mapped.stored)


@contextlib.contextmanager
def _parameters_without_memory() -> Iterator[None]:
    """Inside the block, a parameter of a module that this thread makes loses its memory as soon as
    the module has it.

    Under `torch.device("meta")` the buffers, such as the positions, would lose their values too.
    The method of torch is replaced for all threads, so only one may be in the block at a time, and
    modules that others make meanwhile are left as they are.
    """
    here = threading.get_ident()
    with _ONE_AT_A_TIME:
        register = torch.nn.Module.register_parameter

        def register_on_meta(self: Any, name: str, parameter: Any) -> None:
            register(self, name, parameter)
            if parameter is None or parameter.is_meta or threading.get_ident() != here:
                return  # one on meta is tied, and has to stay the same
            on_meta = torch.nn.Parameter(parameter.to("meta"), requires_grad=False)
            self._parameters[name] = on_meta

        torch.nn.Module.register_parameter = register_on_meta
        try:
            yield
        finally:
            torch.nn.Module.register_parameter = register


def stored_names(checkpoint: Checkpoint, module: Any, weights: WeightTensors) -> Mapping[str, str]:
    """Parameter -> the name of its tensor in the files; ModelError if there is none."""
    stored = weights.mapped.stored
    prefix = f"{module.base_model_prefix}."
    aliases: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        aliases.setdefault(id(parameter), []).append(name)
    found, missing = {}, []
    for name, parameter in module.named_parameters():
        spellings = [
            spelling
            for alias in aliases[id(parameter)]
            for plain in (alias, f"{prefix}{alias}", alias.removeprefix(prefix))
            for spelling in (plain, _in_tensorflows_words(plain))
        ]
        match = next((s for s in spellings if s in stored), None)
        if match is None or stored[match].shape != tuple(parameter.shape):
            missing.append(name)
        else:
            found[name] = match
    if missing:
        raise ModelError(
            f"the weights in {checkpoint.folder} lack {len(missing)} tensors: "
            f"{', '.join(missing[:3])}",
            "do config.json and the weights belong together? backend=torch may convert them",
        )
    return found


def _in_tensorflows_words(name: str) -> str:
    """Checkpoints from TensorFlow call the two parts of a norm gamma and beta."""
    start, _, end = name.rpartition(".")
    words = {"weight": "gamma", "bias": "beta"}
    return f"{start}.{words[end]}" if "LayerNorm" in start and end in words else name
