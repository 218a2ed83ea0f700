"""`honed.lowmem(model)`: a checkpoint that is called like the model of transformers, in little
memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from honed.backends.lowmem import small
from honed.backends.lowmem.called import CalledModel
from honed.errors import UsageError
from honed.models.checkpoint import Checkpoint, ModelRequest
from honed.models.heads import input_names
from honed.models.tasks import FEATURES
from honed.units import size, size_bytes

if TYPE_CHECKING:
    from honed.backends.lowmem.decoder import Decoder
    from honed.backends.lowmem.runners import ByLayers, ByModules
    from honed.backends.lowmem.small.front import SmallModel


@overload
def lowmem(
    model: str, memory_budget: str | None = None, task: str = "auto",
    engine: Literal["torch"] = "torch",
) -> LowMemoryModel: ...  # fmt: skip


@overload
def lowmem(
    model: str, memory_budget: str | None = None, task: str = "auto",
    *, engine: Literal["small"],
) -> SmallModel: ...  # fmt: skip


def lowmem(
    model: str, memory_budget: str | None = None, task: str = "auto", engine: str = "torch"
) -> LowMemoryModel | SmallModel:
    """The model of a checkpoint folder, hub id or named shape, ready to be called.

    With `engine="torch"` a call takes the tensors that the model of transformers takes
    (`input_ids`, `attention_mask`, `token_type_ids`) and returns the same outputs. With
    `engine="small"` it takes and returns arrays of numpy, and torch need not be installed.
    `memory_budget`: the most bytes that a call may add, as in "64MiB", beside its outputs. A call
    that needs more in the smallest sizes gives one warning, and is done in those.
    """
    from honed.models.obtain import materialise

    if engine not in ("torch", small.NAME):
        raise UsageError(f"lowmem has no engine {engine}", "engine='torch' or engine='small'")
    checkpoint = materialise(ModelRequest(model, task=task))
    if engine == small.NAME:
        from honed.backends.lowmem.small.front import SmallModel

        return SmallModel(checkpoint, memory_budget)
    from honed.backends.lowmem.runners import StreamOptions, runner

    budget = None if memory_budget is None else size_bytes(memory_budget)
    return LowMemoryModel(
        checkpoint, runner(checkpoint, StreamOptions(budget_bytes=budget)), budget
    )


class LowMemoryModel(CalledModel):
    """A checkpoint whose weights stay in the mapped file."""

    def __init__(
        self, checkpoint: Checkpoint, runner: ByLayers | ByModules, budget_bytes: int | None
    ) -> None:
        super().__init__(checkpoint, budget_bytes)
        self._runner, self._task = runner, checkpoint.task
        self._input_names = input_names(checkpoint)

    def __call__(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Any:
        """The outputs as an object of transformers: last_hidden_state (and pooler_output where the
        model has a pooler), logits, or start_logits and end_logits."""
        import torch

        named = _with_mask(input_ids, attention_mask)
        if token_type_ids is not None:
            named["token_type_ids"] = torch.as_tensor(token_type_ids)
        with self._call(_arrays(named)), torch.inference_mode():
            taken = {name: named[name] for name in self._input_names if name in named}
            outputs = self._runner.named_outputs(taken)
            self._warn_of_need(self._runner.needed_bytes)
            return _as_transformers(outputs, self._task)

    def generate(self, input_ids: Any, max_new_tokens: int, attention_mask: Any = None) -> Any:
        """Greedy continuation of [batch, length] by at most `max_new_tokens` tokens.

        The keys and values of every token are kept in memory. UsageError if those of all tokens
        would exceed the budget, or if the model has no positions for all of them.
        """
        import torch

        named, decoder = _with_mask(input_ids, attention_mask), self._decoder()
        with self._call(_arrays(named)), torch.inference_mode():
            rows, length = named["input_ids"].shape
            self._check_room(decoder, rows, length, max_new_tokens)
            return decoder.generate(named["input_ids"], named["attention_mask"], max_new_tokens)

    def score(self, input_ids: Any, attention_mask: Any = None) -> Any:
        """The log-likelihood of each sequence [batch], without its first token, by a decoder.

        The vocabulary is passed in parts: no [batch, length, vocabulary] is made. UsageError if
        padding stands before tokens.
        """
        import torch

        named, decoder = _with_mask(input_ids, attention_mask), self._decoder()
        with self._call(_arrays(named)), torch.inference_mode():
            mask = named["attention_mask"].bool()
            if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
                raise UsageError(
                    "padding stands before tokens, whose positions would then be wrong",
                    "pad on the right: tokenizer.padding_side = 'right'",
                )
            return decoder.score(named["input_ids"], named["attention_mask"])

    def _check_room(self, decoder: Decoder, rows: int, length: int, new_tokens: int) -> None:
        """UsageError unless so many new tokens fit into the budget and the model's positions."""
        cache_bytes = decoder.cache_bytes(rows, length + new_tokens)
        if self._budget_bytes is not None and cache_bytes > self._budget_bytes:
            raise UsageError(
                f"the keys and values of {rows} x {length + new_tokens} tokens take "
                f"{size(cache_bytes)}, more than memory_budget={size(self._budget_bytes)}",
                "ask for fewer new tokens or sequences, or for a larger budget",
            )
        positions = self._checkpoint.max_positions
        if positions is not None and length + new_tokens - 1 > positions:  # the last is not read
            raise UsageError(
                f"{length} tokens and {new_tokens} new ones are more than the {positions} "
                "positions of the model",
                f"max_new_tokens={positions + 1 - length} at most",
            )

    def _decoder(self) -> Decoder:
        from honed.backends.lowmem.decoder import Decoder
        from honed.backends.lowmem.runners import ByModules

        if self._task != "causal-lm" or not isinstance(self._runner, ByModules):
            raise UsageError(
                f"a model of task={self._task} neither generates nor scores",
                "give a decoder: lowmem(MODEL, task='causal-lm')",
            )
        return Decoder(self._runner.stream)

    def _release(self) -> None:
        self._runner.close()


def _with_mask(input_ids: Any, attention_mask: Any) -> dict[str, Any]:
    """The tensors of a call; without a mask, every token is real."""
    import torch

    ids = torch.as_tensor(input_ids)
    mask = torch.ones_like(ids) if attention_mask is None else torch.as_tensor(attention_mask)
    return {"input_ids": ids, "attention_mask": mask}


def _arrays(named: Mapping[str, Any]) -> dict[str, Any]:
    """The same memory as arrays of numpy."""
    return {name: tensor.numpy() for name, tensor in named.items()}


def _as_transformers(outputs: Mapping[str, Any], task: str) -> Any:
    from transformers import modeling_outputs as kinds
    from transformers.utils import ModelOutput

    if isinstance(outputs, ModelOutput):
        return outputs
    if task == FEATURES:
        return kinds.BaseModelOutputWithPooling(**outputs)
    kind = {
        "sequence-classification": kinds.SequenceClassifierOutput,
        "token-classification": kinds.TokenClassifierOutput,
        "question-answering": kinds.QuestionAnsweringModelOutput,
        "masked-lm": kinds.MaskedLMOutput,
    }[task]
    return kind(**outputs)
