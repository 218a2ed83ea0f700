"""What is shown of training steps: phases as tables, profiles, mixed precision, memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import failed_record, make_record
from screens import shown

from honed.backends.base import Residual
from honed.errors import UsageError
from honed.mixed_precision import MixedPrecision, ModuleOutput
from honed.plain import to_plain
from honed.plan.of_case import Expected
from honed.profile import ProfileRow
from honed.record import Latency, Memory, Record
from honed.run.passes import memory_timeline, precision, profile
from honed.show.latex import latex
from honed.show.markdown import markdown
from honed.show.memory import memory_view, planned_line
from honed.show.phases import phase_lines, phase_table
from honed.show.precision import precision_view
from honed.show.profile import check_keys, kinds_view, profile_view
from honed.show.table import RecordsTable
from honed.timeline import MemoryKind, Peak, StepPhase, Timeline

MIB = 2**20


def latency(mean_s: float) -> Latency:
    ends = (mean_s * 0.99, mean_s * 1.01)
    return Latency(mean_s, mean_s / 100, mean_s, mean_s, None, None, None, mean_s, ends)


def training(optimizer: str = "adamw", **passes: Any) -> Record:
    record = make_record({"model": "lm-small", "workload": "train_step", "optimizer": optimizer})
    assert record.metrics is not None
    phases = {
        name: latency(s)
        for name, s in {"forward": 0.1, "backward": 0.2, "optimizer": 0.04, "step": 0.34}.items()
    }
    memory = Memory(after_phase_bytes={"forward": 300 * MIB})
    metrics = replace(record.metrics, phases=phases)
    stored = to_plain(passes) or None
    return replace(record, metrics=metrics, memory=memory, passes=stored)


def test_each_phase_is_a_line_with_mean_deviation_and_median() -> None:
    lines = phase_lines([training(), training("sgd"), make_record()])
    assert [line[1] for line in lines] == 2 * ["forward", "backward", "optimizer", "step"]
    assert lines[1][2:5] == ("200.0", "2.00", "200.0 ±2.0")
    assert "optimizer=sgd" in lines[4][0]
    assert phase_table([make_record()]) is None
    text = shown(phase_table([training(), training("sgd")]))
    assert text.count("optimizer=adamw") == 1  # its other lines leave the setting out
    assert "phases of a call" in text


def test_tables_of_records_have_the_phases_and_the_memory_before_the_backward_pass() -> None:
    text = shown(RecordsTable([training()]), width=200)
    for part in ("forward ms", "100.0 ±1.0", "backward ms", "200.0 ±2.0", "optimizer ms", "300"):
        assert part in text
    assert "forward" not in shown(RecordsTable([make_record()]), width=200)


def test_markdown_has_a_second_table_of_phases() -> None:
    text = markdown([training(), training("sgd")])
    assert "| settings | phase | mean ms | stdev ms | p50 ms (95 %) | calls |" in text
    assert text.count("| backward | 200.0 | 2.00 | 200.0 ±2.0 |") == 2
    assert "phase" not in markdown([make_record()])


def test_latex_escapes_and_has_as_many_cells_as_columns() -> None:
    failed = failed_record("oom", "no memory", case={"model": "lm_small", "optimizer": "sgd"})
    text = latex([training(), failed])
    assert r"lm\_small" in text
    assert r"200.0 $\pm$2.0" in text
    for tabular in text.split(r"\begin{tabular}")[1:]:
        columns = len(tabular[1 : tabular.index("}")])
        lines = [line for line in tabular.splitlines() if line.endswith(r"\\")]
        assert len(lines) >= 2
        assert {line.count(" & ") + 1 for line in lines} == {columns}
    assert text.count(r"\begin{tabular}") == 2
    assert latex([make_record()]).count(r"\begin{tabular}") == 1


ROWS = (
    ProfileRow("aten::mm", "layers.*.mlp", "forward", 12, 0.06, 0.6, flops=6 * 10**9, bytes=MIB),
    ProfileRow("aten::_softmax", "layers.*.attn", "forward", 4, 0.03, 0.3),
    ProfileRow("(between operators)", "", "forward", 3, 0.01, 0.1),
)
PROFILE = profile.Part(0.08, 0.1, ROWS, Path("events.json"))


def test_a_profile_has_shares_rates_kinds_and_its_overhead() -> None:
    text = shown(profile_view(training(profile=PROFILE), check_keys(["op", "module"]), 2))
    assert "aten::mm" in text
    assert "60.0%" in text
    assert " 100 " in text  # GFLOP/s
    assert "1 more lines: 10.0% of the time (--top)" in text
    assert "matrix products 60.0%, softmax 30.0%, between operators 10.0%" in text
    assert "one call under the profiler took 100.0 ms, +25% beside 80.00 ms without it" in text
    assert profile_view(training(), ("op",), 5) is None
    with pytest.raises(UsageError, match="has no 'ops'"):
        check_keys(["ops"])


def test_profiles_of_several_records_stand_side_by_side() -> None:
    two = [training("adamw", profile=PROFILE), training("sgd", profile=PROFILE)]
    text = shown(kinds_view([*two, training()]))
    assert text.count("60.0 60%") == 2
    assert "optimizer=sgd" in text
    assert "100.0" in text
    assert kinds_view([two[0], training()]) is None  # nothing to compare


def test_mixed_precision_shows_types_errors_and_sums() -> None:
    modules = (
        ModuleOutput("fc1", "Linear", "float32", "float32", "bfloat16", 0.01, 0.004),
        ModuleOutput("norm", "LayerNorm", "bfloat16", "float32", "float32", 0.02, 0.005),
    )
    observed = MixedPrecision(
        "bfloat16", modules, "float32", "float32", 1e-4, "float32", 0.01,
        {"float16 += float16": 9.9531},
    )  # fmt: skip
    text = shown(precision_view(training(precision=precision.Part(observed))))
    assert "autocast casts its matrix products" in text
    assert "it computes in fp32" in text
    assert "0.40%" in text
    assert "parameters float32, loss float32 (off by 0.010%), gradients float32" in text
    assert "9.9531" in text
    assert precision_view(training()) is None


def test_memory_shows_peaks_origins_and_what_checkpointing_saves() -> None:
    peak = Peak(9, 400 * MIB, {"weights": 100 * MIB, "activations": 300 * MIB}, "aten.mm",
                "lm_head", StepPhase.FORWARD)  # fmt: skip
    largest = memory_timeline.Allocation(
        "aten.mm", "layers.*.mlp", StepPhase.FORWARD, MemoryKind.ACTIVATIONS, 20 * MIB, 12
    )
    residual = Residual("layers.*.mlp", (16, 128, 768), "float16", 12, 3 * MIB)
    part = memory_timeline.Part(
        peak, {"forward": peak}, (largest,), 3 * MIB, (16, 128, 768), "float16", (residual,),
        {"off": 280 * MIB, "blocks": 40 * MIB}, {"off": 20 * MIB, "blocks": 3 * MIB}, Path("t"),
    )  # fmt: skip
    text = shown(memory_view(training(memory_timeline=part)))
    assert "peak 400 MiB of tensors in forward, when aten.mm of lm_head ran" in text
    assert "one tensor of the residual stream, 16 x 128 x 768 float16: 3.00 MiB" in text
    assert "gradients" not in text  # a kind that no phase has
    for part_of_line in ("240", "blocks", "280", "layers.*.mlp"):
        assert part_of_line in text
    assert memory_view(training()) is None
    expected = Expected(408 * MIB, 500 * MIB, 100 * MIB, Timeline((), 0))
    assert planned_line(part, expected) == "planned 408 MiB, measured 400 MiB: +2.00%"
    assert planned_line(part, None) == "a plan does not know this step"
