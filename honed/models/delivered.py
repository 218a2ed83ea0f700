"""A folder that `honed export --artifact` wrote, as a model.

It holds the files of one engine instead of weights that every engine reads. What other rooms ask a
checkpoint for stands in its checkpoint.json; the small files of the checkpoint, such as those of
the tokenizer, lie in one of its folders.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from honed.case import Case
from honed.errors import ModelError
from honed.knob import Value
from honed.models import sentences, weights
from honed.models.checkpoint import TEXT_SUFFIXES, Checkpoint, EngineFiles, ModelRequest
from honed.models.knobs import shape
from honed.plain import from_plain, to_plain

SETTINGS_FILE, CHECKPOINT_FILE, TOKENIZER_FILE = (
    "settings.json", "checkpoint.json", "tokenizer.json",
)  # fmt: skip
MODEL_FOLDER, CHECKPOINT_FOLDER = "model", "checkpoint"
CHECKSUMS_FILE = "checksums.sha256"
# What a Case takes from the folder unless the user types it.
_KEYS = (
    "task", "pooling", "backend", "precision", "batch_size", "sequence_length", "threads",
    "instances", "memory_budget",
)  # fmt: skip
_SHAPE = tuple(knob.name for knob in shape.KNOBS)


def find(model: str) -> Path | None:
    """The delivered folder that `model` names; None if it names something else."""
    try:
        path = Path(model).expanduser()
        there = all((path / name).is_file() for name in (SETTINGS_FILE, CHECKPOINT_FILE))
    except (OSError, RuntimeError, ValueError):  # no path, no such user, or not to be read
        return None
    return path.resolve() if there else None


def settings_of(model: str) -> Mapping[str, Value]:
    """The settings that the delivered folder was exported with, by key; empty for other models."""
    folder = find(model)
    if folder is None:
        return {}
    case = _case(folder)
    given = {key: value for key in _KEYS if (value := case.get(key)) is not None}
    return given | {name: v for name, v in case.knobs.items() if name not in _SHAPE}


def open_folder(folder: Path, request: ModelRequest) -> Checkpoint:
    """The checkpoint of a delivered folder. ModelError if its files are broken, or if the request
    asks for another task or pooling than the engine's files compute."""
    path, case = folder / CHECKPOINT_FILE, _case(folder)
    try:
        stored = from_plain(Checkpoint, weights.read_json(path))
    except (TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} does not describe a checkpoint: {error}", "copy the delivered folder again"
        ) from error
    for key, asked, has in (
        ("task", request.task, stored.task), ("pooling", request.pooling, stored.pooling),
    ):  # fmt: skip
        if asked not in ("auto", has):
            raise ModelError(
                f"the files in {folder} compute {key}={has}, not {key}={asked}",
                f"leave {key} out, or give the checkpoint that was exported: model=CHECKPOINT",
            )
    _check_there(folder)
    return replace(
        stored,
        folder=folder / stored.folder,
        layers=tuple(
            replace(layer, folder=folder / layer.folder if layer.folder else None)
            for layer in stored.layers
        ),
        engine_files=EngineFiles(folder, folder / MODEL_FOLDER, case.backend, case.precision),
    )


def _check_there(folder: Path) -> None:
    """ModelError if a file of the engine is missing: its message would not name the folder."""
    sums = folder / CHECKSUMS_FILE
    for line in sums.read_text().splitlines() if sums.is_file() else ():
        name = line.partition("  ")[2]
        if name.startswith(f"{MODEL_FOLDER}/") and not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing", "copy the delivered folder again")


def padding_id(files: EngineFiles) -> int | None:
    """The id to pad with; None if the delivered model reads no texts."""
    reading = weights.read_json(files.root / SETTINGS_FILE).get("reading")
    return None if reading is None else int(reading["padding_id"])


def copy_checkpoint(checkpoint: Checkpoint, target: Path, *, with_weights: bool) -> Path:
    """Copy the small files of the checkpoint, and its weights if asked, in their layout.

    Returns the folder of the transformer itself inside `target`.
    """
    root = sentences.root_folder(checkpoint.folder)
    for folder in _folders(root, checkpoint):
        copied = target / folder.relative_to(root)
        copied.mkdir(parents=True, exist_ok=True)
        for path in _files(folder, checkpoint, with_weights=with_weights):
            shutil.copyfile(path, copied / path.name)
    return target / checkpoint.folder.relative_to(root)


def save(checkpoint: Checkpoint, folder: Path, copied: Path) -> None:
    """Write checkpoint.json into `folder`. `copied` is what `copy_checkpoint` returned."""
    root = sentences.root_folder(checkpoint.folder)
    # The transformer may lie in a folder of its own inside the model's folder.
    depth = len(checkpoint.folder.relative_to(root).parts)
    copied_root = (copied, *copied.parents)[depth]

    def moved(path: Path | None) -> Path | None:
        there = None if path is None else copied_root / path.relative_to(root)
        return there.relative_to(folder) if there is not None and there.is_dir() else None

    facts = replace(
        checkpoint,
        folder=copied.relative_to(folder),
        source="delivered",
        layers=tuple(replace(layer, folder=moved(layer.folder)) for layer in checkpoint.layers),
    )
    (folder / CHECKPOINT_FILE).write_text(json.dumps(to_plain(facts), indent=1) + "\n")


def _case(folder: Path) -> Case:
    settings = weights.read_json(folder / SETTINGS_FILE)
    try:
        return Case.from_json(settings["case"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{folder / SETTINGS_FILE} has no Case that this honed can read",
            "copy the delivered folder again, or export it with this honed",
        ) from error


def _folders(root: Path, checkpoint: Checkpoint) -> Iterator[Path]:
    """The folders that hold something of the model, each once, the root first."""
    listed = (root / str(module.get("path")) for module in sentences.modules(root))
    wanted = (root, checkpoint.folder, root / "1_Pooling", *listed)
    for folder in dict.fromkeys(wanted):
        if folder.is_dir() and folder.is_relative_to(root):
            yield folder


def _files(folder: Path, checkpoint: Checkpoint, *, with_weights: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        is_code = path.suffix == ".py" and not checkpoint.own_code
        # honed.json names what random weights were made from; it belongs to honed's cache.
        left_out = is_code or path.name == "honed.json" or not path.is_file()
        if path.suffix in TEXT_SUFFIXES and not left_out:
            yield path
    holds_weights = folder in (checkpoint.folder, *(layer.folder for layer in checkpoint.layers))
    if with_weights and holds_weights:
        yield from (file.path for file in weights.weight_files(folder))
