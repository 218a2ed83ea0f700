"""The modules that sentence-transformers runs behind a transformer, as data.

They are read from a checkpoint folder without any framework. What honed does not compute is
refused by its name. `vectors.py` computes them in numpy, and `torch/pooling.py` in torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from honed import artifacts
from honed.errors import ModelError
from honed.models import sentences, weights
from honed.models.sentences import CHOOSE, POOLING, TRANSFORMER

_LIBRARY = "sentence_transformers."
# The library's modes, in the order in which it joins their vectors.
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Classes of torch.nn that a Dense may apply; the library makes them without arguments.
ACTIVATIONS = ("GELU", "Identity", "ReLU", "SiLU", "Sigmoid", "Tanh")
_DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"
_VECTOR = "sentence_embedding"  # the library's name of the vector that its modules pass on


@dataclass(frozen=True, slots=True)
class VectorLayer:
    """One computation on the vector of a text.

    "normalize" scales the vector to length 1. "dense" gives activation(W x + b), W of shape
    [outputs, inputs] in the files of `folder`. With `residual` x is added to that; where the two
    differ in length, a second matrix projects x first.
    """

    kind: Literal["dense", "normalize"]
    folder: Path | None = None
    inputs: int = 0
    outputs: int = 0
    activation: str = "Identity"
    bias: bool = False
    residual: bool = False

    @property
    def projects_residual(self) -> bool:
        return self.residual and self.inputs != self.outputs

    @property
    def products(self) -> int:
        """How many products of a vector with a matrix of [outputs, inputs] it computes."""
        return 0 if self.kind != "dense" else 1 + self.projects_residual


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """What follows the transformer: its pooling, and the layers behind that.

    `pooling` is "none", one mode, or several modes joined by "+", whose vectors are joined.
    Without `pools_prompt` the tokens of the prompt are left out of the pooling.
    """

    pooling: str
    pools_prompt: bool = True
    layers: tuple[VectorLayer, ...] = ()

    @property
    def weights_bytes(self) -> int:
        return sum(file.parameter_bytes for file in self._files())

    @property
    def key(self) -> str:
        """A hash of everything but the pooling that decides the vectors; empty without layers."""
        if not self.layers:
            return ""
        parts = [
            weights.content_key(layer.folder, weights.weight_files(layer.folder))
            if layer.folder
            else layer.kind
            for layer in self.layers
        ]
        return artifacts.content_key({"layers": parts})

    def _files(self) -> list[weights.WeightFile]:
        folders = [layer.folder for layer in self.layers if layer.folder]
        return [file for folder in folders for file in weights.weight_files(folder)]


def behind_transformer(folder: Path, asked: str) -> SentenceModules:
    """What follows the transformer in a checkpoint folder; ModelError for what honed does not
    compute.

    `asked` is the pooling of a Case: "auto" is the folder's own, "none" leaves every module out,
    and any other replaces the folder's Pooling alone.
    """
    if asked == "none":
        return SentenceModules("none")
    listed = sentences.modules(folder)
    if not listed:
        old = folder / "1_Pooling" / "config.json"
        own = _modes(old, weights.read_json(old)) if old.is_file() else ("mean",)
        return SentenceModules("+".join(own) if asked == "auto" else asked)
    sentences.refuse_options(folder)
    _refuse_unknown(folder / "modules.json", listed)
    path = folder / str(listed[1].get("path")) / "config.json"
    settings = weights.read_json(path)
    modes = _modes(path, settings) if asked == "auto" else (asked,)
    width = settings.get("embedding_dimension", settings.get("word_embedding_dimension"))
    layers = tuple(
        _layer(folder / str(module.get("path")), sentences.kind_of(module))
        for module in listed[2:]
        if sentences.kind_of(module) != "Dropout"  # it does nothing outside of training
    )
    _refuse_misfit(layers, len(modes) * width if isinstance(width, int) else None)
    return SentenceModules("+".join(modes), settings.get("include_prompt") is not False, layers)


def _refuse_unknown(path: Path, listed: Sequence[Mapping[str, Any]]) -> None:
    """The order that honed computes: a Transformer, a Pooling, then layers on vectors."""
    kinds = [sentences.kind_of(module) for module in listed]
    known = (TRANSFORMER, POOLING, "Dense", "Normalize", "Dropout")
    for module, kind in zip(listed, kinds, strict=True):
        name = str(module.get("type"))
        if kind not in known or not name.startswith(_LIBRARY):
            raise ModelError(f"{path} has a module {name}, which honed does not compute", CHOOSE)
    if kinds[:2] != [TRANSFORMER, POOLING] or {TRANSFORMER, POOLING} & {*kinds[2:]}:
        raise ModelError(
            f"{path} lists {', '.join(kinds)}; honed computes a Transformer, then a Pooling, then "
            "Dense and Normalize",
            CHOOSE,
        )


def _modes(path: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The pooling modes. Older files have a flag for each, newer ones a name or a list; a file
    without any means the mean, as in the library."""
    named = settings.get("pooling_mode")
    if named is None:
        modes = [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or ["mean"]
    else:
        modes = [named] if isinstance(named, str) else [str(name) for name in named]
    if unknown := [mode for mode in modes if mode not in _FLAGS.values()]:
        raise ModelError(
            f"{path} asks for pooling by {unknown[0]}, which honed does not compute",
            "add pooling=mean, or pooling=none to measure the transformer alone",
        )
    return tuple(modes)


def _layer(folder: Path, kind: str) -> VectorLayer:
    path = folder / "config.json"
    # A Normalize without a file has no options.
    settings = weights.read_json(path) if kind == "Dense" or path.is_file() else {}
    for key in ("module_input_name", "module_output_name"):
        if settings.get(key) not in (None, _VECTOR):
            raise ModelError(
                f"{path} sets {key}={settings[key]}, and honed computes a {kind} only on the "
                "vector of a text",
                CHOOSE,
            )
    return VectorLayer("normalize") if kind == "Normalize" else _dense(folder, path, settings)


def _dense(folder: Path, path: Path, settings: Mapping[str, Any]) -> VectorLayer:
    name = str(settings.get("activation_function", _DEFAULT_ACTIVATION))
    package, _, activation = name.rpartition(".")
    if activation not in ACTIVATIONS or not f"{package}.".startswith("torch.nn."):
        raise ModelError(
            f"{path} applies {name}, which honed does not compute",
            f"honed computes torch.nn's {', '.join(ACTIVATIONS)}; {CHOOSE}",
        )
    sizes = settings.get("in_features"), settings.get("out_features")
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ModelError(
            f"{path} does not say in_features and out_features", "copy or download the file again"
        )
    return VectorLayer(
        "dense", folder, int(sizes[0] or 0), int(sizes[1] or 0), activation,
        settings.get("bias", True) is not False, bool(settings.get("use_residual")),
    )  # fmt: skip


def _refuse_misfit(layers: Sequence[VectorLayer], width: int | None) -> None:
    """ModelError where a Dense takes vectors of another length than it gets; `width` is the length
    of the pooled vector, None if the folder does not say it."""
    for layer in layers:
        if layer.kind != "dense":
            continue
        if width not in (None, layer.inputs):
            raise ModelError(
                f"{layer.folder} takes vectors of {layer.inputs} numbers and gets {width}",
                "leave pooling out to use the folder's own, or add pooling=none to measure the "
                "transformer alone",
            )
        width = layer.outputs
