"""Which mode and which precision a Case means, and whether the two go together."""

from __future__ import annotations

from pathlib import Path

from honed import discovery
from honed.backends.base import LoadRequest
from honed.backends.torch.modes.base import Mode, Runner
from honed.backends.torch.precisions.base import Precision
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import AVAILABLE, Availability, Knob, Value

_MODES = "honed.backends.torch.modes"
_PRECISIONS = "honed.backends.torch.precisions"


def _mode(name: Value) -> Mode:
    mode: Mode = discovery.load(_MODES, str(name)).MODE
    return mode


def _mode_available(value: Value) -> Availability:
    return _mode(value).available()


def _int8_available(value: Value) -> Availability:
    from honed.backends.torch.precisions import int8_static

    return int8_static.available() if value == "static" else AVAILABLE


MODE = Knob(
    name="torch.mode",
    help="how the module runs: eagerly (as unset), compiled here or ahead of time, or traced",
    values=discovery.names(_MODES),
    available_value=_mode_available,
)
BF16 = Knob(
    name="torch.bf16",
    help="bf16 weights (as unset), or fp32 weights that are cast for each product",
    values=("weights", "autocast"),
)
INT8 = Knob(
    name="torch.int8",
    help="ranges of activations: of each call (as unset), from calibration, or of each token",
    values=("dynamic", "static", "per_row"),
    available_value=_int8_available,
)
KNOBS = (MODE, BF16, INT8)
_KINDS = {"bf16": BF16, "int8": INT8}  # precision -> the knob that chooses its kind


def mode_of(case: Case) -> Mode:
    return _mode(case.get(MODE.name) or "eager")


def precision_name(case: Case) -> str:
    """The name of the precision's file: the word of the Case, and its kind if it has several."""
    knob = _KINDS.get(case.precision)
    if knob is None:
        return case.precision
    assert isinstance(knob.values, tuple)
    return f"{case.precision}_{case.get(knob.name) or knob.values[0]}"


def precision_of(case: Case) -> Precision:
    precision: Precision = discovery.load(_PRECISIONS, precision_name(case)).PRECISION
    return precision


def check(case: Case) -> None:
    """Raise UnsupportedError for a mode and a precision that do not go together."""
    for word, knob in _KINDS.items():
        if case.get(knob.name) is not None and case.precision != word:
            raise UnsupportedError(f"{knob.name} is about {word}", f"precision={word}")
    precision, mode = precision_of(case), str(case.get(MODE.name) or "eager")
    name = precision_name(case).replace("_", " ")
    if mode not in precision.modes:
        raise UnsupportedError(
            f"torch's {name} does not run in torch.mode={mode}",
            f"torch.mode={' or '.join(precision.modes)}{_other_kind(case, mode)}",
        )
    if case.device not in precision.devices:
        raise UnsupportedError(f"torch's {name} runs on CPUs only", "device=cpu")
    precision.check(case)


def _other_kind(case: Case, mode: str) -> str:
    """The end of a hint: another kind of the same precision that runs in this mode."""
    knob = _KINDS.get(case.precision)
    if knob is None or not isinstance(knob.values, tuple):
        return ""
    kinds = [
        kind
        for kind in knob.values
        if mode in precision_of(case.replace(knobs={knob.name: kind})).modes
    ]
    return f", or {knob.name}={kinds[0]}" if kinds else ""


def artifact(request: LoadRequest) -> dict[str, object] | None:
    """What the precision's and the mode's artifacts depend on; None if neither has one."""
    parts = (precision_of(request.case).artifact(request), mode_of(request.case).artifact(request))
    if parts == (None, None):
        return None
    joined: dict[str, object] = {"precision": precision_name(request.case)}
    for part in parts:
        joined |= part or {}
    return joined


def build(request: LoadRequest, folder: Path) -> None:
    precision, mode = precision_of(request.case), mode_of(request.case)
    precision.build(request, folder)
    if mode.artifact(request) is not None:
        mode.build(request, precision.module(request, folder), folder)


def runner(request: LoadRequest, folder: Path | None) -> Runner:
    precision = precision_of(request.case)
    return mode_of(request.case).runner(request, lambda: precision.module(request, folder), folder)


def is_calibrated(request: LoadRequest) -> bool:
    """Whether the artifact of the precision depends on the calibration batches."""
    return "calibration" in (precision_of(request.case).artifact(request) or {})
