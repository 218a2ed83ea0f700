"""Records that look like real ones, for whoever stores, draws or exports them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

from honed.case import Case
from honed.instruments.fidelity import TOLERANCES
from honed.record import (
    Doubt,
    Error,
    Fidelity,
    InputFacts,
    Interval,
    Memory,
    Metrics,
    Record,
    Samples,
)
from honed.statistics import sample
from honed.statistics.window import cut

MIB = 2**20
MACHINE: Mapping[str, Any] = {
    "cpu": "Example CPU @ 2.70GHz",
    "flags": ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8"],
    "effective_cpus": 8,
    "memory_bytes": 32 * 2**30,
    "kernel": "6.1.0",
    "limits": {"cpu_quota": None, "memory_bytes": 16 * 2**30},
    "python": "3.11.9",
    "packages": {"torch": "2.13.0", "onnxruntime": "1.22.0"},
}
_FLOPS_PER_SEQUENCE = 2.2e10  # bert-base at 128 tokens
_BOUND_FLOPS_PER_S = 1.2e12


def make_record(
    case: Mapping[str, Any] | None = None,
    *,
    p50_s: float = 0.0524,
    calls: int = 120,
    spread: float = 0.02,
    seed: int = 0,
    **fields: Any,
) -> Record:
    """A finished record of `case` (keys beside model, backend, …); `fields` replace Record's."""
    asked = Case.from_json({"model": "bert-base-uncased", **(case or {})})
    samples, cuts = _samples(asked, p50_s, calls, spread, seed)
    finished = {
        "id": hashlib.sha256(f"{asked.id}{seed}{p50_s}".encode()).hexdigest()[:12],
        "created": f"2026-03-01T10:{seed % 60:02d}:00+00:00",
        "honed": "0.1.0",
        "status": "ok",
        "case": asked.to_json(),
        "effective": tuple(_effective(asked, i) for i in range(asked.instances)),
        "machine": MACHINE,
        "inputs": InputFacts(
            "random", asked.batch_size, {str(asked.sequence_length): asked.batch_size}, 0.0
        ),
        "samples": samples,
        "metrics": _metrics(asked, cuts),
        "memory": _memory(asked),
        "fidelity": _fidelity(asked.precision),
        "elapsed_s": 14.2,
    }
    return Record(**{**finished, **fields})


def failed_record(
    status: str, message: str, hint: str = "", case: Mapping[str, Any] | None = None, seed: int = 0
) -> Record:
    """A record without a result."""
    return make_record(
        case,
        seed=seed,
        status=status,
        error=Error(status, message, hint),
        effective=(),
        inputs=None,
        samples=None,
        metrics=None,
        memory=None,
        fidelity=None,
    )


def sweep_records() -> list[Record]:
    """What `backend=torch,onnxruntime precision=fp32,bf16,int8 batch_size=1,8` may leave."""
    eight = {"batch_size": 8}
    ort = {"backend": "onnxruntime"}
    return [
        make_record({}, p50_s=0.1193, seed=1),
        make_record(eight, p50_s=0.8431, calls=12, spread=0.05, seed=2, doubts=(_TOO_FEW,)),
        make_record({"precision": "bf16", "torch.mode": "compile"}, p50_s=0.06312, seed=3),
        make_record(
            {"precision": "bf16", **eight},
            p50_s=0.5127,
            calls=30,
            spread=0.2,
            seed=4,
            doubts=(
                Doubt("load", "other programs took 31 % of the cores"),
                Doubt("spread", "the middle half of the calls spreads over 27% of the median"),
            ),
        ),
        make_record({**ort, "precision": "int8"}, p50_s=0.04523, seed=5),
        make_record(
            {**ort, "precision": "int8", **eight},
            p50_s=0.3318,
            calls=40,
            seed=6,
            status="diverged",
            fidelity=Fidelity("torch fp32", 2.31, 0.81234, 0.5, 0.97, 0.93),
            error=Error(
                "diverged", "cosine 0.81234 to torch fp32 is under 0.97", "precision=bf16"
            ),
        ),
        make_record(
            {**ort, "threads": 4, "instances": 2},
            p50_s=0.1871,
            seed=7,
            status="unproven",
            error=Error(
                "unproven", "threads: asked 4, the engine says 8", "unset OMP_NUM_THREADS"
            ),
            doubts=(_TOO_FEW,),
        ),
        failed_record(
            "oom",
            "the kernel killed the process: 15.9 of 16.0 GiB were in use",
            "use a smaller batch_size",
            {"batch_size": 512},
            seed=8,
        ),
    ]


_TOO_FEW = Doubt("too_few", "12 calls say little about the tail: raise min_samples or duration_s")


def _samples(
    case: Case, p50_s: float, calls: int, spread: float, seed: int
) -> tuple[Samples, Any]:
    rng = random.Random(seed)
    timelines = []
    for instance in range(case.instances):
        began, ended, now = [], [], instance * 1000
        for _ in range(calls):
            began.append(now)
            now += int(p50_s * rng.lognormvariate(0, spread) * 1e9)
            ended.append(now)
        timelines.append((began, ended))
    found = cut(timelines)
    return found.samples, found


def _metrics(case: Case, found: Any) -> Metrics:
    throughput: Interval = sample.throughput(found, case.batch_size)
    assert throughput.value is not None
    return Metrics(
        latency_s=sample.latency(found.samples),
        throughput_per_s=throughput,
        tokens_per_s=throughput.value * case.sequence_length,
        useful_tokens_per_s=throughput.value * case.sequence_length,
        flops_per_s=throughput.value * _FLOPS_PER_SEQUENCE,
        bound_flops_per_s=_BOUND_FLOPS_PER_S,
        import_s=2.1,
        load_s=1.31,
        first_call_s=0.41,
        build_s=0.0,
        warmup_s=1.7,
        samples=sum(len(s) for s in found.samples.latency_s),
        window_s=found.window_s,
    )


def _memory(case: Case) -> Memory:
    weights = 438 * MIB // (4 if case.precision == "int8" else 1)
    activations = 9 * case.batch_size * MIB
    return Memory(
        weights_bytes=weights,
        baseline_bytes=312 * MIB,
        tensor_peak_bytes=weights + activations,
        rss_anon_peak_bytes=260 * MIB + activations,
        rss_file_peak_bytes=110 * MIB + weights,
        rss_peak_bytes=370 * MIB + weights + activations,
        pss_total_bytes=(355 * MIB + weights + activations) * case.instances,
        load_peak_bytes=380 * MIB + weights,
    )


def _fidelity(precision: str) -> Fidelity:
    cosine, diff = {
        "fp32": (0.9999998, 2.1e-6),
        "fp16": (0.99998, 1.2e-3),
        "bf16": (0.99981, 0.011),
    }.get(precision, (0.98712, 0.14))
    return Fidelity("torch fp32", diff, cosine, 1.0, TOLERANCES[precision], diff / 2.5)


def _effective(case: Case, instance: int) -> Mapping[str, Any]:
    threads = case.threads or 8
    first = instance * threads
    cpus: Sequence[int] = list(range(first, first + threads))
    return {
        "cpus": cpus,
        "threads": threads,
        "precision": case.precision,
        "versions": {"torch": "2.13.0"},
        "allocator": "glibc",
        **dict(case.knobs),
    }
