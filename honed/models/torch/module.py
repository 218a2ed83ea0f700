"""A checkpoint folder as a torch module. Functions import torch and transformers when called."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from honed.errors import HonedError, ModelError, OutOfMemoryError, UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.models.presets import Preset
from honed.models.tasks import FEATURES, is_encoder_half

_AUTO_CLASSES = {
    FEATURES: "AutoModel",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
}


def load_module(
    checkpoint: Checkpoint, *, dtype: str = "float32", attention: str | None = None
) -> Any:
    """The torch.nn.Module for the checkpoint's task, in eval mode.

    `dtype` is the name of a torch type. `attention` is "eager", "sdpa" or None, which leaves the
    choice to the model. Safetensors files stay memory-mapped when `dtype` is the type in the
    file. ModelError if the file lacks weights that the task uses, or holds weights of the model's
    body that would not be used.
    """
    with frameworks() as (torch, transformers):
        options = {} if attention is None else {"attn_implementation": attention}
        half = is_encoder_half(checkpoint.config)
        auto = auto_class(transformers, checkpoint.task, encoder_half=half)
        # from_pretrained takes 0.1 s for BERT base. That is 0.08 s more than filling a module on
        # the meta device from the mapped file, but it also ties weights and rebuilds buffers.
        with explained(checkpoint, attention):
            module, report = auto.from_pretrained(
                checkpoint.folder,
                dtype=getattr(torch, dtype),
                local_files_only=True,
                trust_remote_code=checkpoint.own_code,
                weights_only=True,
                output_loading_info=True,
                **options,
            )
        _check_complete(checkpoint, module, report)
        module.config.use_cache = False  # a single pass never reads cached keys and values
        return module.eval()


@contextlib.contextmanager
def frameworks() -> Iterator[tuple[Any, Any]]:
    """torch and transformers. Inside the block, transformers shows no progress bars or reports."""
    try:
        import torch

        transformers = import_transformers()
        from transformers.utils import logging
    except ImportError as error:
        raise UnsupportedError(
            f"{error.name} is not installed", "pip install 'honed[torch]'"
        ) from error
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield torch, transformers
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def import_transformers() -> Any:
    """transformers with its model classes, but without torchao.

    Where torchao is installed, transformers imports it together with the first model class. That
    takes 0.3 s, and only serves checkpoints of a kind that honed does not read. A module that is
    None in sys.modules counts as not installed. transformers checks only once, so other code can
    still import torchao later.
    """
    hidden = "torchao" not in sys.modules
    if hidden:
        sys.modules["torchao"] = None  # type: ignore[assignment]
    try:
        import transformers

        _ = transformers.PreTrainedModel  # the module behind it looks for torchao
    finally:
        if hidden:
            del sys.modules["torchao"]
    return transformers


def auto_class(transformers: Any, task: str, *, encoder_half: bool = False) -> Any:
    """The transformers class that builds models for this task."""
    if encoder_half and task == FEATURES:
        return transformers.AutoModelForTextEncoding
    return getattr(transformers, _AUTO_CLASSES[task])


def configuration(transformers: Any, model: Checkpoint | Preset) -> Any:
    """The model's configuration as transformers' own object."""
    if isinstance(model, Preset):
        return transformers.AutoConfig.for_model(model.model_type, **model.config)
    return transformers.AutoConfig.from_pretrained(
        model.folder, local_files_only=True, trust_remote_code=model.own_code
    )


@contextlib.contextmanager
def explained(model: Checkpoint | Preset, attention: str | None) -> Iterator[None]:
    """Turn what transformers raises for bad files into a ModelError; they are user input."""
    import pickle

    from safetensors import SafetensorError

    name = model.name if isinstance(model, Preset) else model.folder
    try:
        yield
    except HonedError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"the .bin weights in {name} hold more than tensors: loading them would run code",
            "do not trust this checkpoint; get it as safetensors",
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        text = str(error).strip() or type(error).__name__
        if isinstance(error, RuntimeError) and "allocate memory" in text:
            raise OutOfMemoryError(
                f"the weights of {name} do not fit in memory", "use a smaller model"
            ) from error
        if attention is not None and "attention implementation" in text.lower():
            raise UnsupportedError(
                f"{model.model_type} has no {attention} attention",
                "leave attention unset or use eager",
            ) from error
        raise ModelError(
            f"{name} could not be loaded: {text.splitlines()[0]}",
            "do config.json and the weights belong together?",
        ) from error


def _check_complete(checkpoint: Checkpoint, module: Any, report: dict[str, Any]) -> None:
    """ModelError if weights stayed random or were left out, since nobody trained such a model."""
    base = module.base_model
    prefix = f"{module.base_model_prefix}."
    parts = {name for name, _ in base.named_children()}

    def of_the_body(key: str) -> bool:
        return key.removeprefix(prefix).partition(".")[0] in parts

    # In feature extraction no output uses the pooler.
    unused = ("pooler.",) if checkpoint.task == FEATURES else ()
    missing = [k for k in report["missing_keys"] if not k.removeprefix(prefix).startswith(unused)]
    # Heads of other tasks are left out on purpose, and so are index buffers that old versions of
    # transformers saved.
    harmless = ("position_ids", "token_type_ids", "inv_freq", "masked_bias", "attn.bias")
    left_out = [
        k
        for k in report["unexpected_keys"]
        if of_the_body(k) and not k.endswith(harmless) and ".pooler." not in f".{k}"
    ]
    for keys, what in ((missing, "lack"), (left_out, "hold, beyond what config.json describes,")):
        if keys:
            first = ", ".join(sorted(keys)[:3])
            untrusted = checkpoint.config.get("auto_map") and not checkpoint.own_code
            raise ModelError(
                f"the weights in {checkpoint.folder} {what} {len(keys)} tensors: {first}",
                f"do config.json and the weights belong together?{_OWN_CODE if untrusted else ''}",
            )


_OWN_CODE = " the checkpoint contains Python code: read it, then add trust_remote_code=true"
