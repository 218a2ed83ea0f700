"""The optimizers of training steps, in each of torch's implementations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Value

# Small, so that random labels do not drive the weights to infinity in a long run.
_RATE = 1e-5
_KERNELS = {
    "loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"fused": True},
}
# Tensors as large as the weights that a rule keeps from step to step.
_STATE_COPIES = {"adamw": 2, "sgd": 0}


def _rule(case: Case) -> str:
    return str(case.get("optimizer") or "adamw")


def check(case: Case) -> None:
    """Raise UnsupportedError for settings of an optimizer that never runs."""
    asked = [n for n in ("optimizer", "optimizer_kernel", "clipping") if case.get(n) is not None]
    if asked and case.get("until") in ("forward", "backward"):
        raise UnsupportedError(
            f"{asked[0]} has no effect with until={case.get('until')}",
            f"drop {asked[0]}, or until=optimizer",
        )


def state_copies(case: Case) -> int:
    return _STATE_COPIES[_rule(case)]


def optimizer(case: Case, parameters: Iterable[Any]) -> Any:
    """The optimizer of the Case. torch chooses the implementation where the Case does not."""
    import torch

    kernel = case.get("optimizer_kernel")
    options = _KERNELS[str(kernel)] if kernel is not None else {}
    rule = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[_rule(case)]
    return rule(parameters, lr=_RATE, **options)


def state_tensors(of: Any | None) -> list[Any]:
    """The tensors that the optimizer keeps from step to step; none without an optimizer."""
    states = of.state.values() if of is not None else ()
    return [value for state in states for value in state.values() if hasattr(value, "nbytes")]


def read_back(of: Any) -> dict[str, Value | None]:
    """The rule and the implementation, as the optimizer holds them."""
    group = of.param_groups[0]
    fused, foreach = group.get("fused"), group.get("foreach")
    if foreach is None and not fused:  # torch decides so in each step, for tensors on a GPU only
        foreach = all(p.is_cuda for p in group["params"])
    kernel = "fused" if fused else "foreach" if foreach else "loop"
    return {"optimizer": type(of).__name__.lower(), "optimizer_kernel": kernel}
