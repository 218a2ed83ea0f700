"""The tracer: it logs the birth and the death of every tensor storage while torch code runs.

`honed plan` runs the code on fake tensors, which have shapes and lifetimes but no memory, and
`honed memory` on real ones.
Lifetimes are those of Python and of autograd: a tensor that a forgotten local name holds counts.
This file imports torch, so other files import it inside functions.
"""

from __future__ import annotations

import bisect
import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from honed.timeline import Block, MemoryKind, Span, StepPhase, Timeline


@dataclass(slots=True)
class _Draft:
    """A Block whose kind and death are not known yet."""

    size_bytes: int
    kind: MemoryKind
    born: int
    op: str
    module: str
    phase: StepPhase
    died: int | None = None
    is_hidden: bool = False


class Tracer(TorchDispatchMode):  # type: ignore[misc]  # torch is not type-checked here
    """A dispatch mode: inside `with tracer:` every operator's new storages are logged.

    `watch(module)` must come before, so that blocks get the names of modules. Phases are set by
    `with tracer.phase(...)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._drafts: list[_Draft] = []
        self._alive: dict[int, tuple[int, Any]] = {}  # storage -> its draft, and a weak reference
        self._tick = 0
        self._spans: list[Span] = []
        self._phase = StepPhase.SETUP
        # The modules that are running, innermost last, each with the drafts born directly in it.
        self._running: list[tuple[str, list[int]]] = [("", [])]
        # Autograd numbers its nodes in the order of the forward pass. A node of the backward pass
        # belongs to the module that was running when its number was given.
        self._numbers: list[int] = []
        self._owners: list[str] = []
        self._hooks: list[Any] = []
        self._is_closed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.logged(func, args, kwargs)

    def logged(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run one operator and log its new storages."""
        outputs = func(*args, **(kwargs or {}))
        if isinstance(outputs, torch.Tensor):
            self._see(outputs, func)
        elif isinstance(outputs, list | tuple):
            for output in outputs:
                if isinstance(output, torch.Tensor):
                    self._see(output, func)
        return outputs

    def watch(self, module: Any) -> None:
        """Log the weights and buffers of `module`, and follow which of its parts is running."""
        for tensor in _in_order_of_moving(module):
            self.add(tensor, MemoryKind.WEIGHTS)
        for name, part in module.named_modules():
            self._hooks += [
                part.register_forward_pre_hook(self._enter(name)),
                part.register_forward_hook(self._leave, always_call=True),
            ]
        for parameter in module.parameters():
            if parameter.requires_grad:
                self._hooks.append(
                    parameter.register_post_accumulate_grad_hook(
                        lambda p: self.label([p.grad], MemoryKind.GRADIENTS)
                    )
                )

    def unwatch(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def add(self, tensor: Any, kind: MemoryKind) -> None:
        """Log a tensor that was made outside the mode."""
        self._see(tensor, None)
        self.label([tensor], kind)

    def label(self, tensors: Iterable[Any], kind: MemoryKind) -> None:
        """Give the storages of `tensors` another kind."""
        for draft in self._drafts_of(tensors):
            draft.kind = kind

    def hide(self, tensors: Iterable[Any]) -> None:
        """Leave the storages of `tensors` out of the timeline, because another device has them."""
        for draft in self._drafts_of(tensors):
            draft.is_hidden = True

    def take(self, size_bytes: int, kind: MemoryKind, op: str) -> Callable[[], None]:
        """Log memory that is no tensor; returns the function that logs its release."""
        index = self._born(size_bytes, op, kind)
        return lambda: self._died(index)

    @contextlib.contextmanager
    def phase(self, phase: StepPhase, step: int = 0) -> Iterator[None]:
        """Everything inside belongs to this phase of this step."""
        before, begin = self._phase, self._tick
        self._phase = phase
        try:
            yield
        finally:
            born = self._running[-1][1]
            if phase is StepPhase.FORWARD:
                self._settle(born)
            born.clear()
            self._spans.append(Span(phase, begin, self._tick, step))
            self._phase = before

    def close(self) -> None:
        """End the log: what dies from now on is alive at the end of the timeline."""
        self._is_closed = True

    def timeline(self) -> Timeline:
        """What was logged."""
        blocks = (
            Block(d.size_bytes, d.kind, d.born, d.died, d.op, d.module, d.phase)
            for d in self._drafts
            if not d.is_hidden
        )
        return Timeline(tuple(blocks), self._tick, tuple(self._spans))

    def _drafts_of(self, tensors: Iterable[Any]) -> Iterator[_Draft]:
        for tensor in tensors:
            if isinstance(tensor, torch.Tensor):
                known = self._alive.get(tensor.untyped_storage()._cdata)
                if known is not None:
                    yield self._drafts[known[0]]

    def _see(self, tensor: Any, func: Any) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        op = "" if func is None else f"{func.namespace}.{func._opname}"
        index = self._born(storage.nbytes(), op, MemoryKind.TEMPORARIES)

        def gone(_: Any) -> None:
            del self._alive[key]
            if not self._is_closed:
                self._died(index)

        self._alive[key] = index, weakref.ref(storage, gone)

    def _born(self, size_bytes: int, op: str, kind: MemoryKind) -> int:
        index = len(self._drafts)
        draft = _Draft(size_bytes, kind, self._tick, op, self._module(), self._phase)
        self._drafts.append(draft)
        self._running[-1][1].append(index)
        self._tick += 1
        return index

    def _died(self, index: int) -> None:
        self._drafts[index].died = self._tick
        self._tick += 1

    def _module(self) -> str:
        """The running module; in the backward pass, the one whose gradient is computed."""
        if self._running[-1][0] or self._phase is not StepPhase.BACKWARD:
            return self._running[-1][0]
        node = torch._C._current_autograd_node()
        if node is None:
            return ""
        place = bisect.bisect_right(self._numbers, node._sequence_nr()) - 1
        return self._owners[place] if place >= 0 else ""

    def _enter(self, name: str) -> Callable[[Any, Any], None]:
        def enter(_: Any, __: Any) -> None:
            self._running.append((name, []))
            self._now_runs(name)

        return enter

    def _leave(self, _: Any, __: Any, ___: Any) -> None:
        _, born = self._running.pop()
        self._settle(born)
        self._now_runs(self._running[-1][0])

    def _now_runs(self, name: str) -> None:
        self._numbers.append(torch.autograd._get_sequence_nr())
        self._owners.append(name)

    def _settle(self, born: list[int]) -> None:
        """What outlives the module that made it is an activation, also when it is recomputed."""
        for index in born:
            draft = self._drafts[index]
            if draft.died is None and draft.kind is MemoryKind.TEMPORARIES:
                draft.kind = MemoryKind.ACTIVATIONS


def _in_order_of_moving(module: Any) -> Iterator[Any]:
    """Weights and buffers in the order in which `module.to(device)` allocates them."""
    for child in module.children():
        yield from _in_order_of_moving(child)
    for tensor in [*module._parameters.values(), *module._buffers.values()]:
        if tensor is not None:
            yield tensor
