"""The releases of a package that the index has for this interpreter."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence

from honed.environments.installer import InstallError
from honed.errors import NotInstalledError

_LISTED = re.compile(r"^\s*Available versions:\s*(.+)$", re.MULTILINE)


def releases(package: str, options: Sequence[str] = ()) -> tuple[str, ...]:
    """Every release with a file for this Python and this machine, the newest first, without
    pre-releases. `options` are pip's: another index. Raises InstallError if the index has none."""
    if importlib.util.find_spec("pip") is None:
        raise NotInstalledError(
            "the index is asked through pip, which is not installed here",
            f"python -m ensurepip, or name the releases: versions={package}==1.0,1.1",
        )
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--no-input", *options]
    command += ["--disable-pip-version-check"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    listed = _LISTED.search(done.stdout)
    if listed is None:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no answer"]
        raise InstallError(
            f"the index lists no release of {package} for this Python: {said[0]}",
            "is the name right, and the index reachable? pip config list shows which one it is",
        )
    return tuple(version.strip() for version in listed[1].split(","))
