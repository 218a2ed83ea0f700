"""CTranslate2: encoders of BERT's family, padding dropped around the linear layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honed.backends import base
from honed.backends.base import Batch, Delivery, LoadRequest, Outputs, Step, Traits
from honed.backends.ctranslate2._footprint import footprint as footprint
from honed.case import Case
from honed.errors import UnsupportedError
from honed.files import copy_files
from honed.instruments import threads
from honed.knob import Availability, Knob, Value
from honed.machine.facts import package_versions
from honed.models.checkpoint import Checkpoint
from honed.models.heads import output_names
from honed.models.sentence_modules import VectorLayer
from honed.models.tasks import FEATURES

HELP = "CTranslate2: encoders of the BERT family, converted once; it computes no padding"
EXTRA = "ctranslate2"
REFERENCE = "torch"
PRECISIONS = ("fp32", "int8")
TRAITS = Traits(expert_rank=2, thread_pool="openmp")  # a quick conversion; few knobs
KNOBS: tuple[Knob, ...] = ()

MODEL_TYPES = ("bert", "camembert", "distilbert", "roberta", "xlm-roberta")
TASKS = (FEATURES, "sequence-classification")

# precision -> compute_type. On a CPU "int8" means the same as "int8_float32".
_COMPUTE_TYPES = {"fp32": "float32", "int8": "int8_float32"}
_SNIPPET = """import ctranslate2

encoder = ctranslate2.Encoder("model")
outputs = encoder.forward_batch([["101", "2023", "102"]])   # the tokens are ids, as words"""
_FACTS_FILE = "facts.json"
_HEAD_FILE = "head.npz"


def available() -> Availability:
    return base.installed({"ctranslate2": "ctranslate2", "torch": "torch"}, EXTRA)


def versions() -> Mapping[str, str]:
    return package_versions(("ctranslate2", "torch", "transformers"))


def check(case: Case) -> None:
    if case.precision == "bf16":
        # Its float types below float32 are for GPUs: its CPU code has no product for them.
        raise UnsupportedError("CTranslate2 has no bf16 on any CPU", "precision=fp32 or int8")
    base.refuse(case, "ctranslate2", PRECISIONS)
    base.refuse_gpu(case, "CTranslate2")
    if case.task not in ("auto", *TASKS):
        raise _no_task(case.task)


def _no_task(task: str) -> UnsupportedError:
    return UnsupportedError(
        f"CTranslate2 has no {task} here", f"task={FEATURES}, or backend=torch, onnxruntime"
    )


def start() -> None:
    import ctranslate2  # noqa: F401


def artifact(request: LoadRequest) -> Mapping[str, Any]:
    checkpoint = request.checkpoint
    _check_model(checkpoint)
    return {"format": 2, "checkpoint": checkpoint.key, "task": checkpoint.task,
            "precision": request.case.precision, **versions()}  # fmt: skip


def _check_model(checkpoint: Checkpoint) -> None:
    if checkpoint.task not in TASKS:
        raise _no_task(checkpoint.task)
    if checkpoint.model_type not in MODEL_TYPES:
        raise UnsupportedError(
            f"CTranslate2 has no {checkpoint.model_type} here: it runs {', '.join(MODEL_TYPES)}",
            "backend=torch, onnxruntime or openvino",
        )


def build(request: LoadRequest, folder: Path) -> None:
    import numpy as np

    from honed.backends.ctranslate2 import _spec
    from honed.models.tokenizer import prompt_tokens

    converted = _spec.convert(request.checkpoint)
    converted.spec.validate()
    converted.spec.optimize(quantization=_COMPUTE_TYPES[request.case.precision])
    converted.spec.save(str(folder))
    facts = {"weights_bytes": _spec.weights_bytes(converted), "segments": converted.segments,
             "left_out": prompt_tokens(request.checkpoint)}  # fmt: skip
    (folder / _FACTS_FILE).write_text(json.dumps(facts))
    np.savez(folder / _HEAD_FILE, **converted.head)


def load(request: LoadRequest, artifact: Path | None) -> CTranslate2Step:
    assert artifact is not None, "this engine always converts"
    return CTranslate2Step(request, artifact)


def deliver(request: LoadRequest, artifact: Path | None, folder: Path) -> Delivery:
    from honed.models import vectors

    assert artifact is not None, "this engine always converts"
    copy_files(artifact, folder, *(path.name for path in artifact.iterdir()))
    model = request.checkpoint
    facts = json.loads((artifact / _FACTS_FILE).read_text()) | {
        "output": output_names(model.task, model.pooling)[0],
        "pooling": model.pooling if model.task == FEATURES else None,
        "layers": [_described(layer) for layer in model.layers],
    }
    (folder / _FACTS_FILE).write_text(json.dumps(facts))
    return Delivery(
        Path(__file__).with_name("delivered.py"), _settings(request), ("ctranslate2", "numpy"),
        _SNIPPET, {"text_vectors.py": Path(vectors.__file__)},
    )  # fmt: skip


def _settings(request: LoadRequest) -> dict[str, Any]:
    """Arguments of the encoder. 0 threads: the engine chooses."""
    compute_type = _COMPUTE_TYPES[request.case.precision]
    threads = {"inter_threads": 1, "intra_threads": request.threads or 0}
    return {"compute_type": compute_type, **threads}


def _described(layer: VectorLayer) -> dict[str, Any]:
    """What `vectors.transformed` reads of a layer."""
    names = ("kind", "activation", "bias", "residual", "projects_residual")
    return {name: getattr(layer, name) for name in names}


class CTranslate2Step(Step):
    """One encoder. What follows it runs in numpy as part of a call: the pooling and the layers
    behind it, or the last layer of a classifier."""

    def __init__(self, request: LoadRequest, artifact: Path) -> None:
        import ctranslate2
        import numpy as np

        facts = json.loads((artifact / _FACTS_FILE).read_text())
        self.weights_bytes = int(facts["weights_bytes"])
        self._segments = bool(facts["segments"])
        with np.load(artifact / _HEAD_FILE) as head:
            self._head = dict(head)
        self._model = request.checkpoint
        self._pools = self._model.task == FEATURES and self._model.pooling != "none"
        self._left_out = int(facts["left_out"])
        self._name = output_names(self._model.task, self._model.pooling)[0]
        self._view = ctranslate2.StorageView.from_array
        self.encoder = ctranslate2.Encoder(str(artifact), **_settings(request))
        self._pool_size: int | None = None  # known after the first call

    def prepare(self, batch: Batch) -> Any:
        """Ids [b, l], lengths [b], each token's share in the pooling [b, l] by mode, and segments
        [b, l] if any is not 0."""
        import numpy as np

        from honed.models import vectors

        mask = batch["attention_mask"]
        lengths = mask.sum(axis=1)
        if not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
            raise UnsupportedError(
                "CTranslate2 drops padding behind the tokens, but here padding comes before them",
                "backend=torch, or pad on the right",
            )
        ids = self._view(np.ascontiguousarray(batch["input_ids"], dtype=np.int32))
        real = mask.astype(np.float32)
        shares = vectors.shares(real, self._model.pooling, self._left_out) if self._pools else {}
        feed = (ids, self._view(lengths.astype(np.int32)), shares)
        segments = batch.get("token_type_ids") if self._segments else None
        # Without segments the engine takes zeros. It reads them from lists, which takes time.
        return feed if segments is None or not segments.any() else (*feed, segments)

    def run(self, feed: Any) -> Any:
        if self._pool_size is not None:
            return self._forward(feed)
        # The engine does not report the size of its pool, which is one thread of the encoder and
        # the OpenMP threads that its first call starts. OpenMP threads that started during loading
        # belong to the calling thread; they packed int8 weights and are idle since.
        before = set(threads.thread_times())
        raw = self._forward(feed)
        self._pool_size = 1 + len(set(threads.thread_times()) - before)
        return raw

    def _forward(self, feed: Any) -> Any:
        import numpy as np

        from honed.models import vectors

        ids, lengths, shares, *segments = feed
        output = self.encoder.forward_batch(ids, lengths, *(s.tolist() for s in segments))
        if self._model.task != FEATURES:
            pooled = np.asarray(output.pooler_output)  # [b, h]
            return pooled @ self._head["weight"].T + self._head["bias"]
        tokens = np.asarray(output.last_hidden_state)  # [b, l, h]; a view, it keeps `output`
        if not self._pools:
            return tokens
        return vectors.transformed(vectors.pooled(tokens, shares), self._model.layers, self._head)

    def outputs(self, raw: Any) -> Outputs:
        return {self._name: raw}

    def read_back(self) -> Mapping[str, Value | None]:
        precisions = {v: k for k, v in _COMPUTE_TYPES.items()}
        return {
            "threads": self._pool_size,
            "caller": "waits",
            "precision": precisions.get(self.encoder.compute_type),
            "device": self.encoder.device,
            "compute_type": self.encoder.compute_type,
        }

    def close(self) -> None:
        del self.encoder
