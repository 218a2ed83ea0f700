"""Patterns of a transformer joined into the engine's own operators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from honed.backends.base import LoadRequest
from honed.case import Case
from honed.errors import UnsupportedError
from honed.knob import Knob, Value

FUSION = Knob(
    name="onnxruntime.fusion",
    help="its transformer fusions (attention, GELU, layer norms) on the exported graph",
    values=("on", "off"),
)
ATTENTION = Knob(
    name="onnxruntime.attention",
    help="attention as one operator: with its projections merged in, or after them; or in pieces",
    values=("merged", "split", "plain"),
)
GELU = Knob(
    name="onnxruntime.gelu",
    help="GELU as the model has it (erf), or by the cheaper tanh formula",
    values=("erf", "tanh"),
)
NORM = Knob(
    name="onnxruntime.layer_norm",
    help="layer norms apart from the sum before them, or both as one operator",
    values=("apart", "joined"),
)
KNOBS = (FUSION, ATTENTION, GELU, NORM)
# The session's names for what it would join by itself.
JOINING_NORMS = ["SkipLayerNormFusion", "EmbedLayerNormFusion"]
_JOINING_BIAS = ["BiasGeluFusion"]

# model_type of a checkpoint -> model_type of the optimizer, whose patterns these are. Others are
# exported and run as they are.
_TYPES = {
    "bert": "bert",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "distilbert": "bert",
    "electra": "bert",
}


def check(case: Case) -> None:
    """The finer choices are part of the fusions."""
    for knob in (ATTENTION, GELU, NORM):
        if case.get(FUSION.name) == "off" and case.get(knob.name) is not None:
            raise UnsupportedError(f"{knob.name} is part of the fusions", f"{FUSION.name}=on")


def about(request: LoadRequest, *, rounded: bool) -> dict[str, Value]:
    """What is fused, the best that was found where the Case does not say; docs/engines.md has why.

    `rounded`: the products will be integer ones.
    """
    case = request.case
    known = request.checkpoint.model_type in _TYPES
    if case.get(FUSION.name) == "off":
        return {"fusion": "off"}
    shared: dict[str, Value] = {
        "layer_norm": case.get(NORM.name) or "apart",
        # An integer product adds its bias for nothing, and GELU without one is vectorised better.
        "bias_in_product": rounded,
    }
    if not known and case.get(FUSION.name) is None:
        return {"fusion": "off", **shared}
    return {
        "fusion": "on",
        "attention": case.get(ATTENTION.name) or "split",
        "gelu": case.get(GELU.name) or "erf",
        **shared,
    }


def disabled(how: Mapping[str, Value]) -> list[str]:
    """What the session must not rewrite, or it would undo what `how` says."""
    norms = JOINING_NORMS if how.get("layer_norm") == "apart" else []
    return norms + (_JOINING_BIAS if how.get("bias_in_product") else [])


def write(
    request: LoadRequest, how: Mapping[str, Value], graph: Path, work: Path
) -> tuple[Path, dict[str, int]]:
    """The fused graph, and how many of each fused operator are in it."""
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    config, kind = request.checkpoint.config, _TYPES.get(request.checkpoint.model_type)
    if kind is None:
        raise UnsupportedError(
            f"the fusions know no {request.checkpoint.model_type}", f"{FUSION.name}=off"
        )
    options = FusionOptions(kind)
    options.enable_attention = how["attention"] != "plain"
    options.use_multi_head_attention = how["attention"] == "split"
    options.enable_gelu_approximation = how["gelu"] == "tanh"
    options.enable_skip_layer_norm = how["layer_norm"] == "joined"
    options.enable_bias_gelu = not how["bias_in_product"]
    options.enable_bias_skip_layer_norm = not how["bias_in_product"]
    # Joined with the embeddings, the first layer norm is as slow as those joined with a sum.
    options.enable_embed_layer_norm = how["layer_norm"] == "joined"
    model = optimizer.optimize_model(
        str(graph), model_type=kind, opt_level=0, optimization_options=options,
        num_heads=int(config.get("num_attention_heads") or config.get("n_heads") or 0),
        hidden_size=int(config.get("hidden_size") or config.get("dim") or 0),
    )  # fmt: skip
    path = work / "fused.onnx"
    model.save_model_to_file(str(path), use_external_data_format=True)
    return path, {k: int(v) for k, v in model.get_fused_operator_statistics().items() if v}
