"""A checkpoint is a local folder: how a Case names one, and what its files tell without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.case import Case
from honed.errors import ModelError
from honed.models import remote_code, tasks, weights
from honed.models.families import family_of

FORMS = "a model is a checkpoint folder (./path), a hub id (owner/name) or a named shape"

_TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model",
    "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The settings of a Case that decide which weights run."""

    model: str
    seed: int = 0
    task: str = "auto"
    pooling: str = "auto"
    trust_remote_code: bool = False

    @classmethod
    def from_case(cls, case: Case) -> ModelRequest:
        return cls(case.model, case.seed, case.task, case.pooling, case.trust_remote_code)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that passed every check that needs no framework.

    `key` names its content. `source` is "folder", "preset" or "hub". `task` and `pooling` are
    never "auto". `own_code` is true where Python code in the folder runs, as the user allowed.
    """

    folder: Path
    key: str
    source: str
    config: Mapping[str, Any]
    task: str
    pooling: str
    max_positions: int | None
    vocab_size: int
    weights_bytes: int
    has_tokenizer: bool
    own_code: bool = False

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))


def inspect(folder: Path, request: ModelRequest, source: str = "folder") -> Checkpoint:
    """The checkpoint in the folder; ModelError names the first thing that is wrong with it.

    Every check that needs no framework is made here, in the order in which a person would look.
    """
    config = _config(folder)
    own_code = remote_code.runs_own_code(folder, config, trusted=request.trust_remote_code)
    files = weights.weight_files(folder)
    random_weights = _random_weights_facts(folder)
    head = str(random_weights["task"]) if random_weights else tasks.head_of(folder, config)
    task = tasks.resolve_task(request.task, head, folder, config)
    return Checkpoint(
        folder=folder,
        key=folder.name if random_weights else weights.content_key(folder, files),
        source="preset" if random_weights else source,
        config=config,
        task=task,
        pooling=tasks.resolve_pooling(request.pooling, task, folder),
        max_positions=_max_positions(config),
        vocab_size=int(config["vocab_size"]),
        weights_bytes=sum(file.parameter_bytes for file in files),
        has_tokenizer=any((folder / name).is_file() for name in _TOKENIZER_FILES),
        own_code=own_code,
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists():
        nested = sorted(p.parent for p in folder.glob("*/config.json") if p.is_file())
        near = [p for p in nested if p.name != "1_Pooling"]
        hint = f"did you mean model={near[0]}?" if near else FORMS
        raise ModelError(f"{folder} is not a checkpoint folder: it has no config.json", hint)
    config = weights.read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("vocab_size"), int):
        raise ModelError(
            f"{path} has no vocab_size, so it is not a text model",
            "give a checkpoint of a text model that transformers can load",
        )
    return config


def _random_weights_facts(folder: Path) -> Mapping[str, Any] | None:
    """What the folder's random weights were made from; None for a folder outside honed's cache."""
    path = folder / "honed.json"
    if folder.parent.resolve() != (artifacts.root() / "weights").resolve() or not path.is_file():
        return None
    about: Mapping[str, Any] = json.loads(path.read_text())
    return about


def _max_positions(config: Mapping[str, Any]) -> int | None:
    """The longest sequence that has position embeddings; None where nothing limits it."""
    rows = config.get("max_position_embeddings", config.get("n_positions"))
    if not isinstance(rows, int) or rows <= 0:
        return None
    if family_of(str(config.get("model_type"))).positions_after_padding:
        padding = config.get("pad_token_id")
        return rows - (1 if padding is None else int(padding)) - 1
    return rows
