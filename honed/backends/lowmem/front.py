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
    `memory_budget`: the most bytes that a call may add, as in "64MiB".
    """
    from honed.models.obtain import materialise

    if engine not in ("torch", small.NAME):
        raise UsageError(f"lowmem has no engine {engine}", "engine='torch' or engine='small'")
    checkpoint = materialise(ModelRequest(model, task=task))
    if engine == small.NAME:
        from honed.backends.lowmem.small.front import SmallModel

        return SmallModel(checkpoint, memory_budget)
    from honed.backends.lowmem.runners import Wish, runner

    budget = None if memory_budget is None else size_bytes(memory_budget)
    return LowMemoryModel(checkpoint, runner(checkpoint, Wish(budget_bytes=budget)), budget)


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
        would exceed the budget.
        """
        import torch

        named = _with_mask(input_ids, attention_mask)
        input_ids, decoder = named["input_ids"], self._decoder()
        cache_bytes = decoder.cache_bytes(len(input_ids), input_ids.shape[1] + max_new_tokens)
        if self._budget_bytes is not None and cache_bytes > self._budget_bytes:
            raise UsageError(
                f"the keys and values of {len(input_ids)} x "
                f"{input_ids.shape[1] + max_new_tokens} tokens take {size(cache_bytes)}, more "
                f"than memory_budget={size(self._budget_bytes)}",
                "ask for fewer new tokens or sequences, or for a larger budget",
            )
        with self._call(_arrays(named)), torch.inference_mode():
            return decoder.generate(input_ids, named["attention_mask"], max_new_tokens)

    def score(self, input_ids: Any, attention_mask: Any = None) -> Any:
        """The log-likelihood of each sequence [batch], without its first token, by a decoder.

        The vocabulary is passed in parts: no [batch, length, vocabulary] is made.
        """
        import torch

        named = _with_mask(input_ids, attention_mask)
        decoder = self._decoder()
        with self._call(_arrays(named)), torch.inference_mode():
            return decoder.score(named["input_ids"], named["attention_mask"])

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
