"""torch's profiler: the operators of one call, each with its module, phase and FLOPs.

An operator belongs to the innermost module whose forward method it runs in. In the backward pass
it belongs to the module of the forward operator that it is the derivative of: both have the same
sequence number of autograd.

On a GPU an operator only starts kernels, and its time is theirs.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honed.backends.torch.phases import MARK
from honed.profile import BETWEEN, OperatorEvent
from honed.step import FORWARD

_MODULE = "honed.module:"
_BACKWARD_NODE = "autograd::engine::evaluate_function: "
_BYTES = {
    "float": 4, "double": 8, "c10::BFloat16": 2, "c10::Half": 2, "long int": 8, "long": 8,
    "int": 4, "bool": 1, "signed char": 1, "unsigned char": 1,
}  # fmt: skip
Shapes = Sequence[Sequence[int]]


def _product(left: Sequence[int], right: Sequence[int]) -> int:
    """[..., m, k] @ [..., k, n]; a multiply-add counts as two."""
    return 2 * math.prod(left) * right[-1]


def _fused(query: Sequence[int], key: Sequence[int], products: int) -> int:
    """Attention over [batch, heads, length, width]: `products` of the size of the scores'."""
    return products * 2 * math.prod(query) * key[-2]


# Operator -> FLOPs by the shapes of its inputs. The backward pass of fused attention computes the
# scores again, so it has five products where separate operators have four.
_FLOPS: Mapping[str, Callable[[Shapes], int]] = {
    "aten::mm": lambda s: _product(s[0], s[1]),
    "aten::bmm": lambda s: _product(s[0], s[1]),
    "aten::addmm": lambda s: _product(s[1], s[2]),
    "aten::baddbmm": lambda s: _product(s[1], s[2]),
    **{
        f"aten::_scaled_dot_product_{name}": lambda s: _fused(s[0], s[1], 2)
        for name in ("flash_attention_for_cpu", "flash_attention", "efficient_attention")
    },
    **{
        f"aten::_scaled_dot_product_{name}_backward": lambda s: _fused(s[1], s[2], 5)
        for name in ("flash_attention_for_cpu", "flash_attention", "efficient_attention")
    },
}


@dataclass(slots=True)
class _Node:
    """An event of the profiler on a CPU, and what it encloses. `own_ns` leaves that out."""

    event: Any
    parent: _Node | None
    module: str = ""
    phase: str = ""
    depth: int = 0
    own_ns: int = 0

    @property
    def name(self) -> str:
        return str(self.event.name())

    @property
    def taken_ns(self) -> int:
        return _taken_ns(self.event)

    @property
    def is_phase(self) -> bool:
        """Whether it is the whole call or one of its phases."""
        return self.name.startswith(MARK) and not self.name.startswith(_MODULE)


def profile_call(call: Callable[[], Any], module: Any | None) -> list[OperatorEvent]:
    """The operators of one call. `module` is hooked so that its parts show; None for compiled
    code, which has no modules any more."""
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    with (
        _marked(module),
        profile(activities=activities, record_shapes=True) as profiled,
        record_function(MARK),
    ):
        call()
    return _events(list(profiled.profiler.kineto_results.events()))


@contextlib.contextmanager
def _marked(module: Any | None) -> Iterator[None]:
    """Each part of the module tells the profiler when its forward method begins and ends."""
    from torch.profiler import record_function

    handles, entered = [], []

    def enter(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            entered.append(record_function(_MODULE + name))
            entered[-1].__enter__()

        return hook

    def leave(*_: Any) -> None:
        entered.pop().__exit__(None, None, None)

    for name, part in module.named_modules() if module is not None else ():
        handles.append(part.register_forward_pre_hook(enter(name)))
        # Checkpointing ends a forward method by an exception, once it has what it needs.
        handles.append(part.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _events(raw: Sequence[Any]) -> list[OperatorEvent]:
    roots = [e for e in raw if e.name() == MARK and _is_on_cpu(e)]
    if not roots:
        return []
    root = max(roots, key=_taken_ns)
    thread, kernels_ns = root.start_thread_id(), _kernels(raw)
    # On a GPU the backward pass runs in another thread, for which the calling one waits.
    on_cpu = (e for e in raw if _is_on_cpu(e) and (kernels_ns or e.start_thread_id() == thread))
    nodes = _tree(list(on_cpu), root)
    _name(nodes)
    if kernels_ns:
        nodes = _with_kernels(nodes, kernels_ns)
    origin = root.start_ns()
    return [_event(node, origin) for node in nodes]


def _taken_ns(event: Any) -> int:
    return int(event.end_ns() - event.start_ns())


def _is_on_cpu(event: Any) -> bool:
    return "CPU" in str(event.device_type()) and event.name() != "[memory]"


def _kernels(raw: Sequence[Any]) -> Counter[int]:
    """The nanoseconds of kernels on a GPU, by the number of the operator that started them. The
    ranges of a program are listed on the GPU too, and are no kernels."""
    taken_ns: Counter[int] = Counter()
    for event in raw:
        if "CUDA" in str(event.device_type()) and not event.is_user_annotation():
            taken_ns[event.linked_correlation_id()] += _taken_ns(event)
    return taken_ns


def _with_kernels(nodes: Sequence[_Node], kernels_ns: Mapping[int, int]) -> list[_Node]:
    """The operators that started kernels, and the phases, whose own time is when no kernel ran."""
    for node in nodes:
        is_phase = node.is_phase
        node.own_ns = node.taken_ns if is_phase else kernels_ns.get(node.event.correlation_id(), 0)
        above = node.parent
        while above is not None and not above.is_phase:
            above = above.parent
        if above is not None:
            above.own_ns -= node.own_ns
    return [node for node in nodes if node.own_ns > 0]


def _tree(events: Sequence[Any], root: Any) -> list[_Node]:
    """The events within the root in the order of their beginnings, each under its innermost
    enclosing one. An event that is listed twice is kept once."""
    inside = [e for e in events if root.start_ns() <= e.start_ns() and e.end_ns() <= root.end_ns()]
    inside.sort(key=lambda e: (e.start_ns(), -e.end_ns()))
    nodes: list[_Node] = []
    open_nodes: list[_Node] = []
    for event in inside:
        while open_nodes and open_nodes[-1].event.end_ns() < event.end_ns():
            open_nodes.pop()
        parent = open_nodes[-1] if open_nodes else None
        if parent is not None and _is_same(parent.event, event):
            continue
        node = _Node(event, parent, depth=len(open_nodes), own_ns=_taken_ns(event))
        if parent is not None:
            parent.own_ns -= node.taken_ns
        nodes.append(node)
        open_nodes.append(node)
    return nodes


def _is_same(one: Any, other: Any) -> bool:
    return all(
        getattr(one, fact)() == getattr(other, fact)() for fact in ("name", "start_ns", "end_ns")
    )


def _name(nodes: Sequence[_Node]) -> None:
    """Give every node its phase and module, parents before children."""
    modules_by_sequence: dict[int, str] = {}
    for node in nodes:
        above = node.parent
        node.phase = above.phase if above is not None else FORWARD
        node.module = above.module if above is not None else ""
        name = node.name
        if name.startswith(_MODULE):
            node.module = name.removeprefix(_MODULE)
        elif name.startswith(MARK) and name != MARK:
            node.phase = name.removeprefix(MARK)
        elif name.startswith(_BACKWARD_NODE):
            node.module = modules_by_sequence.get(node.event.sequence_nr(), "")
        elif node.phase == FORWARD and node.event.sequence_nr() >= 0:
            # The number is that of the next derivative: the last operator to have it makes it.
            modules_by_sequence[node.event.sequence_nr()] = node.module


def _event(node: _Node, origin_ns: int) -> OperatorEvent:
    name = node.name
    is_range = name.startswith(MARK)
    shapes = [list(shape) for shape in node.event.shapes()] if not is_range else []
    return OperatorEvent(
        op=BETWEEN if is_range else name.removeprefix(_BACKWARD_NODE),
        module=node.module, phase=node.phase, began_s=(node.event.start_ns() - origin_ns) / 1e9,
        total_s=node.taken_ns / 1e9, self_s=node.own_ns / 1e9, depth=node.depth,
        flops=_FLOPS[name](shapes) if name in _FLOPS else None,
        bytes=None if is_range else _bytes(shapes, list(node.event.dtypes())),
    )  # fmt: skip


def _bytes(shapes: Shapes, dtypes: Sequence[str]) -> int | None:
    """The bytes of the input tensors; None where there are none."""
    sizes = [
        math.prod(shape) * _BYTES[kind]
        for shape, kind in zip(shapes, dtypes, strict=False)
        if shape and kind in _BYTES
    ]
    return sum(sizes) if sizes else None
