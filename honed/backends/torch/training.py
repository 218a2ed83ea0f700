"""The training step of torch: forward, backward and optimizer on random labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from honed.backends.base import Batch, LoadRequest, Outputs, SelfCheck, Step, precision_of_most
from honed.backends.torch import optimizers, phases, products
from honed.backends.torch.labels import labels_for, loss_of
from honed.case import Case
from honed.errors import OutOfMemoryError, UnsupportedError
from honed.knob import Value
from honed.machine import limits
from honed.mixed_precision import MixedPrecision
from honed.models.heads import input_names
from honed.profile import OperatorEvent
from honed.step import BACKWARD, FORWARD, OPTIMIZER, PHASES, Phased

_PRECISIONS = ("fp32", "bf16", "fp16")
_AUTOCAST = {"bf16": "bfloat16", "fp16": "float16"}
_MODES = ("eager", "compile")
_CLIP_NORM = 1.0
_MIB = 2**20


def check(case: Case) -> None:
    """Raise UnsupportedError for settings that no training step has."""
    if case.precision not in _PRECISIONS:
        raise UnsupportedError(
            f"torch trains in {' or '.join(_PRECISIONS)} here, not in {case.precision}",
            f"precision={','.join(_PRECISIONS)}",
        )
    if (mode := case.get("torch.mode") or "eager") not in _MODES:
        raise UnsupportedError(
            f"torch.mode={mode} has no backward pass", f"torch.mode={','.join(_MODES)}"
        )
    for name in ("torch.packed", "torch.buckets", "torch.freezing", "torch.max_autotune"):
        if case.get(name) not in (None, "off"):
            raise UnsupportedError(f"{name} is for inference", f"drop {name}")
    parts = int(case.get("accumulation_steps") or 1)
    if case.batch_size % parts:
        raise UnsupportedError(
            f"batch_size={case.batch_size} cannot be split into {parts} equal parts",
            f"accumulation_steps={_largest_divisor(case.batch_size, parts)}",
        )
    optimizers.check(case)


def _largest_divisor(number: int, limit: int) -> int:
    return max(n for n in range(1, limit + 1) if number % n == 0)


class Feed(tuple[Any, ...]):
    """The inputs and labels as tensors; `parts` are the same, split for accumulation: each holds
    the inputs by name, and the labels by name."""

    parts: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = ()


class TrainingStep(Step):
    """A model in training mode with an optimizer. A call ends after the phase `until`."""

    def __init__(self, request: LoadRequest) -> None:
        import torch

        case = request.case
        check(case)
        self._request, self._case = request, case
        self._device = case.device
        self._until = str(case.get("until") or PHASES[-1])
        self._last_loss: float | None = None
        self._compiled = case.get("torch.mode") == "compile"
        self.weights_bytes = request.checkpoint.weights_bytes
        self._refuse_what_cannot_fit()
        self.module = self._module()
        self.weights_bytes = sum(int(p.nbytes) for p in self.module.parameters())
        self._forward: Callable[..., Any] = self.module
        if self._compiled:
            self._forward = torch.compile(self.module, dynamic=False)
        self.optimizer = None
        if self._until == OPTIMIZER:
            self.optimizer = optimizers.optimizer(case, self.module.parameters())

    def _module(self) -> Any:
        """The model in training mode. Its weights are copied out of the checkpoint's map, which
        the optimizer would otherwise copy page by page in the first step."""
        import torch

        from honed.models.torch.module import load_module

        attention = self._case.get("torch.attention")
        module = load_module(
            self._request.checkpoint, attention=None if attention is None else str(attention)
        )
        whole = self._case.precision == "bf16" and self._case.get("torch.bf16") == "weights"
        kind = torch.bfloat16 if whole else torch.float32
        for parameter in module.parameters():
            parameter.data = parameter.data.to(self._device, kind, copy=True)
        for buffer in module.buffers():
            buffer.data = buffer.data.to(self._device)
        if self._case.get("checkpointing") == "blocks":
            if not module.supports_gradient_checkpointing:
                raise UnsupportedError(
                    f"{self._request.checkpoint.model_type} has no activation checkpointing",
                    "checkpointing=off",
                )
            module.gradient_checkpointing_enable({"use_reentrant": False})
        return module.train()

    def _refuse_what_cannot_fit(self) -> None:
        """Weights, gradients and the state of the optimizer, before anything is allocated."""
        copies = 1 + (self._until != FORWARD)
        copies += optimizers.state_copies(self._case) if self._until == OPTIMIZER else 0
        needed, free = copies * self.weights_bytes, limits.free_bytes()
        if self._device == "cpu" and free is not None and needed > free:
            raise OutOfMemoryError(
                f"weights, gradients and optimizer state take {needed // _MIB:,} MiB, and "
                f"{free // _MIB:,} MiB are free",
                "until=forward, optimizer=sgd or a smaller model",
            )

    def prepare(self, batch: Batch) -> Feed:
        import torch

        names = input_names(self._request.checkpoint)
        inputs = {name: torch.from_numpy(batch[name]).to(self._device) for name in names}
        labels = labels_for(self._request.checkpoint, inputs, self._case.seed)
        feed = Feed((*inputs.values(), *labels.values()))
        count = int(self._case.get("accumulation_steps") or 1)
        split = [
            [dict(zip(tensors, part, strict=True)) for part in _split(tensors, count)]
            for tensors in (inputs, labels)
        ]
        feed.parts = tuple(zip(split[0], split[1] or [{}] * count, strict=True))
        return feed

    def run(self, feed: Feed) -> Phased:
        clock = phases.PhaseClock(self._device)
        losses = []
        for inputs, labels in feed.parts:
            with clock.phase(FORWARD):
                loss = self._loss(inputs, labels) / len(feed.parts)
                losses.append(loss.detach())
                if self._until == FORWARD:
                    del loss  # frees the graph within the phase that made it
            if self._until != FORWARD:
                with clock.phase(BACKWARD):
                    loss.backward()
                    del loss
                    if self._until == BACKWARD:
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
        from honed.models.inputs import random_inputs

        checkpoint = self._request.checkpoint
        rows = max(2, int(self._case.get("accumulation_steps") or 1))
        feed = self.prepare(random_inputs(checkpoint, rows, 16, seed=self._case.seed).batches[0])
        inputs, labels = _joined(feed)
        with _without_dropout(self.module):
            with self._precision():
                got = self._gradient(self._forward, inputs, labels)
            reference = self._gradient(_in_fp32(self.module).eval(), inputs, labels)
            self.module.train()
        return SelfCheck(got, reference, "torch fp32 eager")

    def mixed_precision(self) -> MixedPrecision | None:
        """Of a small batch, without dropout."""
        from honed.backends.torch.mixed import observe
        from honed.models.inputs import random_inputs

        if not self._is_mixed:
            return None
        batch = random_inputs(self._request.checkpoint, 2, 16, seed=self._case.seed).batches[0]
        inputs, labels = _joined(self.prepare(batch))
        with _without_dropout(self.module):
            return observe(
                self.module, lambda: loss_of(self.module, inputs, labels), self._precision,
                backward=self._until != FORWARD,
            )  # fmt: skip

    def _gradient(self, call: Any, inputs: Any, labels: Any) -> dict[str, Any]:
        """The loss, and the gradient of the first parameter as one row."""
        module = call if call is not self._forward else self.module
        loss = loss_of(call, inputs, labels)
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
        state = optimizers.state_bytes(self.optimizer) if self.optimizer is not None else 0
        return self.weights_bytes + state + sum(int(tensor.nbytes) for tensor in feed)

    def profile(self, feed: Feed) -> Sequence[OperatorEvent]:
        from honed.backends.torch.profiling import profile_call

        return profile_call(lambda: self.run(feed), None if self._compiled else self.module)

    def device_memory(self, feed: Feed) -> Mapping[str, int]:
        from honed.backends.torch import memory

        return memory.cuda_peak(self.run, feed) if self._device == "cuda" else {}

    def read_back(self) -> Mapping[str, Value | None]:
        import torch

        feed = self._small_feed()
        counts = products.of_call(lambda: self.run(feed))
        parameters = list(self.module.parameters())
        checkpointed = any(
            getattr(part, "gradient_checkpointing", False) for part in self.module.modules()
        )
        kind = "weights" if parameters[0].dtype == torch.bfloat16 else "autocast"
        return {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "device": "cuda" if parameters[0].is_cuda else "cpu",
            "precision": precision_of_most(counts.elements()),
            "products": ", ".join(f"{n} {kind}" for kind, n in counts.most_common()) or None,
            "torch.mode": "compile" if self._compiled and _graphs() else "eager",
            "torch.bf16": kind if self._case.precision == "bf16" else None,
            "torch.attention": self.module.config._attn_implementation,
            "until": self._until,
            "checkpointing": "blocks" if checkpointed else "off",
            "accumulation_steps": len(feed.parts),
            "clipping": self._case.get("clipping") or "off",
            "parameters": sum(p.numel() for p in parameters),
            "loss": self._last_loss,
            **(optimizers.read_back(self.optimizer) if self.optimizer is not None else {}),
        }

    def _small_feed(self) -> Feed:
        """A short batch whose call tells which operators run; compiled code sees the shape of the
        Case, which it has compiled already."""
        from honed.models.inputs import random_inputs

        length = self._case.sequence_length if self._compiled else 8
        rows = self._case.batch_size
        made = random_inputs(self._request.checkpoint, rows, length, seed=0)
        return self.prepare(made.batches[0])

    def close(self) -> None:
        del self.module, self.optimizer, self._forward


def _split(tensors: Mapping[str, Any], count: int) -> list[tuple[Any, ...]]:
    """The rows of all tensors in `count` equal parts."""
    if not tensors:
        return []
    return list(zip(*(tensor.chunk(count) for tensor in tensors.values()), strict=True))


def _joined(feed: Feed) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parts of a feed as one."""
    import torch

    def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return join([p[0] for p in feed.parts]), join([p[1] for p in feed.parts])


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
