"""What a decoder does beyond one pass: greedy continuation, and the likelihood of sequences."""

from __future__ import annotations

from typing import Any

import torch

from honed.backends.lowmem.modules import ModuleStream

_VOCABULARY_ROWS = 4096  # outputs at a time


class Decoder:
    """A decoder of transformers whose weights are streamed."""

    def __init__(self, stream: ModuleStream) -> None:
        self.stream = stream
        self.module = stream.module

    def cache_bytes(self, batch: int, length: int) -> int:
        """The bytes of the keys and values of so many tokens, in every layer."""
        config = self.module.config
        heads = int(config.num_attention_heads)
        kept = int(getattr(config, "num_key_value_heads", None) or heads)
        width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        element = int(self.stream.weights.dtype.itemsize)
        layers = int(config.num_hidden_layers)
        return 2 * layers * batch * length * kept * width * element

    def generate(self, ids: Any, mask: Any, new_tokens: int) -> Any:
        """Greedy continuation: [batch, length + at most new_tokens]."""
        with self.stream.weights.mapped.held():
            try:
                return self.module.generate(
                    ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False,
                    num_beams=1, use_cache=True,
                )  # fmt: skip
            finally:
                self.stream.weights.mapped.release_all()

    def score(self, ids: Any, mask: Any) -> Any:
        """The log-likelihood of each sequence [batch], without its first token."""
        with self.stream.weights.mapped.held():
            body = self.module.base_model
            states = body(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
            states, targets = states.flatten(0, 1), ids[:, 1:].flatten()
            largest = torch.full((len(states),), float("-inf"), dtype=torch.float32)
            total, wanted = torch.zeros(len(states)), torch.zeros(len(states))
            for begin, logits in self._logits(states):
                # A running sum of exponentials, relative to the largest logit so far.
                now = torch.maximum(largest, logits.amax(1))
                total = total * (largest - now).exp() + (logits - now[:, None]).exp().sum(1)
                largest = now
                inside = (targets >= begin) & (targets < begin + logits.shape[1])
                wanted[inside] = logits[inside, targets[inside] - begin]
            each = (wanted - largest - total.log()).view(len(ids), ids.shape[1] - 1)
            self.stream.weights.mapped.release_all()
            return (each * mask[:, 1:]).sum(1)

    def _logits(self, states: Any) -> Any:
        """The first output and the logits of each part of the vocabulary."""
        head = self.module.get_output_embeddings()
        weights, name = self.stream.weights, self.stream.name_of(head.weight)
        outputs = weights.mapped.stored[name].shape[0]
        for begin in range(0, outputs, _VOCABULARY_ROWS):
            end = min(begin + _VOCABULARY_ROWS, outputs)
            weights.mapped.make_sure_rows(name, begin, end)
            logits = states @ weights.part(name, begin, end).t()
            if head.bias is not None:
                logits += head.bias[begin:end]
            weights.mapped.release_rows(name, begin, end)
            yield begin, logits.float()
