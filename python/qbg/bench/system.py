"""Reads what Linux tells in /proc and /sys about the machine and this process; everywhere else: None.

Each reader takes the folder that stands for `/`, so that tests can hand in a tree of their own, and gives
None (or nothing) for what is absent, unreadable or garbled: a bench goes on without it.
Must not know what the numbers are for. What `qbg._native.system` gives isn't read here.

Sources: Linux's documentation, `admin-guide/cgroup-v1`, `admin-guide/cgroup-v2`, `power/powercap`,
`admin-guide/pm/cpufreq`, and the manual pages proc_stat(5), proc_pid_smaps(5), proc_pid_numa_maps(5).
Left out: other systems' counters, and energy of anything but whole CPU packages (memory, graphics).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")

FREQUENCY_CPUS = 16
"""CPUs whose frequency is looked at: reading hundreds of files several times a second would disturb."""

_ESCAPES = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))


def text(path: Path) -> str | None:
    """A small file's content without the white space around it; None when it can't be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return None


def number(path: Path) -> int | None:
    """The whole number that is all of a file; None for anything else."""
    return _whole(text(path) or "")


def _whole(word: str) -> int | None:
    return int(word) if re.fullmatch(r"[0-9]{1,20}", word) else None


def cpu_fields(root: Path = ROOT) -> dict[str, str]:
    """What /proc/cpuinfo says of the first CPU, by field; empty where there is no such file."""
    first = (text(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def cpu_flags(root: Path = ROOT) -> frozenset[str]:
    """All features of the first CPU in the kernel's words: x86's `flags`, ARM's `Features`."""
    fields = cpu_fields(root)
    return frozenset((fields.get("flags") or fields.get("Features") or "").split())


def frequencies_hz(cpus: Sequence[int], root: Path = ROOT) -> list[float]:
    """Frequencies of some of `cpus` now, at most `FREQUENCY_CPUS` spread over them.

    /proc/cpuinfo is asked where cpufreq is absent, but only if the CPU counts its cycles (`aperfmperf`):
    a virtual machine without those counters shows one nominal number for ever.
    """
    step = max(1, -(-len(cpus) // FREQUENCY_CPUS))
    chosen = cpus[::step]
    folder = root / "sys/devices/system/cpu"
    found = [number(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in chosen]
    hertz = [value * 1e3 for value in found if value]
    if hertz or "aperfmperf" not in cpu_flags(root):
        return hertz
    return _cpuinfo_hz(set(chosen), root)


def _cpuinfo_hz(cpus: set[int], root: Path) -> list[float]:
    hertz = []
    cpu: int | None = None
    for line in (text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "processor":
            cpu = _whole(value.strip())
        elif (
            name.strip() == "cpu MHz"
            and cpu in cpus
            and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip())
        ):
            hertz.append(float(value) * 1e6)
    return hertz


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Time of all CPUs together since the machine began, in seconds.

    Attributes:
        busy: spent on anything, interrupts too.
        steal: that the hypervisor gave to others while this machine had work.
    """

    busy: float
    steal: float


def cpu_time(root: Path = ROOT) -> CpuTime | None:
    """Sums of /proc/stat's first line. Guests' time isn't added: the kernel counts it in `user` already."""
    line = (text(root / "proc/stat") or "").split("\n", 1)[0].split()
    ticks = [_whole(word) for word in line[1:9]]
    if line[:1] != ["cpu"] or len(ticks) < 8 or None in ticks:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (tick or 0 for tick in ticks)
    hertz = os.sysconf("SC_CLK_TCK")
    return CpuTime(busy=(user + nice + system + irq + softirq) / hertz, steal=steal / hertz)


def throttled_s(root: Path = ROOT) -> float | None:
    """How long quotas have stopped our control groups so far, summed over the CPUs that had to wait.

    A group counts its own quota only, so the sum over ours and those above it is all that hit us; the
    groups beside us below the same quota are in it too. 0 in groups without a quota.
    """
    total: float | None = None
    for controller, name, unit in ((None, "throttled_usec", 1e-6), ("cpu", "throttled_time", 1e-9)):
        for folder in cgroup_folders(controller, root):
            words = (text(folder / "cpu.stat") or "").split()
            values = dict(zip(words[::2], map(_whole, words[1::2]), strict=False))
            if any(value is not None for value in values.values()):
                total = (total or 0.0) + (values.get(name) or 0) * unit
    return total


def cgroup_folders(controller: str | None, root: Path = ROOT) -> list[Path]:
    """Folders of this process's control group and of those above it, up to the mount: innermost first.

    Args:
        controller: of version 1's hierarchy, such as `cpu`; None for version 2.
        root: what stands for `/`.

    The same rules as the native side has for quotas (rust/core, topology/cgroup.rs): a group that lies
    outside the mounted part, or climbs with `..`, is taken for the mount's own.
    """
    customary = PurePosixPath("/"), PurePosixPath("/sys/fs/cgroup") / (controller or "")
    visible, point = _mount(controller, text(root / "proc/self/mountinfo") or "") or customary
    group = _own_group(controller, text(root / "proc/self/cgroup") or "")
    inside = group.relative_to(visible) if group.is_relative_to(visible) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    levels = [inside, *inside.parents] if inside.parts else [inside]
    return [root / point.relative_to("/") / level for level in levels]


def _own_group(controller: str | None, cgroup: str) -> PurePosixPath:
    for line in cgroup.splitlines():
        number_, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        ours = (
            (number_, controllers) == ("0", "")
            if controller is None
            else controller in controllers.split(",")
        )
        if ours:
            return PurePosixPath(group)
    return PurePosixPath()


def _mount(controller: str | None, mountinfo: str) -> tuple[PurePosixPath, PurePosixPath] | None:
    """The visible part and the mount point; lines: `id parent device part point .. - type source options`."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place, about = left.split(" "), right.split(" ")
        if len(place) < 5 or len(about) < 3 or not place[4].startswith("/"):
            continue
        kind = about[0]
        ours = (
            kind == "cgroup2"
            if controller is None
            else kind == "cgroup" and controller in about[2].split(",")
        )
        if ours:
            return PurePosixPath(_unescaped(place[3])), PurePosixPath(_unescaped(place[4]))
    return None


def _unescaped(part: str) -> str:
    for code, character in _ESCAPES:
        part = part.replace(code, character)
    return part


def rss_bytes(root: Path = ROOT) -> int | None:
    """This process's resident memory now."""
    words = (text(root / "proc/self/statm") or "").split()
    pages = _whole(words[1]) if len(words) > 1 else None
    return None if pages is None else pages * os.sysconf("SC_PAGE_SIZE")


def pss_bytes(root: Path = ROOT) -> int | None:
    """Its proportional share: a page that n processes map counts as an nth. The kernel walks all pages."""
    found = re.search(
        r"^Pss:\s*(\d+) kB$", text(root / "proc/self/smaps_rollup") or "", re.MULTILINE | re.ASCII
    )
    kib = _whole(found[1]) if found else None
    return None if kib is None else kib * 1024


def node_pages_bytes(root: Path = ROOT) -> dict[str, int]:
    """Its resident memory by NUMA node, files' pages too; empty where the system doesn't tell."""
    nodes: dict[str, int] = {}
    for line in (text(root / "proc/self/numa_maps") or "").splitlines():
        values = dict(word.split("=", 1) for word in line.split() if "=" in word)
        page_kib = _whole(values.get("kernelpagesize_kB", ""))
        for name, value in values.items():
            pages = _whole(value)
            if re.fullmatch(r"N[0-9]{1,9}", name) and pages is not None and page_kib is not None:
                nodes[name[1:]] = nodes.get(name[1:], 0) + pages * page_kib * 1024
    return dict(sorted(nodes.items(), key=lambda item: int(item[0])))


class Energy:
    """Energy that the CPU packages have used since this object was made (RAPL; Intel and AMD alike).

    The counters are small and start again at 0: `joules` must be asked at least once per round, which
    takes minutes at full power. One package that can't be read makes all of it unknown, for good.
    """

    def __init__(self, root: Path = ROOT) -> None:
        folder = root / "sys/class/powercap"
        # Zones of a package are named `package-0`, or `package-0-die-1`; `core`, `dram` lie inside one of
        # them or beside it, and `psys` is the whole board.
        self._zones = [
            zone
            for zone in sorted(folder.glob("intel-rapl:*"))
            if (text(zone / "name") or "").startswith("package")
        ]
        self._last: dict[Path, int] = {}
        self._microjoules = 0
        self._known = bool(self._zones)
        self.joules()

    def joules(self) -> float | None:
        """Sum over the packages so far; None where it can't be read (on most systems only root may)."""
        for zone in self._zones if self._known else []:
            value = number(zone / "energy_uj")
            used = None if value is None else self._used(zone, value)
            if value is None or used is None:
                self._known = False
                break
            self._microjoules += used
            self._last[zone] = value
        return self._microjoules / 1e6 if self._known else None

    def _used(self, zone: Path, value: int) -> int | None:
        used = value - self._last.get(zone, value)
        if used >= 0:
            return used
        used += number(zone / "max_energy_range_uj") or 0
        return used if used >= 0 else None
