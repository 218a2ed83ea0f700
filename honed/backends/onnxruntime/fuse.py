"""Fuse patterns of a transformer into ONNX Runtime's own operators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from honed.backends.base import LoadRequest
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob, Value

FUSION = Knob("onnxruntime.fusion",
              "ONNX Runtime's transformer fusions (attention, GELU, layer norms) on the graph",
              ("on", "off"))  # fmt: skip
ATTENTION = Knob(
    "onnxruntime.attention",
    "attention as one operator with its projections (merged) or after them (split), or plain",
    ("merged", "split", "plain"),
)
GELU = Knob("onnxruntime.gelu",
            "GELU as the model defines it (erf), or by the cheaper tanh formula",
            ("erf", "tanh"))  # fmt: skip
NORM = Knob("onnxruntime.layer_norm",
            "layer norms apart from the sum before them, or joined with it in one operator",
            ("apart", "joined"))  # fmt: skip
KNOBS = (FUSION, ATTENTION, GELU, NORM)
# The session's names of the passes by which it would join norms and biases by itself.
JOINING_NORMS = ["SkipLayerNormFusion", "EmbedLayerNormFusion"]
_JOINING_BIAS = ["BiasGeluFusion"]

# model_type of a checkpoint -> model_type whose patterns the optimizer looks for. Graphs of other
# models are not fused.
_TYPES = dict.fromkeys(("bert", "roberta", "xlm-roberta", "distilbert", "electra"), "bert")


def check(case: Case) -> None:
    """Raise UnsupportedError for a choice about fusions while fusion is off."""
    for knob in (ATTENTION, GELU, NORM):
        if case.get(FUSION.name) == "off" and case.get(knob.name) is not None:
            raise UnsupportedError(f"{knob.name} is part of the fusions", f"{FUSION.name}=on")


def about(request: LoadRequest, *, rounded: bool) -> dict[str, Value]:
    """What to fuse, with the fastest measured choices as defaults (reasons: docs/engines.md).

    `rounded`: the products will become integer products.
    """
    case = request.case
    known = request.checkpoint.model_type in _TYPES
    if case.get(FUSION.name) == "off":
        return {"fusion": "off"}
    shared: dict[str, Value] = {
        "layer_norm": case.get(NORM.name) or "apart",
        # An integer product adds its bias at no cost, and GELU without one is vectorised better.
        "bias_in_product": rounded,
    }
    if not known and case.get(FUSION.name) is None:
        return {"fusion": "off", **shared}
    return {"fusion": "on", "attention": case.get(ATTENTION.name) or "split",
            "gelu": case.get(GELU.name) or "erf", **shared}  # fmt: skip


def disabled(recipe: Mapping[str, Value]) -> list[str]:
    """The passes of the session that would undo choices of the recipe."""
    norms = JOINING_NORMS if recipe.get("layer_norm") == "apart" else []
    return norms + (_JOINING_BIAS if recipe.get("bias_in_product") else [])


def write(
    request: LoadRequest, recipe: Mapping[str, Value], graph: Path, work: Path
) -> tuple[Path, dict[str, int]]:
    """The path of the fused graph, and how many fused operators of each kind are in it."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    config, kind = request.checkpoint.config, _TYPES.get(request.checkpoint.model_type)
    if kind is None:
        what = f"ONNX Runtime has no fusions for {request.checkpoint.model_type}"
        raise UnsupportedError(what, f"{FUSION.name}=off")
    options = FusionOptions(kind)
    options.enable_attention = recipe["attention"] != "plain"
    options.use_multi_head_attention = recipe["attention"] == "split"
    options.enable_gelu_approximation = recipe["gelu"] == "tanh"
    options.enable_skip_layer_norm = recipe["layer_norm"] == "joined"
    options.enable_bias_gelu = not recipe["bias_in_product"]
    options.enable_bias_skip_layer_norm = not recipe["bias_in_product"]
    # The first layer norm, joined with the embeddings, is as slow as one joined with a sum.
    options.enable_embed_layer_norm = recipe["layer_norm"] == "joined"
    model = optimizer.optimize_model(
        str(graph), model_type=kind, opt_level=0, optimization_options=options,
        num_heads=int(config.get("num_attention_heads") or config.get("n_heads") or 0),
        hidden_size=int(config.get("hidden_size") or config.get("dim") or 0),
    )  # fmt: skip
    path = work / "fused.onnx"
    model.save_model_to_file(str(path), use_external_data_format=True)
    return path, {k: int(v) for k, v in model.get_fused_operator_statistics().items() if v}
