"""Autocast as a module. Imports torch, so it is imported late."""

from __future__ import annotations

from typing import Any

import torch


class Autocast(torch.nn.Module):  # type: ignore[misc]  # torch is not type-checked here
    """`module` under bf16 autocast."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        with torch.autocast(inputs[0].device.type, torch.bfloat16):
            return self.module(*inputs)
