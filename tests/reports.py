"""Records of a few sweeps, as `honed report` meets them."""

from __future__ import annotations

from records import failed_record, make_record

from honed.record import Doubt, Error, Interval, Memory, Record
from honed.study import (
    BY_TRIALS,
    IN_TURNS,
    Axis,
    Goal,
    Outcome,
    PathStep,
    Pooled,
    Setting,
    StudyFacts,
    Trial,
)

SLOWNESS = {"torch": 1.0, "onnxruntime": 0.8, "openvino": 0.6}
PRECISIONS = {"fp32": 1.0, "bf16": 0.55, "int8": 0.3}
BATCHES = (1, 4, 16)
STUDY, LIMIT = "bert-throughput-latency-1f", "latency_p50_ms<=700"
DIVERGED = Error("diverged", "cosine 0.812 to torch fp32 is under 0.97", "precision=bf16")
UNPROVEN = Error("unproven", "threads: asked 4, the engine says 8", "unset OMP_NUM_THREADS")


def engines(batches: tuple[int, ...] = BATCHES) -> list[Record]:
    """Three engines, three precisions: one diverged though the fastest, one case out of memory."""
    found = []
    for backend, slowness in SLOWNESS.items():
        for precision, factor in PRECISIONS.items():
            for batch in batches:
                case = {"backend": backend, "precision": precision, "batch_size": batch}
                p50_s = 0.12 * slowness * factor * (0.5 + 0.8 * batch)
                if (backend, precision) == ("onnxruntime", "int8"):
                    found.append(record(case, p50_s / 9, status="diverged", error=DIVERGED))
                elif (backend, precision, batch) == ("openvino", "fp32", 16):
                    found.append(failed_record("oom", "killed at 16 GiB", "batch_size=4", case))
                else:
                    found.append(record(case, p50_s))
    return found


def cores() -> list[Record]:
    """One to four cores, then one core for each of one to four instances; the last unproven."""
    found = []
    for n in (1, 2, 4):
        found.append(record({"threads": n}, 0.3 / n**0.8))
        last = {"status": "unproven", "error": UNPROVEN} if n == 4 else {}
        if n > 1:
            found.append(record({"threads": 1, "instances": n}, 0.3 * (1 + 0.1 * n), **last))
    return found


def lengths() -> list[Record]:
    doubt = Doubt("load", "other programs took 31 % of the cores")
    return [
        record({"sequence_length": n}, 0.12 * n / 128, doubts=(doubt,) if n == 512 else ())
        for n in (32, 512)
    ]


def everything() -> list[Record]:
    return [*engines(), *cores(), *lengths()]


def low_memory() -> list[Record]:
    """A model run in several ways that need very different memory, with the course of a call."""
    mib = 2**20
    ways = {"torch": (2.4, 1650, 1700), "stream": (2.45, 12, 38), "lazy": (3.4, 470, 480)}
    found = []
    for way, (seconds, tensors, grown) in ways.items():
        knobs = {"backend": "lowmem", "lowmem.strategy": way} if way != "torch" else {}
        for batch in (1, 4):
            case = {"model": "large-bert", "batch_size": batch, "sequence_length": 512, **knobs}
            course = {
                "times_s": (0.0, seconds / 2, seconds),
                "anon_bytes": (300 * mib, (300 + grown) * mib, 300 * mib),
                "file_bytes": (65 * mib, 65 * mib, 65 * mib),
            }
            memory = Memory(baseline_bytes=365 * mib, tensor_peak_bytes=tensors * batch * mib)
            more = {"memory": memory, "passes": {"resident": course}}
            found.append(record(case, seconds * batch, **more))
    return found


def record(case, p50_s, **fields) -> Record:
    return make_record(case, p50_s=p50_s, calls=120, seed=round(p50_s * 1e5) % 997, **fields)


def study(records: list[Record]) -> StudyFacts:
    """A study for throughput and latency whose trials are these records."""
    axes = {
        "backend": Axis("backend", tuple(SLOWNESS)),
        "precision": Axis("precision", tuple(PRECISIONS)),
        "batch_size": Axis("batch_size", BATCHES, 1),
        "threads": Axis("threads", (None, 1, 2, 4)),
        "instances": Axis("instances", (1, 2, 4), 1),
        "torch.mode": Axis("torch.mode", (None, "compile"), None, "torch"),
    }
    trials = []
    for number, own in enumerate(records):
        values = costs = ()
        if own.ok:
            rate, latency_s = own.metrics.throughput_per_s.value, own.metrics.latency_s.p50
            values, costs = (rate, latency_s * 1e3), (1 / rate, latency_s * 1e3)
        trials.append(Trial(
            number,
            "default" if number == 0 else ("expert", "sampler")[number % 2],
            Setting({key: own.case.get(key) for key in axes}),
            own.status,
            own.id,
            values,
            costs,
            {LIMIT: values[1] / 700 - 1} if values else {},
            message=own.error.message if own.error else "",
        ))  # fmt: skip
    best = max((t for t in trials if t.feasible), key=lambda t: t.values[0])
    outcome = Outcome(
        STUDY,
        "budget",
        point=best.setting,
        gain=Interval(4.81, (4.62, 5.01)),
        default_pooled=pooled(trials[0].record),
        best_pooled=pooled(best.record),
        steps=(
            PathStep("backend+precision", "openvino+int8", Interval(3.2, (3.1, 3.3)), IN_TURNS),
            PathStep("batch_size", 4, Interval(1.503), BY_TRIALS),
        ),
        dropped=(PathStep("threads", 2, Interval(1.01, (0.97, 1.05)), IN_TURNS),),
    )
    return StudyFacts(
        STUDY,
        (Goal("throughput", "sequences/s", "more"), Goal("latency", "ms", "less")),
        tuple(trials),
        axes,
        trials[0].setting,
        (LIMIT,),
        {"precision": 0.61, "backend": 0.24, "batch_size": 0.15},
        outcome,
        "6.4 → 31 sequences/s, 4.81x (4.62 to 5.01)",
    )


def pooled(record: str) -> Pooled:
    return Pooled(None, None, None, None, None, (record,))
