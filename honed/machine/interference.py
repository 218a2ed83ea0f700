"""What disturbed a measurement: counters of the kernel before and after, and doubts from them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from honed.machine import limits
from honed.machine.proc import counter, read_int, read_text
from honed.machine.topology import format_cpus
from honed.phase import Phase
from honed.record import Doubt

# The kernel counts CPU time in ticks, usually of 10 ms: the time that other processes used in a
# window is known only to within about this many ticks per CPU.
_UNCERTAIN_TICKS = 3
_OTHERS_SHARE = 0.05  # of the measured cores' time; below this share, medians move less than 1 %
_STEAL_SHARE = 0.01
_PRESSURE_SHARE = 0.01
_CLOCK_FALL = 0.10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kernel's counters since the machine started; those kept per CPU, summed over `cpus`."""

    at_s: float
    cpus: tuple[int, ...]
    busy_s: float | None = None
    steal_s: float | None = None
    switches: int | None = None
    swapped_pages: int | None = None
    pressure_s: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: tuple[float, float] | None = None  # the lowest and the highest of `cpus`, now
    governor: str | None = None
    thermal_throttles: int | None = None
    quota_throttles: int | None = None
    quota_throttled_s: float | None = None


class Watch:
    """Takes a snapshot when all workers have begun to measure, and one when the first has ended.

    Without `cpus`, every CPU that this process may use is watched.
    """

    def __init__(self, cpus: Collection[int] | None = None, root: Path = Path("/")) -> None:
        self.cpus = tuple(sorted(set(cpus))) if cpus else limits.read(root).cpus
        self.root = root
        self.before: Snapshot | None = None
        self.after: Snapshot | None = None

    def hear(self, phase: Phase) -> None:
        """Note the phase that a worker has begun.

        Each worker that begins to measure moves the window's start, so it opens with the last.
        """
        if phase is Phase.MEASURING and self.after is None:
            self.before = self.take()
        if phase is Phase.MEASURED and self.after is None:
            self.after = self.take()

    def take(self) -> Snapshot:
        busy_s, steal_s, switches = _stat(self.root / "proc/stat", self.cpus)
        quota_throttles, quota_throttled_s = _quota_throttling(self.root)
        folders = [self.root / f"sys/devices/system/cpu/cpu{cpu}" for cpu in self.cpus]
        governors = {read_text(f / "cpufreq/scaling_governor") for f in folders} - {""}
        mhz = [khz / 1000 for khz in _numbers(folders, "cpufreq/scaling_cur_freq")]
        throttles = _numbers(folders, "thermal_throttle/core_throttle_count")
        return Snapshot(
            at_s=time.monotonic(),
            cpus=self.cpus,
            busy_s=busy_s,
            steal_s=steal_s,
            switches=switches,
            swapped_pages=_swapped(self.root / "proc/vmstat"),
            pressure_s=_pressure(self.root / "proc/pressure"),
            clock_mhz=(min(mhz), max(mhz)) if mhz else None,
            governor=governors.pop() if len(governors) == 1 else None,
            thermal_throttles=sum(throttles) if throttles else None,
            quota_throttles=quota_throttles,
            quota_throttled_s=quota_throttled_s,
        )

    def doubts(self, own_cpu_s: float) -> tuple[Doubt, ...]:
        """The doubts about the window; none if it never closed."""
        if self.before is None or self.after is None:
            return ()
        return doubts(self.before, self.after, own_cpu_s)


def others_share(before: Snapshot, after: Snapshot, own_cpu_s: float) -> float | None:
    """The share of the measured cores' time that processes other than the workers used.

    `own_cpu_s` is the CPU time of the workers; None where the kernel does not count CPU time.
    """
    capacity_s = (after.at_s - before.at_s) * len(before.cpus)
    if before.busy_s is None or after.busy_s is None or capacity_s <= 0:
        return None
    others_s = after.busy_s - before.busy_s - own_cpu_s
    if others_s < _UNCERTAIN_TICKS * len(before.cpus) / _ticks_per_s():
        return 0.0
    return min(1.0, others_s / capacity_s)


def doubts(before: Snapshot, after: Snapshot, own_cpu_s: float) -> tuple[Doubt, ...]:
    """The reasons to doubt times that were measured between two snapshots."""
    return (
        *_of_others(before, after, own_cpu_s),
        *_of_quota(before, after),
        *_of_clock(before, after),
        *_of_memory(before, after),
    )


def _of_others(before: Snapshot, after: Snapshot, own_cpu_s: float) -> Iterator[Doubt]:
    """Other processes of this machine, and other guests of its host."""
    share = others_share(before, after, own_cpu_s)
    if share is not None and share > _OTHERS_SHARE:
        yield Doubt(
            "other_load",
            f"other processes used {share:.0%} of the measured cores "
            f"({format_cpus(before.cpus)}): stop them, or move them with "
            "taskset -cp OTHER_CORES PID",
        )
    share = _share(before.steal_s, after.steal_s, (after.at_s - before.at_s) * len(before.cpus))
    if share is not None and share > _STEAL_SHARE:
        yield Doubt(
            "steal",
            f"the hypervisor gave {share:.0%} of the measured cores' time to other guests: "
            "repeat at a quieter time, or on a dedicated host",
        )


def _of_quota(before: Snapshot, after: Snapshot) -> Iterator[Doubt]:
    if before.quota_throttles is None or after.quota_throttles is None:
        return
    times = after.quota_throttles - before.quota_throttles
    if times > 0:
        lost_s = (after.quota_throttled_s or 0.0) - (before.quota_throttled_s or 0.0)
        yield Doubt(
            "quota",
            f"the CPU quota stopped this group {times} times ({lost_s:.2f} s of its threads' "
            "time): use fewer threads or instances, or raise the quota (docker run --cpus N)",
        )


def _of_clock(before: Snapshot, after: Snapshot) -> Iterator[Doubt]:
    """Heat, or else a falling clock where the governor does not slow idle cores."""
    if before.thermal_throttles is not None and after.thermal_throttles is not None:
        times = after.thermal_throttles - before.thermal_throttles
        if times > 0:
            message = f"heat slowed the cores {times} times: improve the cooling, or wait"
            yield Doubt("thermal", message)
            return
    if before.governor == "performance" and before.clock_mhz and after.clock_mhz:
        high, low = before.clock_mhz[1], after.clock_mhz[1]
        if low < (1 - _CLOCK_FALL) * high:
            yield Doubt(
                "frequency",
                f"the fastest measured core fell from {high:.0f} to {low:.0f} MHz: "
                "check cooling and power limits, or switch turbo off for steady times",
            )


def _of_memory(before: Snapshot, after: Snapshot) -> Iterator[Doubt]:
    wall_s = after.at_s - before.at_s
    share = _share(before.pressure_s.get("memory"), after.pressure_s.get("memory"), wall_s) or 0.0
    swapped = (after.swapped_pages or 0) - (before.swapped_pages or 0)
    if share > _PRESSURE_SHARE or swapped > 0:
        what = (
            f"{swapped} pages were swapped" if swapped > 0 else f"tasks waited {share:.0%} of it"
        )
        yield Doubt(
            "memory_pressure",
            f"memory was short during the run ({what}): "
            "stop other programs, or use a smaller batch or fewer instances",
        )


def _share(before: float | None, after: float | None, of_s: float) -> float | None:
    if before is None or after is None or of_s <= 0:
        return None
    return max(0.0, after - before) / of_s


def _stat(path: Path, cpus: Collection[int]) -> tuple[float | None, float | None, int | None]:
    """Busy and stolen seconds of `cpus`, and all context switches (proc(5), stat)."""
    busy = steal = 0
    seen, switches = False, None
    for line in read_text(path).splitlines():
        name, *values = line.split()
        if name == "ctxt":
            switches = int(values[0])
        match = re.fullmatch(r"cpu(\d+)", name)
        if match and int(match[1]) in cpus and len(values) >= 8:
            seen = True
            user, nice, system, _idle, _iowait, irq, softirq, stolen = map(int, values[:8])
            busy += user + nice + system + irq + softirq  # `user` includes the time of guests
            steal += stolen
    if not seen:
        return None, None, switches
    return busy / _ticks_per_s(), steal / _ticks_per_s(), switches


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK")


def _pressure(folder: Path) -> dict[str, float]:
    """For each resource, the seconds in which some task waited for it."""
    seconds = {}
    for name in ("cpu", "memory", "io"):
        total = re.search(r"^some .*total=(\d+)", read_text(folder / name), re.MULTILINE)
        if total:
            seconds[name] = int(total[1]) / 1e6
    return seconds


def _swapped(path: Path) -> int | None:
    counts = re.findall(r"^pswp(?:in|out) (\d+)", read_text(path), re.MULTILINE)
    return sum(map(int, counts)) if counts else None


def _quota_throttling(root: Path) -> tuple[int | None, float | None]:
    """How often, and for how many seconds, the quota stopped our control groups."""
    times: int | None = None
    seconds: float | None = None
    for folder, _ in limits.groups("cpu", root):
        text = read_text(folder / "cpu.stat")
        throttles = counter(text, "nr_throttled")
        if throttles is not None:
            lost_s = (counter(text, "throttled_time") or 0) / 1e9  # version 1 of control groups
            lost_s += (counter(text, "throttled_usec") or 0) / 1e6  # version 2
            times, seconds = (times or 0) + throttles, (seconds or 0.0) + lost_s
    return times, seconds


def _numbers(folders: Iterable[Path], name: str) -> list[int]:
    """The numbers in the files called `name`, of the folders that have such a file."""
    numbers = (read_int(folder / name) for folder in folders)
    return [number for number in numbers if number is not None]
