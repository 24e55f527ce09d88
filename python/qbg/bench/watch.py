"""Watches the system and this process while something is measured: other load, energy, memory, switches.

    watch = Watch().start()
    while not run.poll(0.1):
        watch.tick()
    seen = watch.stop()

A look costs about a millisecond and happens at most five times a second. Counters are read at both ends; what
has to be sampled (frequency, resident memory, energy, which starts again at 0) at each look.
Must not know what is measured. Where the system doesn't tell, a field is None.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Self, TypeVar

from qbg import _native
from qbg.bench import system
from qbg.report import record

LOOK_S = 0.2
"""Ticks that come sooner after the last look are let pass."""

POINTS = 600
"""Most points that a timeline keeps; a longer one is thinned by halves, its spacing doubled."""

TICKS_OFF_S = 0.1
"""What the kernel's tick-wise accounting may be off by: a few ticks of 10 ms on each CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process has used so far: ended threads included, children that were waited for apart.

    Attributes:
        cpu_s: its processor time.
        children_s: its ended children's.
        voluntary: context switches to wait for something.
        involuntary: those that the scheduler made.
    """

    cpu_s: float
    children_s: float
    voluntary: int
    involuntary: int


def usage() -> Usage:
    """This process's. Windows counts no context switches: 0 there."""
    if sys.platform == "win32":
        times = os.times()
        children = times.children_user + times.children_system
        return Usage(cpu_s=times.user + times.system, children_s=children, voluntary=0, involuntary=0)
    import resource

    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        cpu_s=own.ru_utime + own.ru_stime,
        children_s=children.ru_utime + children.ru_stime,
        voluntary=own.ru_nvcsw,
        involuntary=own.ru_nivcsw,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a `Watch` saw between `start` and `stop`.

    Attributes:
        began_s: when `start` was called, on the watch's clock (`time.monotonic`). What lies between it and
            the begin of a batch must be taken off the times below.
        seconds: between the two.
        quiet: what else went on.
        cpu_s: processor time of this process, ended threads included, children not.
        switches_voluntary, switches_involuntary: its context switches.
        energy_j: of the CPU packages; None where it can't be read.
        memory: (seconds since `start`, resident bytes).
        energy: (seconds since `start`, joules since then); empty where it can't be read.
    """

    began_s: float
    seconds: float
    quiet: record.Quiet
    cpu_s: float
    switches_voluntary: int
    switches_involuntary: int
    energy_j: float | None
    memory: tuple[tuple[float, int], ...]
    energy: tuple[tuple[float, float], ...]

    def energy_between(self, begin_s: float, end_s: float) -> float | None:
        """Joules of a part of it, seconds since `start`: linear between looks; None if not all was seen."""
        if not self.energy or begin_s < self.energy[0][0] or end_s > self.energy[-1][0]:
            return None
        return _at(self.energy, end_s) - _at(self.energy, begin_s)


def _at(points: Sequence[tuple[float, float]], when: float) -> float:
    """The value on the line between the two points around `when`, which lies inside."""
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= when <= right and right > left:
            return low + (high - low) * (when - left) / (right - left)
    return points[-1][1]


class Watch:
    """One watch, for one thread; may be started again after `stop`.

    Args:
        cpus: those whose frequency is looked at; None: all that this process may use.
        root: what stands for `/`.
        clock: seconds, never backwards; the workers' clock on Linux.
    """

    def __init__(
        self,
        *,
        cpus: Sequence[int] | None = None,
        root: Path = system.ROOT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._clock = clock
        self._cpus = list(_native.system(str(root))["cpus_allowed"] if cpus is None else cpus)

    def start(self) -> Self:
        """Begins."""
        self._load = load_1min(self._root)
        self._hertz: list[float] = []
        self._memory: Timeline[int] = Timeline()
        self._joules: Timeline[float] = Timeline()
        self._energy = system.Energy(self._root)
        self._busy, self._throttled = system.cpu_time(self._root), system.throttled_s(self._root)
        self._usage = usage()
        self._began = self._clock()
        self._look(self._began)
        return self

    def tick(self) -> None:
        """Looks, if the last look is `LOOK_S` ago. To be called a few times a second."""
        now = self._clock()
        if now - self._looked >= LOOK_S:
            self._look(now)

    def stop(self) -> Seen:
        """Ends, and says what was seen since `start`."""
        ended = self._clock()
        used, busy, throttled = usage(), system.cpu_time(self._root), system.throttled_s(self._root)
        self._look(ended)
        seconds = ended - self._began
        cpu_s, children_s = used.cpu_s - self._usage.cpu_s, used.children_s - self._usage.children_s
        quiet = record.Quiet(
            load_1min=self._load,
            others_cpu=others_cpu(self._busy, busy, cpu_s + children_s, seconds),
            steal_cpu=steal_cpu(self._busy, busy, seconds),
            throttled_s=_difference(self._throttled, throttled),
            frequency_low_hz=min(self._hertz, default=None),
            frequency_high_hz=max(self._hertz, default=None),
        )
        joules = self._energy.joules()
        return Seen(
            began_s=self._began,
            seconds=seconds,
            quiet=quiet,
            cpu_s=cpu_s,
            switches_voluntary=used.voluntary - self._usage.voluntary,
            switches_involuntary=used.involuntary - self._usage.involuntary,
            energy_j=joules,
            memory=self._memory.points(),
            energy=() if joules is None else self._joules.points(),
        )

    def _look(self, now: float) -> None:
        self._looked = now
        joules, resident = self._energy.joules(), system.rss_bytes(self._root)
        if joules is not None:
            self._joules.add(now - self._began, joules)
        if resident is not None:
            self._memory.add(now - self._began, resident)
        hertz = system.frequencies_hz(self._cpus, self._root)
        if hertz:
            self._hertz = [min(hertz + self._hertz), max(hertz + self._hertz)]


def load_1min(root: Path = system.ROOT) -> float:
    """Runnable threads of all processes, averaged over a minute; 0 where the system doesn't tell."""
    words = (system.text(root / "proc/loadavg") or "").split()
    try:
        return float(words[0]) if words else os.getloadavg()[0]
    except (OSError, ValueError, AttributeError):
        return 0.0


def others_cpu(
    before: system.CpuTime | None, after: system.CpuTime | None, own_s: float, seconds: float
) -> float | None:
    """CPUs' worth of time of other processes and of the kernel, on the whole machine.

    None also where the machine claims to have done far less than this process alone: sandboxes show zeros.
    """
    if before is None or after is None or seconds <= 0:
        return None
    busy_s = after.busy - before.busy
    if busy_s + TICKS_OFF_S < own_s / 2:
        return None
    return max(0.0, busy_s - own_s) / seconds


def steal_cpu(before: system.CpuTime | None, after: system.CpuTime | None, seconds: float) -> float | None:
    """CPUs' worth of time that the hypervisor gave to others."""
    if before is None or after is None or seconds <= 0:
        return None
    return max(0.0, after.steal - before.steal) / seconds


def memory(
    seen: Seen,
    *,
    before_bytes: int | None,
    loaded_bytes: int | None,
    slots_bytes: int | None,
    root: Path = system.ROOT,
) -> record.Memory:
    """This process's memory now, workers still alive; the arguments as in `record.Memory`."""
    return record.Memory(
        peak_rss_bytes=_native.peak_rss_bytes() or None,
        pss_bytes=system.pss_bytes(root),
        before_bytes=before_bytes,
        loaded_bytes=loaded_bytes,
        slots_bytes=slots_bytes,
        node_pages_bytes=system.node_pages_bytes(root),
        timeline=seen.memory,
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


T = TypeVar("T", int, float)


class Timeline(Generic[T]):
    """Points of a long time, at most about `POINTS`, evenly spaced; the newest is always among them."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, T]] = []
        self._newest: tuple[float, T] | None = None
        self._spacing_s = LOOK_S

    def add(self, at_s: float, value: T) -> None:
        """A point that is later than all others."""
        self._newest = (at_s, value)
        # Half a look of leeway: ticks are never quite on time.
        if not self._kept or at_s - self._kept[-1][0] >= self._spacing_s - LOOK_S / 2:
            self._kept.append(self._newest)
        if len(self._kept) > POINTS:
            self._kept = self._kept[::2]
            self._spacing_s = (self._kept[-1][0] - self._kept[0][0]) / (len(self._kept) - 1)

    def points(self) -> tuple[tuple[float, T], ...]:
        """What was kept, in order."""
        points = list(self._kept)
        if self._newest is not None and self._newest != points[-1]:
            points.append(self._newest)
        return tuple(points)
