"""Does `honed run` report the times of a bare loop? bert-base 1x128, torch eager fp32, in turns.

    python -m benchmarks.truth [ROUNDS]

The bare loop is a script without honed in another process: the same checkpoint loaded by
transformers and the same number of timed calls. The order alternates.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys

from scipy import stats

from benchmarks._common import honed_run, summary

BARE = """
import sys, time, torch
from transformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1]).eval()
ids = torch.randint(1000, 30000, (1, 128)); mask = torch.ones_like(ids)
def call():
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
times = []
with torch.inference_mode():
    for _ in range(20): call()
    end = time.perf_counter() + 5
    while time.perf_counter() < end:
        began = time.perf_counter(); call(); times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2])
"""


def bare(folder: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", BARE, folder], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def reported() -> float:
    record = honed_run("model=bert-base-uncased", "duration_s=5")
    return float(record["metrics"]["latency_s"]["p50"])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    from honed.models.checkpoint import ModelRequest
    from honed.models.obtain import materialise

    folder = str(materialise(ModelRequest("bert-base-uncased")).folder)
    honed_run("model=bert-base-uncased", "duration_s=0.1")  # everything is cached from here on
    ours, theirs = [], []
    for index in range(rounds):
        order = (reported, lambda: bare(folder))
        for take in order if index % 2 == 0 else reversed(order):
            (ours if take is reported else theirs).append(take())
        print(f"honed {ours[-1] * 1e3:7.2f} ms   bare {theirs[-1] * 1e3:7.2f} ms", flush=True)
    print("honed / bare per round:", summary([a / b for a, b in zip(ours, theirs, strict=True)]))
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    print(
        f"ratio of the medians: {statistics.median(ours) / statistics.median(theirs):.3f}; "
        f"mean ratio {math.exp(statistics.mean(logs)):.3f} "
        f"(95 % interval {math.exp(low):.3f} to {math.exp(high):.3f})"
    )
    print(f"ratio of the fastest: {min(ours) / min(theirs):.3f}")


if __name__ == "__main__":
    main()
