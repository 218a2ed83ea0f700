"""From a model and settings to its timeline, by tracing the model's own code on fake tensors."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from honed.errors import HonedError, UnsupportedError
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


def trace(subject: Subject, settings: Settings) -> Trace:
    """The timeline of `settings`; UntraceableError if the model's code cannot be traced."""
    from honed.models.torch.tracer import Tracer
    from honed.plan.fakes import fake_mode, fake_module, taken_for_real
    from honed.plan.program import Program, attention_name, with_head

    with _explained(subject), taken_for_real(), _without_collection():
        fakes = fake_mode()
        attention = attention_name(settings)
        fake = fake_module(subject.model, subject.task, settings.dtype, attention, fakes)
        with fakes if subject.layers else contextlib.nullcontext():
            module, head = with_head(fake, subject.task, subject.pooling, settings, subject.layers)
        parameters = list(head.parameters())
        tracer = Tracer()
        program = Program(module, head, subject.task, subject.input_names, settings)
        with fakes:
            program.run(tracer)
        return Trace(
            tracer.timeline(),
            sum(int(p.numel()) for p in parameters),
            sum(int(p.nbytes) for p in parameters),
        )


@contextlib.contextmanager
def _explained(subject: Subject) -> Iterator[None]:
    """Turn what fake tensors cannot do into UntraceableError."""
    from torch._subclasses import fake_tensor

    from honed.models.torch.tracer import ValueNeededError
    from honed.plan.cuda import FlashUnavailableError

    try:
        yield
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
    """Garbage in circles stays alive, so that equal plans give equal timelines."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def subject_of(model: Checkpoint | Preset, name: str, task: str, pooling: str) -> Subject:
    """The subject; token types are an input where the model has several."""
    return Subject(model, name, task, pooling, input_names(model))
