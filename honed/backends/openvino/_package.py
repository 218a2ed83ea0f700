"""The one place that imports OpenVINO."""

from __future__ import annotations

import os
import sys
from typing import Any

# oneTBB opens its hwloc binding with RTLD_DEEPBIND, so that hwloc frees with glibc what libc got
# from a preloaded allocator: the process dies. With this variable TBB leaves the flag out
# (uxlfoundation/oneTBB, issues 1636 and 1645).
PRELOAD_ENVIRONMENT = {"TBB_ENABLE_SANITIZERS": "1"}


def import_openvino() -> Any:
    """The package, without its telemetry: it would write to the home folder and call home.

    Both it and NNCF put up with a telemetry package that cannot be imported.
    """
    for name, value in PRELOAD_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
