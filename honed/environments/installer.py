"""What makes an environment and fills it: uv where it is present, else venv and pip."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.errors import HonedError, UnsupportedError, UsageError

OLDEST = (3, 11)  # what honed itself is written for, so its worker too
KINDS = ("auto", "uv", "pip")
_LAST_LINES = 6

# (what the installer says, what to try), the first that fits
_HINTS = (
    ("ensurepip is not", "apt-get install python3-venv, or install uv and use --installer uv"),
    ("no space left", "free some space, or set HONED_HOME to another disk"),
    ("no matching distribution", "check name and version; --python chooses another interpreter; "
     "--extra-index-url another index"),
    ("no solution found", "check names and versions; --python chooses another interpreter; "
     "--installer pip reads pip's own settings"),
    ("conflicting dependencies", "loosen a version, or add --no-deps and name every package"),
    ("failed building wheel", "choose a version that has a wheel for this Python (--python)"),
    ("retries exceeded", "is the package index reachable? pip config list shows which one it is"),
    ("connection", "is the package index reachable? pip config list shows which one it is"),
)  # fmt: skip


class InstallError(HonedError):
    """The installer failed; its last lines are the message."""


@dataclass(frozen=True, slots=True)
class Installer:
    """How an environment is made. `options` go to the installer as they are."""

    kind: str = "auto"
    python: str | None = None  # a path, a command, or a version: 3.12
    options: tuple[str, ...] = ()
    on_line: Callable[[str], None] = lambda _: None

    @property
    def uses_uv(self) -> bool:
        if self.kind not in KINDS:
            raise UsageError(f"--installer {self.kind} is not known", f"one of {', '.join(KINDS)}")
        here = shutil.which("uv") is not None
        if self.kind == "uv" and not here:
            raise UsageError("uv is not on the PATH", "pip install uv, or --installer pip")
        return here and self.kind != "pip"

    def make(self, folder: Path) -> str:
        """An environment without packages; returns its Python's version."""
        if self.uses_uv:
            self._run(["uv", "venv", "--python", self.python or sys.executable, str(folder)])
        else:
            self._run([self._base(), "-m", "venv", str(folder)])
        asked = [str(folder / "bin" / "python"), "-c", "import sys; print(sys.version)"]
        told = subprocess.run(asked, capture_output=True, text=True, check=True)
        version = told.stdout.split()[0]
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedError(
                f"Python {version} is too old: honed's worker needs {oldest} or newer",
                f"--python {oldest}",
            )
        return version

    def install(self, folder: Path, requirements: Sequence[str]) -> None:
        """The packages, by the environment's own interpreter."""
        python = str(folder / "bin" / "python")
        if self.uses_uv:
            command = ["uv", "pip", "install", "--python", python]
        elif (folder / "bin" / "pip").exists():
            command = [python, "-m", "pip", "install", "--no-input"]
        else:
            raise UsageError(f"{folder.name} was made by uv and has no pip", "use --installer uv")
        self._run([*command, *self.options, *requirements])

    def _base(self) -> str:
        """The interpreter to make it from; this one's own by default."""
        word = self.python or sys.executable
        command = f"python{word}" if re.fullmatch(r"3\.\d+", word) else word
        if shutil.which(command) is None:
            raise UsageError(
                f"no interpreter is called {command}",
                "give the path of one; with uv installed, --python 3.12 fetches it",
            )
        return command

    def _run(self, command: Sequence[str]) -> None:
        """Run it, line by line; nothing of it is left when this is left."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        said: list[str] = []
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            close_fds=False,  # it holds the lock too: nothing it works on counts as a leftover
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip():
                    last.append(line.strip())
                    said.append(line.lower())
                    self.on_line(line.strip())
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            text = "".join(said)
            hint = next((h for words, h in _HINTS if words in text), "look at what it said above")
            message = "\n  ".join([f"{_told(command)} failed:", *last])
            raise InstallError(message, hint)


def _told(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
