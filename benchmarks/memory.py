"""Are the memory figures right? Weights and tensors to the byte, resident memory to 2 MiB.

python -m benchmarks.memory
"""

from __future__ import annotations

from benchmarks._common import honed_run

MIB = 2**20


def main() -> None:
    from honed.models.checkpoint import ModelRequest
    from honed.models.obtain import materialise

    for model in ("bert-base-uncased", "minilm", "distilbert-base-uncased", "electra-small"):
        folder = materialise(ModelRequest(model)).folder
        from transformers import AutoModel

        truth = sum(p.nbytes for p in AutoModel.from_pretrained(folder).parameters())
        memory = honed_run(f"model={model}", "duration_s=0.1", "warmup_s=0")["memory"]
        print(f"{model}: weights {memory['weights_bytes']} of {truth} bytes")
    quiet = honed_run("model=tiny", "backend=fake", "duration_s=0.1")["memory"]
    for mib in (16, 64, 256, 1024):
        loud = honed_run(
            "model=tiny", "backend=fake", f"fake.allocate_kib={mib * 1024}", "duration_s=0.1"
        )["memory"]
        tensors = loud["tensor_peak_bytes"] - quiet["tensor_peak_bytes"] - mib * MIB
        anonymous = (loud["rss_anon_peak_bytes"] - quiet["rss_anon_peak_bytes"]) / MIB - mib
        resident = (loud["rss_peak_bytes"] - quiet["rss_peak_bytes"]) / MIB - mib
        print(
            f"{mib} MiB allocated: tensor peak off by {tensors} bytes, anonymous by "
            f"{anonymous:+.2f} MiB, resident by {resident:+.2f} MiB"
        )


if __name__ == "__main__":
    main()
