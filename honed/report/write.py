"""Write a page or a table as a file."""

from __future__ import annotations

from pathlib import Path

from honed.errors import StoreError


def write_text(path: Path, text: str, option: str) -> Path:
    """Returns the path; StoreError, which names the `option`, if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}",
            f"name a file that you may write: {option} FILE",
        ) from error
    return path
