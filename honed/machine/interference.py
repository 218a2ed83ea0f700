"""Who else used the measured cores: snapshots around the timed window, and their doubts."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from honed.machine import limits
from honed.machine.topology import format_cpus
from honed.phase import Phase
from honed.record import Doubt

# The kernel counts CPU time in ticks, usually of 10 ms: what others used in a window is known to
# about this much per CPU and no better.
_TICKS_OF_DOUBT = 3
_OTHERS_SHARE = 0.05  # of the measured cores' time; below it medians move less than 1 %
_STEAL_SHARE = 0.01
_PRESSURE_SHARE = 0.01
_CLOCK_FALL = 0.10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters since the machine started, of `cpus` only where the kernel counts per CPU."""

    at_s: float
    cpus: tuple[int, ...]
    busy_s: float | None = None
    steal_s: float | None = None
    switches: int | None = None
    swapped_pages: int | None = None
    pressure_s: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: tuple[float, float] | None = None  # lowest and highest of the cpus, now
    governor: str | None = None
    thermal_throttles: int | None = None
    quota_throttles: int | None = None
    quota_throttled_s: float | None = None


class Watch:
    """Two snapshots, taken as the workers say that they begin and end.

    `cpus` None: every CPU this process may use.
    """

    def __init__(self, cpus: Collection[int] | None = None, root: Path = Path("/")) -> None:
        self.cpus = tuple(sorted(set(cpus))) if cpus else limits.read(root).cpus
        self.root = root
        self.before: Snapshot | None = None
        self.after: Snapshot | None = None

    def hear(self, phase: Phase) -> None:
        """The window opens when the last worker is ready, and closes when the first is done."""
        if phase is Phase.MEASURING and self.after is None:
            self.before = self.take()
        if phase is Phase.MEASURED and self.after is None:
            self.after = self.take()

    def take(self) -> Snapshot:
        busy_s, steal_s, switches = _stat(self.root / "proc/stat", self.cpus)
        quota_throttles, quota_throttled_s = _quota_throttling(self.root)
        clocks = _each(self.root, self.cpus, "cpufreq/scaling_cur_freq")
        governors = set(_each(self.root, self.cpus, "cpufreq/scaling_governor"))
        throttles = [
            int(t)
            for t in _each(self.root, self.cpus, "thermal_throttle/core_throttle_count")
            if t.isdigit()
        ]
        mhz = [int(c) / 1000 for c in clocks if c.isdigit()]
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
        """The doubts of what was heard; none if the window never closed."""
        if self.before is None or self.after is None:
            return ()
        return doubts(self.before, self.after, own_cpu_s)


def cpu_seconds(pids: Collection[int]) -> float:
    """CPU time of these processes so far; one that is gone counts as 0."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _ticks_per_s()  # utime, stime
    return total


def others_share(before: Snapshot, after: Snapshot, own_cpu_s: float) -> float | None:
    """The share of the measured cores' time that went to processes that are not ours."""
    capacity_s = (after.at_s - before.at_s) * len(before.cpus)
    if before.busy_s is None or after.busy_s is None or capacity_s <= 0:
        return None
    others_s = after.busy_s - before.busy_s - own_cpu_s
    if others_s < _TICKS_OF_DOUBT * len(before.cpus) / _ticks_per_s():
        return 0.0
    return min(1.0, others_s / capacity_s)


def doubts(before: Snapshot, after: Snapshot, own_cpu_s: float) -> tuple[Doubt, ...]:
    """What happened on the machine that makes the times between two snapshots less credible."""
    found = (
        _others(before, after, own_cpu_s),
        _steal(before, after),
        _quota(before, after),
        _clock(before, after),
        _memory(before, after),
    )
    return tuple(doubt for doubt in found if doubt is not None)


def _others(before: Snapshot, after: Snapshot, own_cpu_s: float) -> Doubt | None:
    share = others_share(before, after, own_cpu_s)
    if share is None or share <= _OTHERS_SHARE:
        return None
    return Doubt(
        "other_load",
        f"other processes used {share:.0%} of the measured cores ({format_cpus(before.cpus)}): "
        "stop them, or move them with taskset -cp OTHER_CORES PID",
    )


def _steal(before: Snapshot, after: Snapshot) -> Doubt | None:
    share = _share(before.steal_s, after.steal_s, (after.at_s - before.at_s) * len(before.cpus))
    if share is None or share <= _STEAL_SHARE:
        return None
    return Doubt(
        "steal",
        f"the hypervisor gave {share:.0%} of the measured cores' time to other guests: "
        "repeat at a quieter time, or on a dedicated host",
    )


def _quota(before: Snapshot, after: Snapshot) -> Doubt | None:
    if before.quota_throttles is None or after.quota_throttles is None:
        return None
    times = after.quota_throttles - before.quota_throttles
    if times <= 0:
        return None
    lost_s = (after.quota_throttled_s or 0.0) - (before.quota_throttled_s or 0.0)
    return Doubt(
        "quota",
        f"the CPU quota stopped this group {times} times ({lost_s:.2f} s of its threads' time): "
        "use fewer threads or instances, or raise the quota (docker run --cpus N)",
    )


def _clock(before: Snapshot, after: Snapshot) -> Doubt | None:
    """A fall only counts where the governor does not slow idle cores by itself."""
    if before.thermal_throttles is not None and after.thermal_throttles is not None:
        times = after.thermal_throttles - before.thermal_throttles
        if times > 0:
            message = f"the cores were slowed {times} times for heat: improve cooling, or wait"
            return Doubt("thermal", message)
    if before.governor != "performance" or not before.clock_mhz or not after.clock_mhz:
        return None
    high, low = before.clock_mhz[1], after.clock_mhz[1]
    if low >= (1 - _CLOCK_FALL) * high:
        return None
    return Doubt(
        "frequency",
        f"the fastest measured core fell from {high:.0f} to {low:.0f} MHz: "
        "check cooling and power limits, or switch turbo off for steady times",
    )


def _memory(before: Snapshot, after: Snapshot) -> Doubt | None:
    wall_s = after.at_s - before.at_s
    share = _share(before.pressure_s.get("memory"), after.pressure_s.get("memory"), wall_s)
    swapped = (after.swapped_pages or 0) - (before.swapped_pages or 0)
    if (share is None or share <= _PRESSURE_SHARE) and swapped <= 0:
        return None
    what = f"{swapped} pages were swapped" if swapped > 0 else f"tasks waited {share:.0%} of it"
    return Doubt(
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
    for line in _text(path).splitlines():
        name, *values = line.split()
        if name == "ctxt":
            switches = int(values[0])
        match = re.fullmatch(r"cpu(\d+)", name)
        if match and int(match[1]) in cpus and len(values) >= 8:
            seen = True
            user, nice, system, _idle, _iowait, irq, softirq, stolen = map(int, values[:8])
            busy += user + nice + system + irq + softirq  # guests' time is in user already
            steal += stolen
    if not seen:
        return None, None, switches
    return busy / _ticks_per_s(), steal / _ticks_per_s(), switches


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK")


def _pressure(folder: Path) -> dict[str, float]:
    """Seconds in which some task waited for each resource."""
    found = {}
    for name in ("cpu", "memory", "io"):
        total = re.search(r"^some .*total=(\d+)", _text(folder / name), re.MULTILINE)
        if total:
            found[name] = int(total[1]) / 1e6
    return found


def _swapped(path: Path) -> int | None:
    counts = re.findall(r"^pswp(?:in|out) (\d+)", _text(path), re.MULTILINE)
    return sum(map(int, counts)) if counts else None


def _quota_throttling(root: Path) -> tuple[int | None, float | None]:
    """Times and seconds that our groups were stopped; version 1 counts in ns, version 2 in us."""
    times: int | None = None
    seconds: float | None = None
    for folder, _ in limits.groups("cpu", root):
        counters = dict(re.findall(r"^(\w+) (\d+)", _text(folder / "cpu.stat"), re.MULTILINE))
        if "nr_throttled" in counters:
            lost_s = int(counters.get("throttled_time", 0)) / 1e9
            lost_s += int(counters.get("throttled_usec", 0)) / 1e6
            times = (times or 0) + int(counters["nr_throttled"])
            seconds = (seconds or 0.0) + lost_s
    return times, seconds


def _each(root: Path, cpus: Collection[int], name: str) -> list[str]:
    texts = (_text(root / f"sys/devices/system/cpu/cpu{cpu}" / name) for cpu in cpus)
    return [text for text in texts if text]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
