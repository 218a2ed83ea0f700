"""Import OpenVINO. Every other file imports it through this one."""

from __future__ import annotations

import os
import sys
from typing import Any

# oneTBB opens its hwloc binding with RTLD_DEEPBIND. hwloc then frees with glibc's allocator what a
# preloaded allocator had allocated, and the process dies. With this variable oneTBB omits the flag
# (uxlfoundation/oneTBB, issues 1636 and 1645).
PRELOAD_ENVIRONMENT = {"TBB_ENABLE_SANITIZERS": "1"}


def import_openvino() -> Any:
    """The package, without its telemetry, which would write to the home folder and send data.

    OpenVINO and NNCF both work if the telemetry package cannot be imported.
    """
    for name, value in PRELOAD_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
