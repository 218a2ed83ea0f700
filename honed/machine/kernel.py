"""Linux system calls that Python does not offer."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterable

# From each architecture's system call table: (get_mempolicy, set_mempolicy).
_POLICY_CALLS = {"x86_64": (239, 238), "aarch64": (236, 237), "riscv64": (236, 237),
                 "ppc64le": (260, 261), "s390x": (269, 270)}  # fmt: skip
_MAX_NODES = 1024  # the kernel's own upper bound, MAX_NUMNODES
_WORD_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_Mask = ctypes.c_ulong * (_MAX_NODES // _WORD_BITS)

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_THP_DISABLE = 41
PR_GET_THP_DISABLE = 42


def prctl(option: int, *arguments: int) -> int:
    """prctl(2), with zeros for missing arguments, as newer options require. Raises OSError."""
    if sys.platform != "linux":
        raise OSError(38, "only Linux has prctl")
    four = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc().prctl(option, *four))


def set_memory_policy(mode: int, nodes: Iterable[int] = ()) -> None:
    """set_mempolicy(2) for this thread and for threads it will start. Raises OSError."""
    mask = _Mask()
    for node in nodes:
        mask[node // _WORD_BITS] |= 1 << (node % _WORD_BITS)
    # The kernel reads one bit less than the given number (mm/mempolicy.c, get_nodes).
    args = (mask, ctypes.c_ulong(_MAX_NODES + 1)) if any(mask) else (None, ctypes.c_ulong(0))
    _checked(_libc().syscall(ctypes.c_long(_policy_calls()[1]), ctypes.c_int(mode), *args))


def memory_policy() -> tuple[int, tuple[int, ...]]:
    """get_mempolicy(2): the mode of this thread's policy and its nodes. Raises OSError."""
    mode, mask = ctypes.c_int(), _Mask()
    number = ctypes.c_long(_policy_calls()[0])
    room = ctypes.c_ulong(_MAX_NODES)
    _checked(_libc().syscall(number, ctypes.byref(mode), mask, room, None, ctypes.c_ulong(0)))
    nodes = (n for n in range(_MAX_NODES) if mask[n // _WORD_BITS] >> (n % _WORD_BITS) & 1)
    return mode.value, tuple(nodes)


def _policy_calls() -> tuple[int, int]:
    calls = _POLICY_CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        raise OSError(38, f"memory policies are not supported on {platform.platform()}")
    return calls


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
