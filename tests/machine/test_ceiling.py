"""The ceiling of memory: a control group where one can be made, else a limit of each process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from honed.machine import ceiling
from honed.machine.ceiling import DATA, GROUP

MIB = 2**20
EATER = """
import sys
sys.stdin.readline()
from honed.machine import ceiling
print(ceiling.read_back(int(sys.argv[2])))
try:
    block = bytearray(int(sys.argv[1]))
    print("fits")
except MemoryError:
    print("refused")
"""


def eat(roof: ceiling.Ceiling, size: int, processes: int = 1) -> tuple[int, str]:
    """The exit code and the words of a process under the ceiling that takes `size` bytes."""
    command = [sys.executable, "-c", EATER, str(size), str(processes)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        roof.admit(process.pid)
        out, _ = process.communicate("go\n")
    return process.returncode, out


def test_without_a_group_each_process_has_a_share_as_its_data_limit(tmp_path: Path) -> None:
    with ceiling.ceiling(512 * MIB, 2, root=tmp_path) as roof:
        assert roof.group is None
        code, fits = eat(roof, 100 * MIB, 2)
        _, refused = eat(roof, 300 * MIB, 2)
        assert roof.kills == 0
    assert code == 0
    assert f"'memory_limit': '512MiB', 'memory_limited_by': '{DATA}'" in fits
    assert fits.endswith("fits\n")
    assert refused.endswith("refused\n")


def test_a_group_ends_a_process_that_takes_more_and_is_gone_afterwards() -> None:
    with ceiling.ceiling(128 * MIB, 1) as roof:
        if roof.group is None:
            pytest.skip("needs the right to make a control group")
        code, fits = eat(roof, 32 * MIB)
        assert (code, roof.kills) == (0, 0)
        assert f"'memory_limit': '128MiB', 'memory_limited_by': '{GROUP}'" in fits
        code, out = eat(roof, 400 * MIB)
        assert code == -9
        assert "fits" not in out
        assert roof.kills == 1
    assert not roof.group.exists()


def test_a_group_counts_what_a_program_takes_from_its_start() -> None:
    program = [sys.executable, "-c", "print(len(bytearray(400 << 20)))"]
    with ceiling.ceiling(128 * MIB, 1) as roof:
        if roof.group is None:
            pytest.skip("needs the right to make a control group")
        done = subprocess.run(roof.words(program), capture_output=True, text=True)
        assert (done.returncode, done.stdout, roof.kills) == (-9, "", 1)
    assert ceiling.Ceiling(128 * MIB, 1).words(program) == program


def test_a_group_that_was_taken_away_leaves_the_data_limit(tmp_path: Path) -> None:
    roof = ceiling.Ceiling(256 * MIB, 1, tmp_path / "gone")
    _, refused = eat(roof, 300 * MIB)
    assert DATA in refused
    assert refused.endswith("refused\n")


def test_the_kernel_rounds_to_pages() -> None:
    assert ceiling.proves(1_500_000_000, 1_499_996_160, 1)
    assert not ceiling.proves(2 * MIB, 1 * MIB, 1)
