"""Another interpreter, looked at before it measures: what it lacks, and what mends that."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed import environments
from honed.environments.installer import OLDEST
from honed.errors import UnsupportedError
from honed.workers import probe
from honed.workers.start import source_folder

_PROBE_S = 60  # a cold disk; a warm one takes a tenth of a second
_PACKAGES_HINT = "honed env create NAME PACKAGE..., then python=NAME"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that can measure: its version, and what is installed there of all that matters."""

    python: str
    packages: Mapping[str, str]


def examine(word: str, backend: str) -> Interpreter:
    """The interpreter that `python=word` means. UnsupportedError says what it lacks."""
    path = environments.interpreter(word)
    told = _asked(word, path, backend)
    version = str(told["python"])
    if tuple(int(n) for n in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UnsupportedError(
            f"python={word} is Python {version}: honed's worker needs {oldest} or newer",
            f"honed env create NAME PACKAGE... --python {oldest}",
        )
    if not told["numpy"]:
        raise _lacking(word, "numpy not installed", ["numpy"], "")
    if not told["ok"]:
        raise _lacking(word, f"{backend}: {told['why']}", told["needs"], told["how"])
    return Interpreter(version, told["packages"])


def _lacking(word: str, what: str, needs: Sequence[str], how: str) -> UnsupportedError:
    if needs:
        here = environments.find(word) is not None
        packages = shlex.join(needs)
        how = f"honed env add {word} {packages}" if here else f"{word} -m pip install {packages}"
    return UnsupportedError(f"python={word}: {what}", how)


def _asked(word: str, path: str, backend: str) -> dict[str, Any]:
    command = [path, "-I", str(Path(probe.__file__)), str(source_folder()), backend]
    try:
        done = subprocess.run(
            [*command, *map(str, OLDEST)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        told["python"]  # KeyError, should another program answer with JSON
    except OSError as error:
        raise UnsupportedError(
            f"cannot start python={word}: {error.strerror}", _PACKAGES_HINT
        ) from None
    except subprocess.TimeoutExpired:
        raise UnsupportedError(
            f"python={word} gave no answer in {_PROBE_S} s", "is it a Python interpreter?"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError):
        said = done.stderr.strip().splitlines()[-1:]
        words = f": {said[0][:200]}" if said else ""
        raise UnsupportedError(
            f"python={word} does not answer as a Python interpreter does{words}", _PACKAGES_HINT
        ) from None
    return told
