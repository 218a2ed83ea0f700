import json
import platform

import pytest
import trees
from trees import put

from honed.machine import facts


@pytest.fixture
def root(tmp_path):
    trees.far_siblings(2, 4, trees.GIB).write(tmp_path / "sys")
    put(
        tmp_path / "proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz\n"
        "flags\t\t: fpu fma avx2 avx512f avx512_vnni unheard_of\n",
    )
    put(tmp_path / "proc/meminfo", "MemTotal:       197000000 kB\nSwapTotal:       1024 kB")
    put(tmp_path / "proc/sys/vm/swappiness", "60")
    put(tmp_path / "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    system = tmp_path / "sys/devices/system/cpu"
    put(system / "smt/control", "on")
    put(system / "intel_pstate/no_turbo", "0")
    for cpu, governor in ((0, "powersave"), (1, "performance"), (2, "powersave")):
        put(system / f"cpu{cpu}/cpufreq/scaling_governor", governor)
    put(tmp_path / "proc/self/cgroup", "0::/")
    put(tmp_path / "proc/self/mountinfo", "1 1 0:1 / /cg rw - cgroup2 cgroup2 rw")
    put(tmp_path / "cg/memory.max", "1000000")
    return tmp_path


def test_the_facts_of_a_whole_machine(root):
    found = facts.machine_facts(root)
    json.dumps(found)
    assert found["cpu"] == "Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz"
    assert found["flags"] == ["fma", "avx2", "avx512f", "avx512_vnni"]
    assert found["topology"]["cores"] == 8
    assert found["topology"]["threads_per_core"] == 2
    assert found["topology"]["nodes"]["1"]["cpus"] == "4-7,12-15"
    assert found["topology"]["caches"]["l3_bytes"] == 2 * 32 * 2**20
    assert found["memory_bytes"] == 197000000 * 1024
    assert found["memory_limit_bytes"] == 1000000
    assert found["swap_bytes"] == 1024 * 1024
    assert found["swappiness"] == 60
    assert found["governor"] == ["performance", "powersave"]
    assert found["turbo"] is True
    assert found["smt"] == "on"
    assert found["thp"] == "madvise"
    assert found["virtualised"] is False
    assert found["container"] is None


def test_a_container_of_kubernetes(root):
    put(root / "proc/1/cgroup", "0::/kubepods/besteffort/pod1")
    found = facts.machine_facts(root)
    assert (found["container"], found["virtualised"]) == ("kubepods", False)


def test_docker_in_a_virtual_machine(root):
    put(root / "proc/1/cgroup", "0::/kubepods/besteffort/pod1")
    put(root / ".dockerenv", "")
    put(root / "sys/class/dmi/id/sys_vendor", "QEMU")
    found = facts.machine_facts(root)
    assert (found["container"], found["virtualised"]) == ("docker", True)


def test_settings_are_read_again_and_hardware_is_not(root):
    before = facts.machine_facts(root)
    put(root / "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
    put(root / "proc/cpuinfo", "model name: another")
    after = facts.machine_facts(root)
    assert (before["thp"], after["thp"]) == ("madvise", "always")
    assert after["cpu"] == before["cpu"]


@pytest.mark.parametrize(("product", "virtual"), [("c5.metal", False), ("c5.large", True)])
def test_bare_metal_of_amazon_is_not_virtual(root, product, virtual):
    put(root / "sys/class/dmi/id/sys_vendor", "Amazon EC2")
    put(root / "sys/class/dmi/id/product_name", product)
    assert facts.machine_facts(root)["virtualised"] is virtual


def test_arm_names_its_cores_by_number(root):
    put(
        root / "proc/cpuinfo",
        "Features\t: fp asimd asimddp i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40",
    )
    found = facts.machine_facts(root)
    assert found["cpu"] == "implementer 0x41 part 0xd40"
    assert found["flags"] == ["asimd", "asimddp", "i8mm", "bf16"]


def test_an_empty_machine_still_answers(tmp_path):
    found = facts.machine_facts(tmp_path)
    json.dumps(found)
    assert found["memory_bytes"] is None
    assert found["governor"] == []
    assert found["turbo"] is None
    assert found["cpu"]


def test_amd_boost_off(root):
    system = root / "sys/devices/system/cpu"
    (system / "intel_pstate/no_turbo").unlink()
    put(system / "cpufreq/boost", "0")
    assert facts.machine_facts(root)["turbo"] is False


def test_the_fingerprint_is_of_hardware_only(root):
    before = facts.machine_facts(root)
    same = before | {"packages": {"torch": "99"}, "kernel": "7", "governor": [], "thp": None}
    assert facts.fingerprint(same) == facts.fingerprint(before)
    assert facts.fingerprint(before | {"cpu": "other"}) != facts.fingerprint(before)
    assert facts.fingerprint(json.loads(json.dumps(before))) == facts.fingerprint(before)


def test_this_machine():
    found = facts.machine_facts()
    assert found["kernel"] == platform.release()
    assert found["memory_bytes"] > 2**28
    assert found["topology"]["cpus"] >= len(found["limits"]["cpus"].split(","))
    assert found["packages"]["numpy"]
    assert "not-installed" not in found["packages"]


@pytest.mark.parametrize(
    ("text", "word"), [("always [madvise] never", "madvise"), ("[always] x", "always"), ("", None)]
)
def test_chosen(text, word):
    assert facts.chosen(text) == word
