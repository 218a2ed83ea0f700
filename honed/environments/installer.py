"""Making environments and installing packages: with uv if it is on the PATH, else venv and pip."""

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
from dataclasses import dataclass, replace
from pathlib import Path

from honed.errors import HonedError, UnsupportedError, UsageError

OLDEST = (3, 11)  # of honed itself, and so of its worker
KINDS = ("auto", "uv", "pip")
_LAST_LINES = 6

# (words in the output of the installer, what to try); the first that fits counts
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
    """How environments are made. `options` are passed on to uv or pip."""

    kind: str = "auto"
    python: str | None = None  # a path, a command, or a version: 3.12
    options: tuple[str, ...] = ()
    on_line: Callable[[str], None] = lambda _: None

    @property
    def uses_uv(self) -> bool:
        if self.kind not in KINDS:
            raise UsageError(f"--installer {self.kind} is not known", f"one of {', '.join(KINDS)}")
        is_installed = shutil.which("uv") is not None
        if self.kind == "uv" and not is_installed:
            raise UsageError("uv is not on the PATH", "pip install uv, or --installer pip")
        return is_installed and self.kind != "pip"

    @property
    def without_dependencies(self) -> Installer:
        """An installer of the named packages alone, without those that they need."""
        without = () if "--no-deps" in self.options else ("--no-deps",)
        return replace(self, options=(*self.options, *without))

    def make(self, folder: Path) -> str:
        """Make an environment without packages, and return the version of its Python."""
        if self.uses_uv:
            self._run(["uv", "venv", "--python", self.python or sys.executable, str(folder)])
        else:
            self._run([self._base(), "-m", "venv", str(folder)])
        command = [str(folder / "bin" / "python"), "-c", "import sys; print(sys.version)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        version = done.stdout.split()[0]
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedError(
                f"Python {version} is too old: honed's worker needs {oldest} or newer",
                f"--python {oldest}",
            )
        return version

    def install(self, folder: Path, requirements: Sequence[str]) -> None:
        """Install packages for the interpreter of the environment."""
        python = str(folder / "bin" / "python")
        if self.uses_uv:
            command = ["uv", "pip", "install", "--python", python]
        elif (folder / "bin" / "pip").exists():
            command = [python, "-m", "pip", "install", "--no-input"]
        else:
            raise UsageError(f"{folder.name} was made by uv and has no pip", "use --installer uv")
        self._run([*command, *self.options, *requirements])

    def _base(self) -> str:
        """The interpreter to make an environment from; by default, the one that runs honed."""
        word = self.python or sys.executable
        command = f"python{word}" if re.fullmatch(r"3\.\d+", word) else word
        if shutil.which(command) is None:
            raise UsageError(
                f"no interpreter is called {command}",
                "give the path of an interpreter; with uv installed, --python 3.12 fetches it",
            )
        return command

    def _run(self, command: Sequence[str]) -> None:
        """Run the installer and report its lines. It never outlives this call."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        output: list[str] = []
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
            close_fds=False,  # it inherits the lock: its folder must not count as abandoned
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip():
                    last.append(line.strip())
                    output.append(line.lower())
                    self.on_line(line.strip())
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if code:
            text = "".join(output)
            hint = next((h for words, h in _HINTS if words in text), "read its output above")
            command_line = " ".join([Path(command[0]).name, *command[1:]])
            raise InstallError("\n  ".join([f"{command_line} failed:", *last]), hint)
