"""Wheels small enough to be written by a test, so that real installers have something to do."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> Path:
    """NAME-VERSION-py3-none-any.whl with one module that knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            wheel.writestr(inside, text)
    return path


def write_index(folder: Path) -> Path:
    """All there is to be had: numpy, an engine in two versions, and one that cannot be."""
    write_wheel(folder, "numpy", "1.0")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "oldengine", version)
    write_wheel(folder, "needy", "1.0", requires=("a_package_that_is_nowhere",))
    return folder


def offline(home: Path, wheels: Path) -> dict[str, str]:
    """What makes honed keep environments in `home`, and installers see `wheels` alone."""
    return {
        "HONED_HOME": str(home),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheels),
    }


def _hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
