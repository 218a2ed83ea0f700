"""Static int8 compiled by torch with max_autotune, with and without the reuse of buffers.

    python -m benchmarks.autotuned_int8 [--layers 2] [--quick]

No part of honed runs. It prints the least cosine of a token to the quantised graph run eagerly,
and the median time of a call. Why honed compiles without the reuse of buffers: docs/torch.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import torch

_WAYS: dict[str, dict[str, bool]] = {
    "plain": {},
    "max_autotune": {"max_autotune": True},
    "max_autotune, no reuse of buffers": {"max_autotune": True, "allow_buffer_reuse": False},
}
_LENGTH = 32
_CALLS = 60


class Tokens(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """A small BERT of MiniLM's width, with weights as large as trained ones: ids to tokens."""

    def __init__(self, layers: int) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        config = BertConfig(
            vocab_size=1000, hidden_size=384, num_hidden_layers=layers, num_attention_heads=12,
            intermediate_size=1536,
        )  # fmt: skip
        self.bert = BertModel(config, add_pooling_layer=False).eval()
        for weight in self.bert.parameters():
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=0.05)

    def forward(self, ids: Any) -> Any:
        return self.bert(input_ids=ids, use_cache=False).last_hidden_state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="few calls: does it run?")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    ids = torch.randint(5, 999, (1, _LENGTH))
    with torch.no_grad():
        graph = quantised(Tokens(asked.layers).eval())
        truth = graph(ids)
        for name, options in _WAYS.items():
            torch._dynamo.reset()
            with torch._inductor.config.patch({"freezing": True, **options}):
                compiled = torch.compile(graph, dynamic=False)
                cosine = least_cosine(compiled(ids), truth)
                p50_ms = median_ms(compiled, ids, 3 if asked.quick else _CALLS)
            print(f"{name}: cosine {cosine:.5f}, p50 {p50_ms:.2f} ms", flush=True)


def quantised(module: Any) -> Any:
    """The module as a graph of int8 products, calibrated on random ids."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    ids = torch.randint(5, 999, (1, _LENGTH))
    graph = torch.export.export(module, (ids,)).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    watched = prepare_pt2e(graph, quantizer)
    for _ in range(4):
        watched(torch.randint(5, 999, (1, _LENGTH)))
    return convert_pt2e(watched)


def least_cosine(got: Any, truth: Any) -> float:
    return float(torch.nn.functional.cosine_similarity(got, truth, dim=-1).min())


def median_ms(call: Any, ids: Any, calls: int) -> float:
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        call(ids)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
