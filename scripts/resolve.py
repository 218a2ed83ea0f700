"""Do the extras resolve together on each Python? Asks the package index; installs nothing.

python scripts/resolve.py            every Python, everything at once: newest, then oldest allowed
python scripts/resolve.py 3.13 jax   one Python, one extra
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESOLUTIONS = (
    "highest",
    "lowest-direct",
)  # the newest versions, and the oldest that pyproject.toml allows
PYTHONS = ("3.11", "3.12", "3.13")
# Only wheels: users do not compile packages.
_HOW = ("--only-binary", ":all:", "--python-platform", "x86_64-manylinux_2_28", "--no-header",
        "--no-annotate", "--quiet")  # fmt: skip


def resolved(python: str, extra: str, which: str) -> list[str]:
    """`name==version` of everything that honed[extra] brings; SystemExit with why it cannot be."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", str(ROOT / "pyproject.toml"), "--extra", extra]
    try:
        done = subprocess.run(
            [*command, "--python-version", python, "--resolution", which, *_HOW],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        sys.exit("uv is not installed: pip install uv")
    if done.returncode:
        sys.exit(f"honed[{extra}] ({which}) does not resolve on Python {python}:\n{done.stderr}")
    return re.findall(r"^[A-Za-z0-9._-]+==\S+", done.stdout, re.MULTILINE)


def main(words: list[str]) -> None:
    pythons = [w for w in words if re.fullmatch(r"3\.\d+", w)] or list(PYTHONS)
    extras = [w for w in words if w not in pythons] or ["all"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = " ".join(r for rs in project["optional-dependencies"].values() for r in rs)
    for python, extra, which in itertools.product(pythons, extras, RESOLUTIONS):
        pins = resolved(python, extra, which)
        shown = [p for p in pins if re.search(rf"(^| ){re.escape(p.split('==')[0])}\W", named)]
        print(f"Python {python}, honed[{extra}], {which}: {len(pins)} packages: {' '.join(shown)}")


if __name__ == "__main__":
    main(sys.argv[1:])
