"""From a model and settings to its timeline, by tracing the model's own code on fake tensors."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.errors import HonedError, ModelError, UnsupportedError
from honed.models.checkpoint import Checkpoint
from honed.models.heads import input_names
from honed.models.presets import Preset
from honed.models.sentence_modules import VectorLayer
from honed.plan.settings import Settings
from honed.timeline import Timeline


class UntraceableError(HonedError):
    """The model's code cannot run on fake tensors; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The model of a plan, with task and pooling resolved."""

    model: Checkpoint | Preset
    name: str
    task: str
    pooling: str
    input_names: tuple[str, ...]

    @property
    def layers(self) -> tuple[VectorLayer, ...]:
        """Those behind the pooling of a checkpoint."""
        return self.model.layers if isinstance(self.model, Checkpoint) else ()

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.model.config)


@dataclass(frozen=True, slots=True)
class Trace:
    """`parameters` counts tied weights once; `weights_bytes` are theirs, without buffers."""

    timeline: Timeline
    parameters: int
    weights_bytes: int


Modules = dict[tuple[object, ...], tuple[Any, Any, Any]]


def trace(subject: Subject, settings: Settings, modules: Modules | None = None) -> Trace:
    """The timeline of `settings`; UntraceableError if the model's code cannot be traced.

    `modules` keeps fake modules from trace to trace of one subject, because building one takes a
    large part of the time.
    """
    with _without_collection(), _explained(subject):
        return _traced(subject, settings, modules)


def _traced(subject: Subject, settings: Settings, modules: Modules | None) -> Trace:
    from honed.plan.fakes import FakeTracer, taken_for_real
    from honed.plan.program import Program

    with taken_for_real():
        fakes, module, head = _module(subject, settings, modules)
        parameters = list(head.parameters())
        for parameter in parameters:
            parameter.grad = None
        tracer = FakeTracer()
        program = Program(module, head, subject.task, subject.input_names, settings)
        with fakes:
            program.run(tracer)
        return Trace(
            tracer.timeline(),
            sum(int(p.numel()) for p in parameters),
            sum(int(p.nbytes) for p in parameters),
        )


def _module(subject: Subject, settings: Settings, modules: Modules | None) -> tuple[Any, Any, Any]:
    """The mode of the fake tensors, the module and honed's head around it."""
    from honed.plan.fakes import fake_mode, fake_module
    from honed.plan.program import attention_name, with_head

    key = (settings.dtype, settings.attention, settings.operators, settings.checkpointing,
           settings.weights)  # fmt: skip
    if modules is not None and key in modules:
        return modules[key]
    fakes = fake_mode()
    attention = attention_name(settings)
    fake = fake_module(subject.model, subject.task, settings.dtype, attention, fakes)
    with fakes if subject.layers else contextlib.nullcontext():
        head = with_head(fake, subject.task, subject.pooling, settings, subject.layers)
    built = (fakes, *head)
    if modules is not None and settings.weights == "resident":  # others leave their hooks behind
        modules[key] = built
    return built


@contextlib.contextmanager
def _explained(subject: Subject) -> Iterator[None]:
    """Turn what fake tensors cannot do into UntraceableError."""
    from torch._subclasses import fake_tensor

    from honed.plan.cuda import FlashUnavailableError
    from honed.plan.fakes import ValueNeededError

    try:
        yield
    except ModelError as error:
        raise UntraceableError(error.message, error.hint) from None
    except HonedError:
        raise
    except FlashUnavailableError as error:
        what = "an attention mask" if error.has_mask else error.dtype
        raise UnsupportedError(
            f"the flash kernel does not take {what}",
            "attention=sdpa" if error.has_mask else "precision=bf16, or attention=sdpa",
        ) from None
    except ValueNeededError as error:
        raise UntraceableError(f"{subject.name} depends on its data: {error}") from None
    except fake_tensor.DataDependentOutputException as error:
        raise UntraceableError(
            f"{subject.name} depends on its data: the value of {error.func} decides what it does"
        ) from None
    except fake_tensor.DynamicOutputShapeException as error:
        raise UntraceableError(
            f"{subject.name} depends on its data: the shape that {error.func} gives"
        ) from None
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UntraceableError(f"{subject.name} does not run on fake tensors: {first}") from error


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Garbage in circles stays alive, so that equal plans give equal timelines. What an earlier
    trace left is young: a full collection would search all of torch, which takes half a second.
    The first trace imports torch and transformers in here, which takes a tenth less time."""
    enabled = gc.isenabled()
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def subject_of(model: Checkpoint | Preset, name: str, task: str, pooling: str) -> Subject:
    """The subject; token types are an input where the model has several."""
    return Subject(model, name, task, pooling, input_names(model))
