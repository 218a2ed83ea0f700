"""Mixed precision observed: hooks read the type of each module's output, and its error."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from honed.mixed_precision import MixedPrecision, ModuleOutput
from honed.profile import like

_ADDEND, _ADDITIONS = 0.01, 1000
Outputs = dict[str, tuple[str, Any]]  # module -> the type of its input, and its output


def observe(
    module: Any, loss_of: Callable[[], Any], autocast: Any, *, backward: bool
) -> MixedPrecision:
    """Call `loss_of` in fp32 and inside the context that `autocast` makes, and compare."""
    with _outputs_of(module) as wide:
        wide_loss = loss_of()
        wide_gradients = _gradients(module, wide_loss, backward=backward)
    with _outputs_of(module) as narrow:
        with autocast():
            loss = loss_of()
        gradients = _gradients(module, loss, backward=backward)
    first = next(module.parameters())
    kind = next(iter(gradients.values()), None)
    return MixedPrecision(
        autocast=_least_type(output for _, output in narrow.values()),
        modules=_worst_of_like(module, wide, narrow),
        parameters=_name(first), loss=_name(loss),
        loss_relative_diff=_relative([wide_loss], [loss]),
        gradients=None if kind is None else _name(kind),
        gradient_relative_diff=(
            _relative([wide_gradients[n] for n in gradients], list(gradients.values()))
            if gradients else None
        ),
        accumulation=accumulation(),
    )  # fmt: skip


@contextlib.contextmanager
def _outputs_of(module: Any) -> Iterator[Outputs]:
    """Fills with the output of each module's last call."""
    outputs: Outputs = {}
    handles = []

    def keep(name: str) -> Callable[..., None]:
        def hook(_: Any, inputs: Any, named: Mapping[str, Any], output: Any) -> None:
            result = output[0] if isinstance(output, tuple) and output else output
            if _is_float(result):
                given = next((t for t in (*inputs, *named.values()) if _is_float(t)), None)
                outputs[name] = ("" if given is None else _name(given), result.detach().clone())

        return hook

    for name, part in module.named_modules():
        if name:
            handles.append(part.register_forward_hook(keep(name), with_kwargs=True))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _gradients(module: Any, loss: Any, *, backward: bool) -> dict[str, Any]:
    if not backward:
        return {}
    loss.backward()
    gradients = {
        name: p.grad.detach().clone()
        for name, p in module.named_parameters()
        if p.grad is not None
    }
    module.zero_grad(set_to_none=True)
    return gradients


def _worst_of_like(module: Any, wide: Outputs, narrow: Outputs) -> tuple[ModuleOutput, ...]:
    """One line for modules of equal name, kind and types, in the order of the model."""
    parts = dict(module.named_modules())
    worst: dict[tuple[str, ...], ModuleOutput] = {}
    for name, (given, output) in narrow.items():
        own = next(parts[name].parameters(recurse=False), None)
        of_module = ModuleOutput(
            like(name), type(parts[name]).__name__, given, "" if own is None else _name(own),
            _name(output), float((output.float() - wide[name][1].float()).abs().max()),
            _relative([wide[name][1]], [output]),
        )  # fmt: skip
        key = (of_module.module, of_module.kind, of_module.inputs, of_module.output)
        known = worst.get(key)
        if known is None or of_module.relative_diff > known.relative_diff:
            worst[key] = of_module
    return tuple(worst.values())


def _relative(wide: list[Any], narrow: list[Any]) -> float:
    """The norm of all differences over the norm of all fp32 values."""
    pairs = [(w.detach(), n.detach()) for w, n in zip(wide, narrow, strict=True)]
    difference = sum(float((n.double() - w.double()).square().sum()) for w, n in pairs)
    size = sum(float(w.double().square().sum()) for w, _ in pairs)
    return float((difference / size) ** 0.5) if size else 0.0


def accumulation() -> dict[str, float]:
    """A thousand times 0.01, summed in and from each type."""
    import torch

    sums = {}
    for total, addend in (
        ("float32", "float32"), ("float16", "float16"), ("float32", "float16"),
        ("bfloat16", "bfloat16"), ("float32", "bfloat16"),
    ):  # fmt: skip
        value = torch.tensor(0.0, dtype=getattr(torch, total))
        added = torch.tensor(_ADDEND, dtype=getattr(torch, addend))
        for _ in range(_ADDITIONS):
            value += added
        sums[f"{total} += {addend}"] = float(value)
    value = torch.tensor(0.0)
    added = torch.tensor(_ADDEND, dtype=torch.float16)
    for _ in range(_ADDITIONS):
        value += added.to(torch.float32)
    sums["float32 += float32(float16)"] = float(value)
    return sums


def _is_float(value: Any) -> bool:
    return hasattr(value, "is_floating_point") and bool(value.is_floating_point())


def _name(tensor: Any) -> str:
    return re.sub(r"^torch\.", "", str(tensor.dtype))


def _least_type(outputs: Iterator[Any]) -> str:
    """The narrowest type among the outputs."""
    return _name(min(outputs, key=lambda tensor: int(tensor.element_size())))
