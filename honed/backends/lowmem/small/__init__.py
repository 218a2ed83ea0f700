"""The streaming schedule in numpy alone, for machines where the whole process counts."""

from __future__ import annotations

from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import SpawnEffect

NAME = "small"
# The BLAS of numpy starts no threads of its own, which would only take memory: see team.py.
ENVIRONMENT = SpawnEffect({"HONED_LOWMEM_ENGINE": NAME, "OPENBLAS_NUM_THREADS": "1"})


def check(case: Case) -> None:
    """Raise UnsupportedError for settings of the other engine."""
    for name, value in case.knobs.items():
        if name.startswith("lowmem.") and (name, value) not in _KNOWN:
            raise UnsupportedError(
                f"lowmem.engine={NAME} has no {name}={value}",
                f"leave {name} out, or lowmem.engine=torch",
            )


_KNOWN = {
    ("lowmem.engine", NAME), ("lowmem.strategy", "stream"),
    ("lowmem.pages", "released"), ("lowmem.pages", "kept"),
}  # fmt: skip
