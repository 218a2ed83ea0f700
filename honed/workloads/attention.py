"""One attention operator alone, without a model: forward and backward at given shapes."""

from __future__ import annotations

from honed.case import Case
from honed.knob import Knob, Span
from honed.models.checkpoint import Checkpoint
from honed.step import FORWARD, StepKind
from honed.workloads import _phased
from honed.workloads.base import Batch, Work

HELP = "attention alone (naive, fused, compiled or your own): forward, backward and memory"

_OWN = ("attention",)
D_MODEL = Knob("d_model", "width of queries, keys and values; unset: 64", Span(1, 2**16),
               scale="log2", workloads=_OWN)  # fmt: skip
NUM_HEADS = Knob("num_heads", "heads that share d_model; unset: 1", Span(1, 4096),
                 workloads=_OWN)  # fmt: skip
ATTENTION = Knob("attention",
                 "which implementation; sdpa leaves the kernel to the engine; unset: naive",
                 ("naive", "sdpa", "sdpa_flash", "sdpa_efficient", "sdpa_cudnn", "sdpa_math",
                  "flex", "compile"),
                 others=r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", others_help="module:callable",
                 workloads=_OWN)  # fmt: skip
CAUSAL = Knob("causal", "no token attends to later ones", ("on", "off"), workloads=_OWN)
KNOBS = (*_phased.KNOBS, D_MODEL, NUM_HEADS, ATTENTION, CAUSAL)
STEP = StepKind.KERNEL
PASSES = ("timing", "memory", "step_check", "traffic", "proofs")
sample = _phased.sample

_DEFAULT_WIDTH = 64
_FORWARD_PRODUCTS = 2  # the scores, and the weighted sum of the values
# The gradients of scores, values, queries and keys. Kernels that compute the scores again do more.
_BACKWARD_PRODUCTS = 4


def work_per_call(
    case: Case,
    model: Checkpoint | None,  # noqa: ARG001 - an operator has no model
    batch: Batch,
    skips_padding: bool,  # noqa: ARG001 - its inputs are not padded
) -> Work:
    """Every score counts, also with a causal mask."""
    rows, length = batch["attention_mask"].shape
    width = int(case.get(D_MODEL.name) or _DEFAULT_WIDTH)
    products = _FORWARD_PRODUCTS
    if case.get(_phased.UNTIL.name) != FORWARD:
        products += _BACKWARD_PRODUCTS
    return Work(tokens=rows * length, flops=float(products * 2 * rows * length**2 * width))
