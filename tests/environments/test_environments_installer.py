"""Which installer is used, its arguments, and the hints of its failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from honed.environments.installer import Installer, InstallError
from honed.errors import HonedError, UnsupportedError, UsageError

# Stands for uv or for an interpreter: notes its words, and makes an interpreter where asked to.
_TOOL = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *venv*) for last; do :; done; mkdir -p "$last/bin"
    printf '#!/bin/sh\\necho "{version} (main)"\\n' > "$last/bin/python"
    chmod +x "$last/bin/python";;
  *) {then};;
esac
"""


def tool(folder: Path, name: str, version: str = "3.12.1", then: str = "true") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(_TOOL.format(log=folder / "log", version=version, then=then))
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_uv_is_used_if_it_is_on_the_path(tools: Path, tmp_path: Path) -> None:
    tool(tools, "uv")
    installer = Installer(python="3.12", options=("--no-deps",))
    assert installer.make(tmp_path / "env") == "3.12.1"
    installer.install(tmp_path / "env", ["torch==2.8.0"])
    made, filled = (tools / "log").read_text().splitlines()
    assert made == f"venv --python 3.12 {tmp_path}/env"
    assert filled == f"pip install --python {tmp_path}/env/bin/python --no-deps torch==2.8.0"


def test_pip_can_be_chosen_and_a_version_names_a_command(tools: Path, tmp_path: Path) -> None:
    tool(tools, "uv")
    tool(tools, "python3.99")
    Installer("pip", python="3.99").make(tmp_path / "env")
    assert (tools / "log").read_text() == f"-m venv {tmp_path}/env\n"
    with pytest.raises(UsageError, match="made by uv"):
        Installer("pip").install(tmp_path / "env", ["numpy"])


def test_missing_tools_are_refused_with_a_hint(tools: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="uv is not on the PATH"):
        Installer("uv").make(tmp_path / "env")
    with pytest.raises(UsageError, match=r"no interpreter is called python3\.98"):
        Installer("pip", python="3.98").make(tmp_path / "env")
    with pytest.raises(UsageError, match="conda is not known"):
        Installer("conda").make(tmp_path / "env")


@pytest.mark.parametrize("version", ["3.10.4", "3.9.2", "3.6.15"])
def test_an_old_python_is_refused_before_anything_is_installed(
    tools: Path, tmp_path: Path, version: str
) -> None:
    old = tool(tools, "oldpython", version)
    with pytest.raises(UnsupportedError) as refused:
        Installer("pip", python=str(old)).make(tmp_path / "env")
    assert f"Python {version} is too old" in refused.value.message
    assert "3.11 or newer" in refused.value.message
    assert refused.value.hint == "--python 3.11"


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ERROR: No matching distribution found for torch==99", "check name and version"),
        ("OSError: [Errno 28] No space left on device", "free some space"),
        ("The virtual environment was not created: ensurepip is not available", "python3-venv"),
        ("ERROR: Failed building wheel for tokenizers", "a wheel for this Python"),
        ("something that nobody foresaw", "read its output above"),
    ],
)
def test_failures_keep_the_last_lines_and_say_what_to_try(
    tools: Path, tmp_path: Path, said: str, hint: str
) -> None:
    words = " ".join(f"'line {n}'" for n in range(20))
    tool(tools, "uv", then=f"printf '%s\\n' {words} '{said}'; exit 1")
    heard: list[str] = []
    with pytest.raises(InstallError) as failed:
        Installer(on_line=heard.append).install(tmp_path, ["torch==99"])
    assert isinstance(failed.value, HonedError)
    assert said in failed.value.message
    assert "torch==99" in failed.value.message
    assert "line 19" in failed.value.message
    assert "line 3\n" not in failed.value.message
    assert hint in failed.value.hint
    assert heard == [*(f"line {n}" for n in range(20)), said]
