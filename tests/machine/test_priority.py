"""A process that gives way has a lower priority, and so have the threads that it starts. A thread
with short slices keeps them to itself."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, threading
from honed.machine.priority import give_way
before = os.getpriority(os.PRIO_PROCESS, 0)
assert give_way(0) == before
level = give_way(3)
found = []
thread = threading.Thread(target=lambda: found.append(
    os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
thread.start()
thread.join()
print(before, level, found[0])
"""


def test_threads_inherit_the_lower_priority() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          check=True, start_new_session=True)  # fmt: skip
    before, level, of_thread = map(int, done.stdout.split())
    assert before == os.getpriority(os.PRIO_PROCESS, 0)
    assert level == of_thread == min(19, before + 3)


SLICES = """
import threading
from honed.machine.priority import ask_for_slices, slice_s
usual = slice_s()
assert ask_for_slices(0.0007) == slice_s()
assert ask_for_slices(0.0005) == slice_s()
found = []
thread = threading.Thread(target=lambda: found.append(slice_s()))
thread.start()
thread.join()
print(usual, slice_s(), found[0])
"""


def test_short_slices_are_of_one_thread() -> None:
    """Kernels before 6.12 keep the usual length, or tell none."""
    done = subprocess.run([sys.executable, "-c", SLICES], capture_output=True, text=True,
                          check=True)  # fmt: skip
    usual, asked, of_thread = done.stdout.split()
    assert asked in ("0.0005", usual)
    assert of_thread == usual
