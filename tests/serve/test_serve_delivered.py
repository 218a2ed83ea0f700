"""A server of a delivered folder answers as a server of the checkpoint does."""

from __future__ import annotations

from pathlib import Path

import pytest
from served import Server

from honed.case import Case
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.phase import ignore_phase


def test_a_delivered_folder_is_served_with_its_engine_and_tokenizer(
    model: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ROUNDS", 0)
    case = Case(model=str(model), backend="fake", sequence_length=8, threads=1)
    write.export(case, None, tmp_path / "deployed", ignore_phase)
    served = Server(f"model={tmp_path / 'deployed'}")
    try:
        for body in ({"inputs": ["the cat", "hello"]}, {"inputs": "x", "prompt_name": "query"}):
            assert served.ask("/embed", body).json == server.ask("/embed", body).json
    finally:
        assert served.stop() == 0
