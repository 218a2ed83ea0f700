"""Training steps: forward, backward and optimizer, each timed between synchronised boundaries."""

from __future__ import annotations

from dataclasses import replace

from honed.case import Case
from honed.knob import Knob, Span
from honed.models.checkpoint import Checkpoint
from honed.step import FORWARD, StepKind
from honed.workloads import _phased
from honed.workloads.base import Batch, Work, forward_work

HELP = "forward, backward and optimizer of a model on random data, timed apart and together"

_OWN = ("train_step", "max_batch")
RULE = Knob("optimizer", "the rule that changes the weights; unset: adamw",
            ("adamw", "sgd"), workloads=_OWN)  # fmt: skip
OPTIMIZER_KERNEL = Knob("optimizer_kernel",
                        "how the rule is computed: tensor after tensor, many tensors in one "
                        "operator, or one fused kernel; unset: the engine chooses",
                        ("loop", "foreach", "fused"), workloads=_OWN)  # fmt: skip
ACCUMULATION = Knob("accumulation_steps",
                    "split the batch into this many parts, whose gradients are added up",
                    Span(1, 4096), workloads=_OWN)  # fmt: skip
CLIPPING = Knob("clipping", "scale the gradients down to a norm of at most 1",
                ("on", "off"), workloads=_OWN)  # fmt: skip
CHECKPOINTING = Knob("checkpointing",
                     "keep only the inputs of each block, or of groups of blocks (nested), and "
                     "compute the other activations again in the backward pass",
                     ("off", "blocks", "nested"), workloads=_OWN)  # fmt: skip
KNOBS = (*_phased.KNOBS, RULE, OPTIMIZER_KERNEL, ACCUMULATION, CLIPPING, CHECKPOINTING)
STEP = StepKind.TRAINING
PASSES = ("timing", "memory", "step_check", "proofs")
sample = _phased.sample

# The backward pass computes two products for each one of the forward pass: the gradient of the
# weights and that of the inputs.
_BACKWARD_PRODUCTS = 2


def work_per_call(case: Case, model: Checkpoint | None, batch: Batch, skips_padding: bool) -> Work:
    """The products of the phases that run. Those that checkpointing repeats are not counted, so
    FLOP/s are of useful arithmetic."""
    work = forward_work(model, batch, skips_padding)
    if work.flops is None or case.get(_phased.UNTIL.name) == FORWARD:
        return work
    return replace(work, flops=work.flops * (1 + _BACKWARD_PRODUCTS))
