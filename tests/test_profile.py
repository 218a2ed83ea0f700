"""Profiles: events added up by operator, module and phase, and written for other viewers."""

from __future__ import annotations

import json

import pytest

from honed.export.trace import chrome_trace, speedscope
from honed.profile import KINDS, OperatorEvent, by_kind, kind_of, like, merged, rows_of


def event(op: str, module: str, began_s: float, total_s: float, self_s: float, depth: int = 0):
    flops = 100 if op == "mm" else None
    return OperatorEvent(op, module, "forward", began_s, total_s, self_s, depth, flops)


EVENTS = [
    event("range", "", 0.0, 1.0, 0.1),
    event("linear", "layers.0.mlp", 0.1, 0.4, 0.1, 1),
    event("mm", "layers.0.mlp", 0.15, 0.3, 0.3, 2),
    event("linear", "layers.1.mlp", 0.5, 0.5, 0.3, 1),
    event("mm", "layers.1.mlp", 0.6, 0.2, 0.2, 2),
]


def test_equal_layers_share_a_row_and_the_shares_add_up() -> None:
    rows = rows_of(EVENTS, 1.0)
    assert [(r.op, r.module, r.calls) for r in rows] == [
        ("mm", "layers.*.mlp", 2), ("linear", "layers.*.mlp", 2), ("range", "", 1),
    ]  # fmt: skip
    assert rows[0].self_s == pytest.approx(0.5)
    assert rows[0].flops == 200
    assert rows[0].flops_per_s == pytest.approx(400)
    assert rows[1].flops is None
    assert sum(r.share for r in rows) == pytest.approx(1)


def test_rows_merge_by_any_key() -> None:
    (forward,) = merged(rows_of(EVENTS, 1.0), "phase")
    assert (forward.phase, forward.op, forward.calls) == ("forward", "", 5)
    assert forward.share == pytest.approx(1)
    assert forward.flops == 200


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("aten::addmm", "matrix products"), ("FusedMatMul", "matrix products"),
        ("FullyConnected", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "matrix products"),
        ("aten::_softmax", "softmax"), ("SoftMax", "softmax"),
        ("MVN", "normalisation"), ("LayerNormalization", "normalisation"),
        ("aten::_fused_adamw_", "optimizer"),
        ("DynamicQuantizeMatMul", "matrix products"), ("aten::convolution", "matrix products"),
        ("quantized::linear_dynamic", "matrix products"),
        ("FullyConnectedQuantizedLegacy", "matrix products"),
        ("DynamicQuantizeLinear", "other"), ("DequantizeLinear", "other"), ("Convert", "other"),
        ("aten::silu", "other"), ("(between operators)", "between operators"),
    ],
)  # fmt: skip
def test_operators_of_every_engine_have_a_kind(op: str, kind: str) -> None:
    assert kind_of(op, "forward") == kind
    assert kind in KINDS


def test_what_an_optimizer_computes_is_its_own_kind() -> None:
    assert kind_of("aten::sqrt", "optimizer") == "optimizer"
    assert kind_of("aten::linalg_vector_norm", "optimizer") == "optimizer"  # of clipping
    assert kind_of("aten::sqrt", "forward") == "other"
    assert kind_of("(between operators)", "optimizer") == "between operators"


def test_kinds_add_up_to_the_whole() -> None:
    kinds = by_kind(rows_of(EVENTS, 1.0))
    assert list(kinds) == ["matrix products", "other"]  # "linear" is a product too
    assert kinds["matrix products"].flops == 200
    assert sum(row.share for row in kinds.values()) == pytest.approx(1)


def test_only_numbers_that_stand_alone_are_layers() -> None:
    assert like("encoder.layer.11.attention") == "encoder.layer.*.attention"
    assert like("0.conv1d.3") == "*.conv1d.*"


def test_chrome_reads_microseconds() -> None:
    trace = json.loads(chrome_trace(EVENTS))["traceEvents"]
    assert trace[1] == {
        "name": "linear", "cat": "forward", "ph": "X", "pid": 0, "tid": 0,
        "ts": pytest.approx(1e5), "dur": pytest.approx(4e5),
        "args": {"module": "layers.0.mlp", "phase": "forward", "flops": None, "bytes": None},
    }  # fmt: skip


def test_speedscope_opens_and_closes_every_frame_in_order() -> None:
    file = json.loads(speedscope(EVENTS, "one call"))
    names = [frame["name"] for frame in file["shared"]["frames"]]
    (profile,) = file["profiles"]
    open_frames, latest = [], 0.0
    for move in profile["events"]:
        assert move["at"] >= latest
        latest = move["at"]
        if move["type"] == "O":
            open_frames.append(move["frame"])
        else:
            assert open_frames.pop() == move["frame"]
    assert open_frames == []
    assert profile["endValue"] == pytest.approx(1.0)
    assert names[0] == "range"
    assert "mm [layers.1.mlp]" in names
