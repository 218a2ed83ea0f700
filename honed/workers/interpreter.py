"""Another interpreter, examined before it measures: what it lacks, and what mends that."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from honed import environments
from honed.environments.installer import OLDEST
from honed.errors import NotInstalledError, UnsupportedError
from honed.plain import from_plain
from honed.workers import probe
from honed.workers.start import source_folder

_PROBE_S = 60  # a cold disk; a warm one takes a tenth of a second
_PACKAGES_HINT = "honed env create NAME PACKAGE..., then python=NAME"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that can measure: its version, and the versions of its packages that matter."""

    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Probed:
    """What the probe found: the version alone if it is too old, and no backend without numpy."""

    python: str
    numpy: bool = False
    ok: bool = False
    why: str = ""
    how: str = ""
    needs: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)


def examine(word: str, backend: str) -> Interpreter:
    """The interpreter that `python=word` means. UnsupportedError says what it lacks."""
    probed = _probe(word, environments.interpreter(word), backend)
    if tuple(int(n) for n in probed.python.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UnsupportedError(
            f"python={word} is Python {probed.python}: honed's worker needs {oldest} or newer",
            f"honed env create NAME PACKAGE... --python {oldest}",
        )
    if not probed.numpy:
        raise _lacking(word, "numpy not installed", ["numpy"], "")
    if not probed.ok:
        raise _lacking(word, f"{backend}: {probed.why}", probed.needs, probed.how)
    return Interpreter(probed.python, probed.packages)


def _lacking(word: str, what: str, needs: Sequence[str], how: str) -> UnsupportedError:
    if needs:
        by_name = environments.find(word) is not None
        install = f"honed env add {word}" if by_name else f"{word} -m pip install"
        how = f"{install} {shlex.join(needs)}"
    return NotInstalledError(f"python={word}: {what}", how)


def _probe(word: str, path: str, backend: str) -> _Probed:
    command = [path, "-I", str(Path(probe.__file__)), str(source_folder()), backend]
    try:
        done = subprocess.run(
            [*command, *map(str, OLDEST)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_PROBE_S, check=False,
        )  # fmt: skip
        return from_plain(_Probed, json.loads(done.stdout.strip().splitlines()[-1]))
    except OSError as error:
        raise UnsupportedError(
            f"cannot start python={word}: {error.strerror}", _PACKAGES_HINT
        ) from None
    except subprocess.TimeoutExpired:
        raise UnsupportedError(
            f"python={word} gave no answer in {_PROBE_S} s", "is it a Python interpreter?"
        ) from None
    except (ValueError, IndexError, AttributeError, TypeError):  # another program answered
        last_line = done.stderr.strip().splitlines()[-1:]
        printed = f": {last_line[0][:200]}" if last_line else ""
        raise UnsupportedError(
            f"python={word} does not answer as a Python interpreter does{printed}", _PACKAGES_HINT
        ) from None
