"""The `smt` knob: whether an instance may use the second hardware thread of a core."""

from __future__ import annotations

from honed.knob import Knob
from honed.machine import affinity
from honed.machine import topology as machine_topology


def _smt_here() -> str:
    """Whether this process's threads may run on two siblings of one core."""
    allowed = set(affinity.allowed_cpus())
    shared = any(
        len({c.id for c in core} & allowed) > 1 for core in machine_topology.read().cores()
    )
    return "on" if shared else "off"


def _no_siblings() -> str:
    paired = any(len(core) > 1 for core in machine_topology.read().cores())
    return "" if paired else "every core has one thread"


KNOBS = (
    Knob(
        name="smt",
        help="whether second siblings of physical cores may be used (first ones go first)",
        values=("off", "on"),
        phase="spawn",
        read_back=_smt_here,
        moot=_no_siblings,
        # "on" allows siblings; an ask that fits without them gets none.
        proves=lambda asked, got: asked in ("on", got),
    ),
)
