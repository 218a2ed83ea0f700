"""Which precisions are native, on flags as /proc/cpuinfo of real machines shows them."""

from __future__ import annotations

import pytest

from honed.machine import isa
from honed.machine.doctor import precisions
from honed.machine.facts import FLAGS

# What of FLAGS each machine's kernel names.
HASWELL = "sse4_2 fma avx avx2"
SKYLAKE_SP = f"{HASWELL} avx512f avx512bw"
ICE_LAKE = f"{SKYLAKE_SP} avx512_vnni"
COOPER_LAKE = f"{ICE_LAKE} avx512_bf16"
ALDER_LAKE = f"{HASWELL} avx_vnni"
ARROW_LAKE = f"{ALDER_LAKE} avx_vnni_int8"
SAPPHIRE_RAPIDS = f"{COOPER_LAKE} avx_vnni avx512_fp16 amx_tile amx_int8 amx_bf16"
GRANITE_RAPIDS = f"{SAPPHIRE_RAPIDS} amx_fp16"
ZEN_3, ZEN_4 = HASWELL, COOPER_LAKE
CORTEX_A72 = "asimd"
NEOVERSE_N1 = "asimd fphp asimdhp asimddp"
NEOVERSE_V1 = f"{NEOVERSE_N1} sve bf16 i8mm svebf16 svei8mm"


@pytest.mark.parametrize(
    ("flags", "bf16", "fp16", "int8"),
    [
        (HASWELL, None, None, None),
        (SKYLAKE_SP, None, None, None),
        (ICE_LAKE, None, None, "avx512_vnni"),
        (COOPER_LAKE, "avx512_bf16", None, "avx512_vnni"),
        (ALDER_LAKE, None, None, "avx_vnni"),
        (ARROW_LAKE, None, None, "avx_vnni"),
        (SAPPHIRE_RAPIDS, "amx_bf16", "avx512_fp16", "amx_int8"),
        (GRANITE_RAPIDS, "amx_bf16", "amx_fp16", "amx_int8"),
        (ZEN_3, None, None, None),
        (ZEN_4, "avx512_bf16", None, "avx512_vnni"),
        (CORTEX_A72, None, None, None),
        (NEOVERSE_N1, None, "asimdhp", "asimddp"),
        (NEOVERSE_V1, "bf16", "asimdhp", "i8mm"),
    ],
)
def test_what_each_machine_multiplies_natively(
    flags: str, bf16: str | None, fp16: str | None, int8: str | None
) -> None:
    facts = {"flags": flags.split()}
    assert set(facts["flags"]) <= set(FLAGS)
    found = {p.name: p.native_by for p in precisions(facts)}
    assert found == {"bf16": bf16, "fp16": fp16, "int8": int8, "int4": int8}
    for state in precisions(facts):
        assert bool(state.why) == (state.native_by is None)
        assert bool(isa.doubts(state.name, "cpu", facts)) == bool(state.why)


def test_the_doubt_names_the_instructions_and_what_happens_instead() -> None:
    (doubt,) = isa.doubts("int8", "cpu", {"flags": HASWELL.split()})
    assert doubt.kind == "emulated"
    assert "avx512_vnni or avx_vnni" in doubt.message
    assert "saturate" in doubt.message
    (doubt,) = isa.doubts("int8", "cpu", {"flags": CORTEX_A72.split()})
    assert "asimddp" in doubt.message
    assert "avx" not in doubt.message


def test_no_doubt_without_flags_for_fp32_and_on_a_gpu() -> None:
    assert not isa.doubts("int8", "cpu", {"flags": []})
    assert not isa.doubts("fp32", "cpu", {"flags": HASWELL.split()})
    assert not isa.doubts("fp16", "cuda", {"flags": HASWELL.split()})
