"""A virtual environment that can import some packages and what they require, and nothing else."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sysconfig
import venv
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from honed import artifacts

# Loads a delivered folder, runs the batch of its check, and reads texts if there are any.
_SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
folder, texts = Path(sys.argv[1]), json.loads(sys.argv[2])
sys.path.insert(0, str(folder))
from load import Model
model = Model()
with np.load(folder / "check.npz") as stored:
    arrays = dict(stored)
batch = {n[6:]: a for n, a in arrays.items() if n.startswith("input/")}
outputs = model.engine(batch)
cosines = []
for name, got in outputs.items():
    wanted = arrays["output/" + name].astype(np.float64).reshape(len(got), -1)
    got = np.asarray(got, np.float64).reshape(len(got), -1)
    norms = np.linalg.norm(wanted, axis=1) * np.linalg.norm(got, axis=1)
    cosines.append(float(((wanted * got).sum(axis=1) / norms).min()))
vectors = next(iter(model(texts).values())).tolist() if texts else []
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"cosine_min": min(cosines), "vectors": vectors, "modules": names}))
"""


def make(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a new environment in `folder`. Its packages are links to those that are
    installed here."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python3*/site-packages")
    for package in closure(packages):
        _link(package, site)
    return folder / "bin" / "python"


def closure(packages: Sequence[str]) -> list[Distribution]:
    """The packages and all that they require, as pip would install them."""
    found: dict[str, Distribution] = {}
    waiting = list(packages)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            if name in map(canonicalize_name, packages):
                raise
            continue  # not needed by what the engine does here
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return list(found.values())


def answer(folder: Path, python: Path, texts: Sequence[str] = ()) -> dict[str, Any]:
    """What the delivered folder answers in that environment: the least cosine of its check, the
    vectors of texts, and the modules that were imported."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR", "LANG")}
    command = [str(folder / "run"), str(python), "-BI", "-c", _SCRIPT, str(folder)]
    done = subprocess.run(
        [*command, json.dumps(list(texts))], capture_output=True, text=True, env=kept
    )
    if done.returncode:
        raise RuntimeError(f"the bare environment failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def folders_named(deployed: Path) -> list[str]:
    """The files of a delivered folder that name a folder of this machine, and which one."""
    places = {
        f"{Path.home()}/",
        f"{Path(__file__).resolve().parents[1]}",
        sysconfig.get_path("purelib"),
        f"{distribution('numpy').locate_file('')}",
        f"{artifacts.root()}",
        f"{deployed.parent.resolve()}",
        f"torchinductor_{getpass.getuser()}",
    }
    contents = {path: path.read_bytes() for path in deployed.rglob("*") if path.is_file()}
    return [
        f"{path.relative_to(deployed)} names {place}"
        for path, content in contents.items()
        for place in sorted(places)
        if place.encode() in content
    ]


def _link(package: Distribution, site: Path) -> None:
    tops = {path.parts[0] for path in package.files or ()} - {"..", "__pycache__"}
    for name in tops:
        source, target = Path(str(package.locate_file(name))), site / name
        if source.exists() and not target.exists():
            target.symlink_to(source)
