"""Which precisions the CPU multiplies natively, and how much faster than fp32, from its flags.

The numbers are multiply-adds per instruction (AMX: per cycle), divided by those of the widest fp32
FMA of a CPU with the flag. The highest number among the flags of a CPU counts.

AVX-512: VFMADDPS does 16, VDPBF16PS 32, VFMADDPH 32, VPDPBUSD 64 in a 512-bit register; in 256
bits (AVX-VNNI, AVX-VNNI-INT8) 8 and 32. Intel 64 and IA-32 Architectures SDM, volume 2. The same
issue rate is assumed for all of them.
AMX: per core and cycle 2048 int8 and 1024 bf16 or fp16 operations against 64 for fp32 with two
AVX-512 ports. Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX.
Arm: FMLA does 4 per 128 bits, fp16 FMLA 8, BFMMLA 16, SDOT 16, SMMLA 32. Arm Architecture
Reference Manual, A-profile; here too the same issue rate is assumed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from honed.record import Doubt

_X86: Mapping[str, Mapping[str, float]] = {
    "bf16": {"amx_bf16": 16, "avx512_bf16": 2},
    "fp16": {"amx_fp16": 16, "avx512_fp16": 2},
    "int8": {"amx_int8": 32, "avx512_vnni": 4, "avx_vnni": 4, "avx_vnni_int8": 4},
}
_ARM: Mapping[str, Mapping[str, float]] = {
    "bf16": {"bf16": 4, "svebf16": 4},
    "fp16": {"asimdhp": 2},
    "int8": {"asimddp": 4, "i8mm": 8, "svei8mm": 8},
}
# No CPU multiplies four-bit weights: engines unpack them, and multiply int8 at best.
_MULTIPLIED_AS = {"int4": "int8"}
NARROW = ("bf16", "fp16", "int8", "int4")

# What engines do on a CPU without such instructions. int8: VPMADDUBSW adds pairs of products in 16
# bits, where they may saturate, then two more instructions widen and add them (oneDNN, "Nuances of
# int8 computations").
_X86_INSTEAD = {
    "bf16": "converts to fp32 and back: half the memory, at best fp32's speed",
    "fp16": "converts to fp32 and back: half the memory, at best fp32's speed",
    "int8": "takes three instructions for one, and its sums may saturate at 16 bits",
}
_ARM_INSTEAD = {**_X86_INSTEAD, "int8": "widens to 16 bits first"}


def isa_ratio(precision: str, flags: Collection[str]) -> float:
    """The rate of `precision` over that of fp32; 1 if no instruction multiplies it natively."""
    return max((r for flag, r in _ratios(precision).items() if flag in flags), default=1.0)


def native_by(precision: str, flags: Collection[str]) -> str | None:
    """The flag of the fastest instructions that multiply `precision`; None if there are none."""
    present = {flag: r for flag, r in _ratios(precision).items() if flag in flags}
    return max(present, key=lambda flag: present[flag], default=None)


def emulated(precision: str, facts: Mapping[str, Any]) -> str:
    """A sentence on how engines imitate `precision` on this CPU; empty if it is native.

    The sentence is also empty if the kernel lists no flag that FLAGS knows.
    """
    flags = facts.get("flags") or ()
    named = _MULTIPLIED_AS.get(precision, precision)
    if not flags or named not in _X86 or native_by(precision, flags) is not None:
        return ""
    arm = "asimd" in flags
    needed, instead = (_ARM, _ARM_INSTEAD) if arm else (_X86, _X86_INSTEAD)
    return (
        f"this CPU has no {named} products ({' or '.join(needed[named])}): an engine "
        f"{instead[named]}"
    )


def doubts(precision: str, device: str, facts: Mapping[str, Any]) -> tuple[Doubt, ...]:
    sentence = emulated(precision, facts) if device == "cpu" else ""
    return (Doubt("emulated", f"{precision}: {sentence}"),) if sentence else ()


def _ratios(precision: str) -> Mapping[str, float]:
    named = _MULTIPLIED_AS.get(precision, precision)
    return {**_X86.get(named, {}), **_ARM.get(named, {})}
