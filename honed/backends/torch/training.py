"""The training step of torch: forward, backward and optimizer on random labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honed.backends.base import (
    Batch,
    LoadRequest,
    MeasuredMemory,
    Outputs,
    SelfCheck,
    Step,
    precision_of_most,
)
from honed.backends.torch import (
    compiled_attention,
    memory,
    optimizers,
    phases,
    products,
    training_setup,
)
from honed.backends.torch.labels import loss_of
from honed.backends.torch.phases import Around
from honed.backends.torch.training_setup import Feed, joined
from honed.knob import Value
from honed.mixed_precision import MixedPrecision
from honed.profile import OperatorEvent
from honed.step import BACKWARD, FORWARD, OPTIMIZER, PHASES, Phased
from honed.timeline import MemoryKind

_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}
_CLIP_NORM = 1.0


class TrainingStep(Step):
    """A model in training mode with an optimizer. A call ends after the phase `until`."""

    def __init__(self, request: LoadRequest) -> None:
        import torch

        case = request.case
        training_setup.check(case)
        training_setup.refuse_what_cannot_fit(request)
        self._request, self._case = request, case
        self._device = case.device
        self._until = str(case.get("until") or PHASES[-1])
        self._last_loss: float | None = None
        self._compiled = case.get("torch.mode") == "compile"
        self.module = training_setup.module_of(request)
        self.weights_bytes = sum(int(p.nbytes) for p in self.module.parameters())
        self._forward: Callable[..., Any] = self.module
        if self._compiled:
            self._forward = torch.compile(self.module, dynamic=False)
        self.optimizer = None
        if self._until == OPTIMIZER:
            self.optimizer = optimizers.optimizer(case, self.module.parameters())

    def prepare(self, batch: Batch) -> Feed:
        return training_setup.feed_of(self._request, batch)

    def run(self, feed: Feed, around: Around = phases.alone) -> Phased:
        """`around` makes a context around each phase."""
        clock = phases.PhaseClock(self._device, around)
        losses, last = [], len(feed.parts)
        for part, (inputs, labels) in enumerate(feed.parts, 1):
            with clock.phase(FORWARD):
                loss = self._loss(inputs, labels) / len(feed.parts)
                losses.append(loss.detach())
                if self._until == FORWARD:
                    del loss  # frees the graph within the phase that made it
            if self._until != FORWARD:
                with clock.phase(BACKWARD):
                    loss.backward()
                    del loss
                    if self._until == BACKWARD and part == last:
                        self.module.zero_grad(set_to_none=True)
        if self.optimizer is not None:
            with clock.phase(OPTIMIZER):
                self._update(self.optimizer)
        self._last_loss = float(sum(losses))
        return Phased(clock.taken_ns, self._last_loss)

    def _loss(self, inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        with self._precision():
            return loss_of(self._forward, inputs, labels)

    def _update(self, optimizer: Any) -> None:
        import torch

        if self._case.get("clipping") == "on":
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), _CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """Autocast for bf16 and fp16, unless the weights themselves are bf16."""
        import torch

        kind = getattr(torch, _AUTOCAST.get(self._case.precision, "bfloat16"))
        with torch.autocast(self._device, kind, enabled=self._is_mixed):
            yield

    @property
    def _is_mixed(self) -> bool:
        return self._case.precision != "fp32" and self._case.get("torch.bf16") != "weights"

    def outputs(self, raw: Any) -> Outputs:  # noqa: ARG002
        """A training step has no outputs; `self_check` judges what it computes."""
        return {}

    def self_check(self) -> SelfCheck:
        """The loss, and the gradient of the first weights, which has come back through every
        layer; without dropout, whose random numbers differ between precisions."""
        inputs, labels = joined(self._small_feed())
        with _without_dropout(self.module):
            with self._precision():
                got = self._loss_and_gradient(self._forward, self.module, inputs, labels)
            with compiled_attention.left_out(self.module):
                plain = _in_fp32(self.module).eval()
                reference = self._loss_and_gradient(plain, plain, inputs, labels)
            self.module.train()
        return SelfCheck(*_without_common_zeros(got, reference), "torch fp32 eager")

    def memory_timeline(self, feed: Feed) -> MeasuredMemory | None:
        """Of the next call; compiled code allocates where the tracer does not see it."""
        if self._compiled or compiled_attention.asked(self._case):
            return None
        from honed.backends.torch.timeline import timeline_of, with_residuals

        held = {
            MemoryKind.ACTIVATIONS: list(feed),
            MemoryKind.OPTIMIZER: optimizers.state_tensors(self.optimizer),
        }
        timeline = timeline_of(self.module, held, lambda around: self.run(feed, around))
        measured = MeasuredMemory(timeline)
        if self._until != FORWARD:
            inputs, labels = feed.parts[0]
            measured = with_residuals(
                timeline, self.module, held, lambda: self._loss(inputs, labels)
            )
        if self._device != "cuda":
            return measured
        return replace(measured, snapshot=memory.cuda_history(lambda: self.run(feed)))

    def mixed_precision(self) -> MixedPrecision | None:
        """Of a small batch, without dropout."""
        from honed.backends.torch.mixed import observe

        if not self._is_mixed:
            return None
        inputs, labels = joined(self._small_feed())
        with _without_dropout(self.module):
            return observe(
                self.module, lambda: loss_of(self.module, inputs, labels), self._precision,
                backward=self._until != FORWARD,
            )  # fmt: skip

    def _loss_and_gradient(
        self, forward: Any, module: Any, inputs: Any, labels: Any
    ) -> dict[str, Any]:
        """The loss of `forward`, which may be compiled code of `module`, and the gradient of the
        module's first parameter as one row."""
        loss = loss_of(forward, inputs, labels)
        arrays = {"loss": loss.detach().float().reshape(1, 1).cpu().numpy()}
        if self._until != FORWARD:
            loss.backward()
            first = next(p for p in module.parameters() if p.grad is not None)
            arrays["gradient"] = first.grad.float().reshape(1, -1).cpu().numpy()
            module.zero_grad(set_to_none=True)
        return arrays

    def tensor_peak_bytes(self, feed: Feed) -> int | None:
        if self._device == "cuda":
            return self.device_memory(feed)["allocated_peak_bytes"]
        return self._held_bytes(feed) + phases.live_bytes(lambda: self.run(feed))[0]

    def after_phase_bytes(self, feed: Feed) -> Mapping[str, int]:
        if self._device == "cuda":
            return {}
        held = self._held_bytes(feed)
        after = phases.live_bytes(lambda: self.run(feed))[1]
        return {phase: held + size for phase, size in after.items()}

    def _held_bytes(self, feed: Feed) -> int:
        """What stays between calls: weights, the state of the optimizer and the inputs."""
        state = sum(int(t.nbytes) for t in optimizers.state_tensors(self.optimizer))
        return self.weights_bytes + state + sum(int(tensor.nbytes) for tensor in feed)

    def profile(self, feed: Feed) -> Sequence[OperatorEvent]:
        from honed.backends.torch.profiling import profile_call

        return profile_call(lambda: self.run(feed), None if self._compiled else self.module)

    def device_memory(self, feed: Feed) -> Mapping[str, int]:
        return memory.cuda_peak(self.run, feed) if self._device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        from honed.models.torch import checkpointing

        feed = self._small_feed()
        counts = products.of_call(lambda: self.run(feed))
        parameters = list(self.module.parameters())
        attention = self.module.config._attn_implementation
        has_compiled = attention == compiled_attention.NAME
        bf16 = "weights" if parameters[0].dtype == torch.bfloat16 else "autocast"
        return {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "device": "cuda" if parameters[0].is_cuda else "cpu",
            "precision": precision_of_most(counts.elements()),
            "products": ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or None,
            "torch.mode": "compile" if self._compiled and _graphs() else "eager",
            "torch.bf16": bf16 if self._case.precision == "bf16" else None,
            "torch.attention": attention,
            compiled_attention.KNOB.name: "on" if has_compiled and _graphs() else "off",
            "until": self._until,
            "checkpointing": checkpointing.how_of(self.module),
            "accumulation_steps": len(feed.parts),
            "clipping": self._case.get("clipping") or "off",
            "parameters": sum(p.numel() for p in parameters),
            "loss": self._last_loss,
            **(optimizers.read_back(self.optimizer) if self.optimizer is not None else {}),
        }

    def _small_feed(self) -> Feed:
        """A short batch, by which operators and gradients are judged. Compiled code gets the shape
        of the Case, for which it is compiled already."""
        from honed.models.inputs import random_inputs

        rows, length = max(2, int(self._case.get("accumulation_steps") or 1)), 16
        if self._compiled:
            rows, length = self._case.batch_size, self._case.sequence_length
        longest = self._request.checkpoint.max_positions or length
        made = random_inputs(
            self._request.checkpoint, rows, min(length, longest), seed=self._case.seed
        )
        return self.prepare(made.batches[0])

    def close(self) -> None:
        del self.module, self.optimizer, self._forward


def _without_common_zeros(
    got: dict[str, Any], reference: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays without the gradients that are zero in both: those of words that the batch does
    not have, nearly all of a table of words. Comparing them in float64 took hundreds of MiB."""
    if "gradient" not in got:
        return got, reference
    arrays = got["gradient"], reference["gradient"]
    kept = (arrays[0] != 0) | (arrays[1] != 0)
    if not kept.any():
        return got, reference
    small = [array[kept].reshape(1, -1) for array in arrays]
    return {**got, "gradient": small[0]}, {**reference, "gradient": small[1]}


@contextlib.contextmanager
def _without_dropout(module: Any) -> Iterator[None]:
    """The module in training mode, but with every share of dropout at 0."""
    shares = [
        (part, name, value)
        for part in module.modules()
        for name, value in list(vars(part).items())
        if isinstance(value, float) and ("dropout" in name or (name == "p" and _drops(part)))
    ]
    for part, name, _ in shares:
        setattr(part, name, 0.0)
    try:
        yield
    finally:
        for part, name, value in shares:
            setattr(part, name, value)


def _drops(part: Any) -> bool:
    return "dropout" in type(part).__name__.lower()


def _in_fp32(module: Any) -> Any:
    """The module itself if its weights are fp32, else a copy in fp32."""
    import copy

    import torch

    if next(module.parameters()).dtype == torch.float32:
        return module
    return copy.deepcopy(module).float()


def _graphs() -> int:
    """How many graphs torch.compile has made in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
