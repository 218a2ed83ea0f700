"""A checkpoint is a local folder: how a Case names one, and what its files tell without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from honed import artifacts
from honed.case import Case
from honed.errors import ModelError
from honed.models import hub, remote_code, sentences, tasks, weights
from honed.models.families import family_of
from honed.models.knobs import shape
from honed.models.sentence_modules import SentenceModules, VectorLayer, behind_transformer
from honed.models.sentences import Reading

FORMS = "a model is a checkpoint folder (./path), a hub id (owner/name) or a named shape"

_TOKENIZER_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model",
    "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
TEXT_SUFFIXES = (".json", ".txt", ".model", ".tiktoken", ".vocab", ".bpe", ".py")


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The settings of a Case that decide which weights run.

    `sizes` replace sizes of a named shape: (("d_model", 1024), ...).
    """

    model: str
    seed: int = 0
    task: str = "auto"
    pooling: str = "auto"
    trust_remote_code: bool = False
    sizes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_case(cls, case: Case) -> ModelRequest:
        sizes = shape.sizes_of(case.knobs)
        return cls(case.model, case.seed, case.task, case.pooling, case.trust_remote_code, sizes)


@dataclass(frozen=True, slots=True)
class EngineFiles:
    """What a delivered folder holds in place of weights: the files of one engine.

    `root` is the delivered folder, `folder` the one of the files. They compute in `precision`, and
    no other backend can read them.
    """

    root: Path
    folder: Path
    backend: str
    precision: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that passed every check that needs no framework.

    `key` names what it computes, `text_key` how it turns texts into tokens. `source` is "folder",
    "preset", "hub" or "delivered"; a delivered one has `engine_files`, and its `folder` may hold
    no weights. `task` and `pooling` are never "auto". `own_code` is true where Python code in the
    folder runs, as the user allowed. `layers` and `pools_prompt` are those of `SentenceModules`.
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
    text_key: str = ""
    reading: Reading = field(default_factory=Reading)
    layers: tuple[VectorLayer, ...] = ()
    pools_prompt: bool = True
    engine_files: EngineFiles | None = None

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))


def inspect(folder: Path, request: ModelRequest, source: str = "folder") -> Checkpoint:
    """The checkpoint in the folder; ModelError names the first thing that is wrong with it.

    Every check that needs no framework is made here, in the order in which a person would look.
    """
    root, folder = folder, sentences.transformer_folder(folder)
    config = _config(folder)
    own_code = remote_code.runs_own_code(folder, config, trusted=request.trust_remote_code)
    files = weights.weight_files(folder)
    random_weights = _random_weights_facts(folder)
    head = str(random_weights["task"]) if random_weights else tasks.head_of(root, config)
    task = tasks.resolve_task(request.task, head, folder, config)
    tasks.check_pooling(request.pooling, task)
    features = task == tasks.FEATURES
    behind = behind_transformer(root, request.pooling) if features else SentenceModules("none")
    reading = sentences.reading_of(root) if features else Reading()
    text_key = _text_key(folder, reading)
    key = folder.name if random_weights else weights.content_key(folder, files)
    return Checkpoint(
        folder=folder,
        key=_key_with(behind, key, text_key),
        source="preset" if random_weights else source,
        config=config,
        task=task,
        pooling=behind.pooling,
        max_positions=max_positions(config),
        vocab_size=int(config["vocab_size"]),
        weights_bytes=sum(file.parameter_bytes for file in files) + behind.weights_bytes,
        has_tokenizer=any((folder / name).is_file() for name in _TOKENIZER_FILES),
        own_code=own_code,
        text_key=text_key,
        reading=reading,
        layers=behind.layers,
        pools_prompt=behind.pools_prompt,
    )


def _key_with(behind: SentenceModules, key: str, text_key: str) -> str:
    """The transformer's key, changed by the layers behind it and, where the prompt is not pooled,
    by all that decides how many tokens it has. The pooling itself is not part of the key."""
    about = {"layers": behind.key, "left_out": "" if behind.pools_prompt else text_key}
    return artifacts.content_key({"transformer": key, **about}) if any(about.values()) else key


def _text_key(folder: Path, reading: Reading) -> str:
    """A hash of every small file beside the weights: tokenizers come in many formats, and their
    settings stand in several files."""
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix in TEXT_SUFFIXES and path.is_file() and path.name != "honed.json"
    }
    return artifacts.content_key({"files": digests, "reading": asdict(reading)})


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    weights.refuse_dangling(path)
    if not path.exists():
        sentences.refuse_other_beginnings(folder)
        why = "it has no config.json"
        raise ModelError(f"{folder} is not a checkpoint folder: {why}", _hint_without(folder))
    config = weights.read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("vocab_size"), int):
        raise ModelError(
            f"{path} has no vocab_size, so it is not a text model",
            "give a checkpoint of a text model that transformers can load",
        )
    return config


def _hint_without(folder: Path) -> str:
    """What to type instead of a folder that has no config.json."""
    if repository := hub.repository_of(folder):
        return f"it is the hub cache's folder of {repository}: give model={repository}"
    if cached := sorted(filter(None, map(hub.repository_of, folder.glob("models--*")))):
        return f"it is a hub cache: give one of its models, such as model={cached[0]}"
    nested = sorted(p.parent for p in folder.glob("*/config.json") if p.is_file())
    near = [p for p in nested if p.name != "1_Pooling"]
    return f"did you mean model={near[0]}?" if near else FORMS


def _random_weights_facts(folder: Path) -> Mapping[str, Any] | None:
    """What the folder's random weights were made from; None for a folder outside honed's cache."""
    path = folder / "honed.json"
    if folder.parent.resolve() != (artifacts.root() / "weights").resolve() or not path.is_file():
        return None
    about: Mapping[str, Any] = json.loads(path.read_text())
    return about


def max_positions(config: Mapping[str, Any]) -> int | None:
    """The longest sequence that has position embeddings; None where nothing limits it."""
    family = family_of(str(config.get("model_type")))
    if not family.limits_positions(config):
        return None
    rows = config.get("max_position_embeddings", config.get("n_positions"))
    if not isinstance(rows, int) or rows <= 0:
        return None
    if family.positions_after_padding:
        padding = config.get("pad_token_id")
        return rows - (1 if padding is None else int(padding)) - 1
    return rows
