"""Runs the checkpoint of a delivered folder with transformers. It imports torch, transformers,
safetensors and numpy, and not honed.

honed copies this file into the folder as `engine.py`. `text_pooling.py`, beside it, pools.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

_GRAPHS = 256  # torch's own limit is 8; beyond it, calls silently run eagerly


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """The transformer, and for features the pooling and the layers behind it."""

    def __init__(self, module: Any, facts: Mapping[str, Any], behind: Sequence[Any]) -> None:
        super().__init__()
        self.module = module
        self.inputs, self.outputs = facts["inputs"], facts["outputs"]
        self.behind = torch.nn.ModuleList(behind)

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        output = self.module(**dict(zip(self.inputs, tensors, strict=True)))
        if not self.behind:
            return tuple(getattr(output, name) for name in self.outputs)
        pooling, *layers = self.behind
        vectors = pooling(output.last_hidden_state, tensors[1])
        for layer in layers:
            vectors = layer(vectors)
        return (vectors,)


class Engine:
    """One module. `settings` has "threads", "dtype", "autocast", "attention", "int8" and
    "compile", the options of torch.compile's Inductor (null: the module runs eagerly)."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        if (threads := settings.get("threads")) is not None:
            torch.set_num_threads(threads)
            with contextlib.suppress(RuntimeError):  # torch allows it before its first work only
                torch.set_num_interop_threads(1)
        self._settings = settings
        self._facts = json.loads((folder / "engine.json").read_text())
        head = self._loaded(folder).eval()
        if settings.get("int8"):
            scales = torch.ao.quantization.per_channel_dynamic_qconfig
            head = torch.ao.quantization.quantize_dynamic(
                head, {torch.nn.Linear: scales}, dtype=torch.qint8, inplace=True
            )
        dtype = settings.get("dtype")
        self._head = head if dtype is None else head.to(getattr(torch, dtype))
        self._call = self._compiled(settings.get("compile"))

    def _loaded(self, folder: Path) -> Head:
        import transformers

        attention = self._settings.get("attention")
        options = {"attn_implementation": attention} if attention else {}
        module = getattr(transformers, self._facts["class"]).from_pretrained(
            folder / self._facts["transformer"],
            dtype=torch.float32,
            local_files_only=True,
            **options,
        )
        module.config.use_cache = False
        return Head(module, self._facts, self._behind(folder))

    def _behind(self, folder: Path) -> list[Any]:
        """The pooling and the layers behind it; none where the outputs are the model's own."""
        if self._facts["pooling"] is None:
            return []
        parts: Any = importlib.import_module("text_pooling")
        behind = [parts.Pooling(self._facts["pooling"], self._facts["left_out"])]
        for facts in self._facts["layers"]:
            if facts["kind"] == "normalize":
                behind.append(parts.Normalize())
                continue
            dense = parts.Dense(SimpleNamespace(**facts))
            dense.load_state_dict(_tensors(folder / facts["folder"]))
            behind.append(dense)
        return behind

    def _compiled(self, options: Mapping[str, Any] | None) -> Any:
        if options is None:
            return self._head
        # Freezing is decided before torch.compile reads its own options, so they are set globally.
        for name, value in options.items():
            setattr(torch._inductor.config, name, value)
        torch._dynamo.config.recompile_limit = _GRAPHS
        torch._dynamo.config.accumulated_recompile_limit = 4 * _GRAPHS
        return torch.compile(self._head, dynamic=False)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """int64 arrays [batch_size, length] by input name to float arrays by output name."""
        tensors = [torch.from_numpy(batch[name]) for name in self._facts["inputs"]]
        autocast = bool(self._settings.get("autocast"))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            raw = self._call(*tensors)
        return {n: t.float().numpy() for n, t in zip(self._facts["outputs"], raw, strict=True)}

    def in_force(self) -> dict[str, str]:
        """The threads of torch, the instructions of its kernels, and the type of the weights."""
        isa = torch.backends.cpu.get_cpu_capability()
        types = sorted({str(p.dtype) for p in self._head.parameters()})
        threads = str(torch.get_num_threads())
        return {"threads": threads, "instructions": isa, "weights": ", ".join(types)}


def _tensors(folder: Path) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        from safetensors.torch import load_file

        tensors |= load_file(path)
    for path in [] if tensors else sorted(folder.glob("*.bin")):
        tensors |= torch.load(path, map_location="cpu", weights_only=True)
    return tensors
