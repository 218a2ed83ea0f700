"""int4 weights in groups of 32 with a scale and a zero each; activations stay fp32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends.base import LoadRequest
from honed.backends.torch import modules
from honed.case import Case

MODES = ("eager", "compile", "aoti", "torchscript")
DEVICES = ("cpu",)


def check(_: Case) -> None:
    """torch's own kernel; without AVX-512 or AVX2 it is slow, and right."""


def artifact(_: LoadRequest) -> Mapping[str, Any] | None:
    return None


def build(_: LoadRequest, __: Path) -> None:
    """Quantised where it runs: that takes a second."""


def module(request: LoadRequest, _: Path | None) -> Any:
    from honed.backends.torch.int4_linear import quantise

    return quantise(modules.wrapped(request))
