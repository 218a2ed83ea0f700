"""What a plan traces: inference, a forward pass with gradients, or training steps.

The same functions run on fake tensors, to predict, and on real ones, to verify a prediction.
This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from honed.case import FEATURES
from honed.models.sentence_modules import VectorLayer
from honed.models.torch import checkpointing
from honed.models.torch.head import Head
from honed.models.torch.tracer import Tracer
from honed.models.torch.vectors import module_of
from honed.plan import bert_2019
from honed.plan.cuda import CudaKernels
from honed.plan.residency import load_by_parts
from honed.plan.settings import TRAINING_STEPS, Settings
from honed.timeline import MemoryKind, StepPhase

_ATTENTION = {"auto": None, "eager": "eager", "sdpa": "sdpa", "flash": "sdpa"}
_PER_TOKEN = ("token-classification", "masked-lm", "causal-lm")


def attention_name(settings: Settings) -> str | None:
    """transformers' name of the attention; None is the model's own choice."""
    if settings.operators == "2019":
        return bert_2019.register()
    return _ATTENTION[settings.attention]


def with_head(
    module: Any, task: str, pooling: str, settings: Settings, layers: Sequence[VectorLayer] = ()
) -> tuple[Any, Any]:
    """The module with the operators of the settings, and honed's head around it; the weights of
    the layers behind the pooling are random, because a plan needs their sizes alone."""
    if settings.operators == "2019":
        bert_2019.rewrite(module)
    behind = [module_of(layer, getattr(torch, settings.dtype)) for layer in layers]
    return module, Head(module, task, pooling, behind)


@dataclass(frozen=True, slots=True)
class Program:
    """A module of one task, what it is fed, and how it is run.

    `module` is transformers' own; `head` is honed's, with pooling. `input_names` are the inputs.
    """

    module: Any
    head: Any
    task: str
    input_names: tuple[str, ...]
    settings: Settings

    def run(self, tracer: Tracer) -> None:
        """Run it under the tracer. Every tensor made here lives on torch's default device."""
        settings = self.settings
        self.module.train(settings.mode == "train")
        if settings.checkpointing != checkpointing.OFF:
            _checkpoint(self.module, settings)
        if settings.weights == "resident":
            tracer.watch(self.module)
            for weight in self.head.parameters():  # of layers behind the pooling
                tracer.add(weight, MemoryKind.WEIGHTS)
        else:
            load_by_parts(self.module, settings.weights, tracer)
        try:
            if settings.mode == "train":
                self._train(tracer)
            else:
                self._forward(tracer)
        finally:
            tracer.unwatch()

    def _forward(self, tracer: Tracer) -> None:
        with tracer:
            inputs = self._inputs(tracer)
            with tracer.phase(StepPhase.FORWARD), torch.set_grad_enabled(
                self.settings.has_gradients
            ), self._kernels():  # fmt: skip
                outputs = self._call(inputs)
            tracer.close()  # the outputs are alive until here
            del outputs

    def _train(self, tracer: Tracer) -> None:
        about = self.settings.optimizer
        optimizer = _optimizer(self.module, self.settings)
        with tracer:
            inputs = self._inputs(tracer) | self._labels(tracer)
            for step in range(TRAINING_STEPS):
                for _ in range(about.accumulation):
                    with tracer.phase(StepPhase.FORWARD, step), self._kernels():
                        loss = self._loss(inputs)
                    with tracer.phase(StepPhase.BACKWARD, step):
                        loss.backward()
                        del loss
                with tracer.phase(StepPhase.OPTIMIZER, step):
                    optimizer.step()
                    _label_state(optimizer, tracer, self.settings)
                    optimizer.zero_grad(set_to_none=not about.holds_gradients)
            tracer.close()

    def _inputs(self, tracer: Tracer) -> dict[str, Any]:
        shape = (self.settings.batch_size, self.settings.sequence_length)
        names = ("input_ids",) if self._is_2019 else self.input_names
        fill = {"attention_mask": 1}
        made = {name: torch.full(shape, fill.get(name, 0), dtype=torch.int64) for name in names}
        if "input_ids" in made:
            made["input_ids"].fill_(5)
        tracer.label(made.values(), MemoryKind.ACTIVATIONS)
        return made

    def _labels(self, tracer: Tracer) -> dict[str, Any]:
        batch, length = self.settings.batch_size, self.settings.sequence_length
        if self.task == FEATURES:
            return {}
        if self.task == "question-answering":
            names = ("start_positions", "end_positions")
            made = {name: torch.zeros(batch, dtype=torch.int64) for name in names}
        else:
            shape = (batch, length) if self.task in _PER_TOKEN else (batch,)
            made = {"labels": torch.zeros(shape, dtype=torch.int64)}
        tracer.label(made.values(), MemoryKind.ACTIVATIONS)
        return made

    @property
    def _is_2019(self) -> bool:
        return self.settings.operators == "2019"

    def _call(self, inputs: dict[str, Any]) -> Any:
        if self._is_2019:
            return bert_2019.FromIds(self.module)(**inputs)
        if self.settings.keeps_cache:
            return self.module(**inputs, use_cache=True)
        return self.head(**inputs)

    def _loss(self, inputs: dict[str, Any]) -> Any:
        if self.task == FEATURES:  # no head and no labels: any number that needs every output
            return self._call(inputs)[0].float().pow(2).mean()
        if self._is_2019:
            inputs = dict(inputs)
            labels = inputs.pop("labels")
            logits = self._call(inputs).logits
            return torch.nn.functional.cross_entropy(logits, labels)
        return self.module(**inputs).loss

    @contextlib.contextmanager
    def _kernels(self) -> Iterator[None]:
        """The kernels of the device, and autocast."""
        settings = self.settings
        if settings.device == "cuda":
            kernels = CudaKernels(settings.attention, settings.autocast)
            with kernels:
                yield
            kernels.end_autocast()
        elif settings.autocast is not None:
            with torch.autocast("cpu", getattr(torch, settings.autocast)):
                yield
        else:
            yield


def _checkpoint(module: Any, settings: Settings) -> None:
    """Recompute layers in the backward pass, on a GPU with its kernels. Autocast is then on
    for one layer at a time, so that no weight stays cast; torch restores a CPU's by itself."""

    def contexts() -> tuple[Any, Any]:
        kernels = CudaKernels(settings.attention, settings.autocast, caches_weights=False)
        return contextlib.nullcontext(), kernels

    is_gpu = settings.device == "cuda"
    checkpointing.set_how(module, settings.checkpointing, contexts if is_gpu else None)


def _optimizer(module: Any, settings: Settings) -> Any:
    about = settings.optimizer
    options = {"foreach": about.loop == "foreach", "fused": about.loop == "fused"}
    kind: Callable[..., Any] = torch.optim.AdamW if about.name == "adamw" else torch.optim.SGD
    return kind(module.parameters(), lr=1e-3, **options)


def _label_state(optimizer: Any, tracer: Tracer, settings: Settings) -> None:
    """The state belongs to the optimizer; its step counters are on the host unless it is fused."""
    for state in optimizer.state.values():
        tracer.label(state.values(), MemoryKind.OPTIMIZER)
        if settings.device == "cuda" and settings.optimizer.loop != "fused" and "step" in state:
            tracer.hide([state["step"]])
