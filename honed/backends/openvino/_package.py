"""The one place that imports OpenVINO."""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """The package, without its telemetry: it would write to the home folder and call home.

    Both it and NNCF put up with a telemetry package that cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
