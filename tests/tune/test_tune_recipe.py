"""What reproduces a recommendation outside of honed."""

from __future__ import annotations

from honed.case import Case
from honed.machine.knobs import allocator
from honed.tune.recipe import recipe


def test_the_command_the_environment_and_the_snippet_say_only_what_is_set() -> None:
    found = recipe(Case(model="tiny-bert", backend="onnxruntime", precision="int8", threads=1))
    assert found.command == (
        "honed run model=tiny-bert backend=onnxruntime precision=int8 threads=1"
    )
    assert found.environment == "OMP_NUM_THREADS=1"
    assert "    threads=1," in found.python.splitlines()


def test_a_preloaded_allocator_brings_what_its_engine_needs_beside_it() -> None:
    def lines(backend: str) -> list[str]:
        case = Case(model="tiny-bert", backend=backend, knobs={"allocator": "jemalloc"})
        return recipe(case).environment.splitlines()

    path = allocator.find("jemalloc")
    assert f"LD_PRELOAD={path}" in lines("onnxruntime")
    assert "TBB_ENABLE_SANITIZERS=1" in lines("openvino")
    assert "TBB_ENABLE_SANITIZERS=1" not in lines("onnxruntime")
