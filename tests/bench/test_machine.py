"""What the bench reads from the system: on trees of several shapes, on garbage, and on the real one.

The trees are small copies of what kernels show. Nothing here waits for time to pass: watches get a clock of
their own.
"""

from __future__ import annotations

import dataclasses
import itertools
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg import _native
from qbg.bench import system
from qbg.bench.machine import FLAGS, machine, revision, software
from qbg.bench.watch import (
    LOOK_S,
    POINTS,
    Seen,
    Timeline,
    Watch,
    load_1min,
    memory,
    others_cpu,
    steal_cpu,
    usage,
)
from qbg.report import record

LINUX = sys.platform == "linux"
INTEL = """processor\t: 0
model name\t: Fast CPU @ 2.00GHz
cpu MHz\t\t: 2000.000
flags\t\t: fpu sse4_2 avx2 fma aperfmperf avx512f avx512_vnni

processor\t: 1
model name\t: Fast CPU @ 2.00GHz
cpu MHz\t\t: 3500.500
flags\t\t: fpu sse4_2 avx2 fma aperfmperf avx512f avx512_vnni
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd i8mm bf16 sve\nCPU implementer\t: 0x41\n"
MOUNT_2 = "30 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"


class Tree:
    """A folder that stands for `/`."""

    def __init__(self, root: Path) -> None:
        if os.name == "nt":
            pytest.skip("SKIPPED: Windows has no names with a colon, as Linux's energy counters have")
        self.root = root

    def put(self, name: str, content: str | bytes) -> Tree:
        """Writes a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def zone(self, number: str, name: str, microjoules: int, most: int = 1_000_000) -> Tree:
        """An energy counter."""
        folder = f"sys/class/powercap/intel-rapl:{number}"
        self.put(f"{folder}/name", f"{name}\n").put(f"{folder}/energy_uj", f"{microjoules}\n")
        return self.put(f"{folder}/max_energy_range_uj", f"{most}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# The header


def test_header_of_this_machine() -> None:
    found = machine()
    assert found.simd in ("scalar", "avx2", "avx512")
    assert 1 <= found.cpus_allowed <= found.cpus_online
    assert found.numa_nodes >= 1
    assert found.cpu
    assert set(found.flags) <= set(FLAGS)
    if found.simd == "avx2" and LINUX:
        assert {"avx2", "fma"} <= set(found.flags)
    if LINUX:
        page = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        assert 0 < found.memory_bytes <= page * 1.01


def test_header_goes_into_a_record_and_back() -> None:
    found = machine()
    assert record._build(record.Machine, dataclasses.asdict(found)).cpu == found.cpu


@pytest.mark.skipif(not LINUX, reason="the native side reads another root on Linux only")
def test_header_of_an_intel_machine(tree: Tree) -> None:
    tree.put("proc/cpuinfo", INTEL).put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    tree.put("sys/devices/system/cpu/smt/active", "1\n")
    found = machine(tree.root)
    assert found.cpu == "Fast CPU @ 2.00GHz"
    assert found.flags == ("sse4_2", "avx2", "fma", "avx512f", "avx512_vnni")
    assert (found.governor, found.smt, found.virtual) == ("powersave", True, False)


@pytest.mark.skipif(not LINUX, reason="the native side reads another root on Linux only")
def test_header_of_an_arm_machine_under_a_hypervisor(tree: Tree) -> None:
    found = machine(tree.put("proc/cpuinfo", ARM).put("sys/hypervisor/type", "xen\n").root)
    assert found.cpu
    assert found.flags == ("asimd", "i8mm", "bf16")
    assert (found.governor, found.virtual) == (None, True)


def test_header_of_an_empty_tree_and_of_garbage(tree: Tree) -> None:
    assert machine(tree.root).flags == ()
    for name in ("proc/cpuinfo", "proc/meminfo", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"):
        tree.put(name, b"\xff\xfe: \x00\n:::\n")
    assert machine(tree.root).flags == ()


def test_software() -> None:
    found = software()
    assert found.versions["qbg"] == _native.__version__
    assert found.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found.versions) == {"qbg", "python", "onnxruntime", "numpy", "pillow"}
    assert found.build_profile == _native.BUILD_PROFILE


def checkout(folder: Path, name: str) -> Callable[..., str]:
    """A repository with one commit whose project has that name; gives a way to run Git there."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return git


def test_revision_is_that_of_a_checkout_of_qbg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    git = checkout(ours, "qbg")
    checkout(theirs, "photo-shop")
    head = git("rev-parse", "HEAD")
    (ours / "deep").mkdir()
    assert revision(theirs, tmp_path) is None
    assert revision(theirs, ours / "deep") == head[:12]
    (ours / "pyproject.toml").write_text('[project]\nname = "qbg"\nversion = "7"\n')
    assert revision(ours) == f"{head[:12]}+"
    assert revision(tmp_path / "absent") is None
    monkeypatch.setenv("PATH", "")
    assert revision(ours) is None


# Energy


def test_energy_is_the_sum_over_packages(tree: Tree) -> None:
    tree.zone("0", "package-0", 500).zone("1", "package-1-die-0", 100).zone("2", "psys", 0)
    tree.zone("0:0", "core", 0).zone("0:1", "dram", 0)
    energy = system.Energy(tree.root)
    assert energy.joules() == 0
    tree.zone("0", "package-0", 700).zone("1", "package-1-die-0", 150).zone("2", "psys", 90_000)
    tree.zone("0:0", "core", 90_000).zone("0:1", "dram", 90_000)
    assert energy.joules() == pytest.approx(250e-6)


@given(steps=st.lists(st.integers(0, 999), max_size=8), start=st.integers(0, 999))
def test_energy_over_counters_that_start_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    tree = Tree(tmp_path_factory.mktemp("powercap")).zone("0", "package-0", start, most=1000)
    energy, used = system.Energy(tree.root), 0
    assert energy.joules() == 0
    for step in steps:
        used += step
        tree.zone("0", "package-0", (start + used) % 1000, most=1000)
        assert energy.joules() == pytest.approx(used / 1e6)


def test_energy_without_counters(tree: Tree) -> None:
    assert system.Energy(tree.root).joules() is None
    tree.zone("0:0", "core", 5)
    assert system.Energy(tree.root).joules() is None


@pytest.mark.parametrize("content", ["", "-5\n", "many\n", "1 2\n", "²\n", "9" * 5000, b"\xff"])
def test_energy_is_unknown_once_a_package_is(tree: Tree, content: str | bytes) -> None:
    energy = system.Energy(tree.zone("0", "package-0", 5).zone("1", "package-1", 5).root)
    assert energy.joules() == 0
    tree.put("sys/class/powercap/intel-rapl:1/energy_uj", content)
    assert energy.joules() is None
    tree.zone("1", "package-1", 9)
    assert energy.joules() is None


def test_energy_that_runs_backwards_without_a_range(tree: Tree) -> None:
    energy = system.Energy(tree.zone("0", "package-0", 500).root)
    tree.zone("0", "package-0", 400, most=0)
    assert energy.joules() is None


# Frequencies


def test_frequencies_from_cpufreq(tree: Tree) -> None:
    for cpu, kilohertz in ((0, 1_500_000), (1, 3_000_000), (2, 9_000_000)):
        tree.put(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{kilohertz}\n")
    tree.put("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "<unknown>\n")
    assert system.frequencies_hz([0, 1], tree.root) == [1.5e9]
    assert system.frequencies_hz([0, 2], tree.root) == [1.5e9, 9e9]


def test_frequencies_of_few_of_many_cpus(tree: Tree) -> None:
    for cpu in range(384):
        tree.put(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq", f"{1000 + cpu}\n")
    found = system.frequencies_hz(range(384), tree.root)
    assert len(found) == system.FREQUENCY_CPUS
    assert found == sorted({1e3 * (1000 + cpu) for cpu in range(0, 384, 24)})


def test_frequencies_from_cpuinfo_only_if_they_are_counted(tree: Tree) -> None:
    tree.put("proc/cpuinfo", INTEL)
    assert system.frequencies_hz([0, 1], tree.root) == [2e9, 3.5005e9]
    assert system.frequencies_hz([1, 7], tree.root) == [3.5005e9]
    tree.put("proc/cpuinfo", INTEL.replace("aperfmperf", ""))
    assert system.frequencies_hz([0, 1], tree.root) == []
    tree.put("proc/cpuinfo", INTEL.replace("2000.000", "fast"))
    assert system.frequencies_hz([0, 1], tree.root) == [3.5005e9]


# Time of all CPUs


def test_cpu_time_leaves_idle_out_and_guests_in(tree: Tree) -> None:
    tree.put("proc/stat", "cpu  100 20 30 9999 999 4 5 6 50 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    found = system.cpu_time(tree.root)
    hertz = os.sysconf("SC_CLK_TCK")
    assert found == system.CpuTime(busy=159 / hertz, steal=6 / hertz)


@pytest.mark.parametrize(
    "content", ["", "cpu\n", "cpu 1 2 3\n", "cpu a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8 9\n"]
)
def test_cpu_time_of_garbage(tree: Tree, content: str) -> None:
    assert system.cpu_time(tree.put("proc/stat", content).root) is None


def test_others_and_steal() -> None:
    before, after = system.CpuTime(busy=10, steal=1), system.CpuTime(busy=40, steal=3)
    assert others_cpu(before, after, own_s=20, seconds=10) == pytest.approx(1.0)
    assert others_cpu(before, after, own_s=30.2, seconds=10) == 0
    assert steal_cpu(before, after, seconds=10) == pytest.approx(0.2)
    assert (
        others_cpu(None, after, 1, 1) is steal_cpu(before, None, 1) is others_cpu(before, after, 0, 0) is None
    )


def test_others_are_unknown_where_a_sandbox_shows_zeros() -> None:
    zero = system.CpuTime(busy=0, steal=0)
    assert others_cpu(zero, zero, own_s=5, seconds=10) is None
    assert others_cpu(zero, zero, own_s=0.01, seconds=0.02) == 0


# Throttling


def test_throttling_in_version_2_at_each_level(tree: Tree) -> None:
    tree.put("proc/self/mountinfo", MOUNT_2).put("proc/self/cgroup", "0::/pods/box\n")
    tree.put("sys/fs/cgroup/pods/box/cpu.stat", "usage_usec 9\nnr_throttled 3\nthrottled_usec 250000\n")
    tree.put("sys/fs/cgroup/pods/cpu.stat", "usage_usec 9\nnr_throttled 1\nthrottled_usec 1000000\n")
    tree.put("sys/fs/cgroup/cpu.stat", "usage_usec 9\nuser_usec 5\n")
    assert system.throttled_s(tree.root) == pytest.approx(1.25)


def test_throttling_in_version_1_behind_a_bind_mount(tree: Tree) -> None:
    tree.put("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n")
    mount = r"30 23 0:26 /docker/abc /sys/fs/cgroup/cpu\040here ro shared:9 - cgroup cgroup rw,cpu,cpuacct"
    tree.put("proc/self/mountinfo", f"{mount}\n")
    tree.put("sys/fs/cgroup/cpu here/cpu.stat", "nr_periods 4\nnr_throttled 2\nthrottled_time 1500000000\n")
    assert system.throttled_s(tree.root) == pytest.approx(1.5)
    assert system.cgroup_folders("cpu", tree.root) == [tree.root / "sys/fs/cgroup/cpu here"]


def test_throttling_in_the_customary_place_without_mountinfo(tree: Tree) -> None:
    tree.put("sys/fs/cgroup/cpu.stat", "throttled_usec 2000000\n")
    assert system.throttled_s(tree.root) == pytest.approx(2.0)


def test_throttling_without_a_quota_is_none_or_zero(tree: Tree) -> None:
    assert system.throttled_s(tree.root) is None
    tree.put("proc/self/mountinfo", MOUNT_2).put("proc/self/cgroup", "0::/\n")
    assert system.throttled_s(tree.root) is None
    assert system.throttled_s(tree.put("sys/fs/cgroup/cpu.stat", "usage_usec 9\n").root) == 0


def test_a_group_that_climbs_is_the_mounts_own(tree: Tree) -> None:
    tree.put("proc/self/mountinfo", MOUNT_2).put("proc/self/cgroup", "0::/../../other\n")
    assert system.cgroup_folders(None, tree.root) == [tree.root / "sys/fs/cgroup"]


@given(st.binary(max_size=200))
def test_readers_survive_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    tree = Tree(tmp_path_factory.mktemp("garbage"))
    for name in (
        "cpuinfo",
        "stat",
        "loadavg",
        *(f"self/{name}" for name in ("cgroup", "mountinfo", "statm")),
    ):
        tree.put(f"proc/{name}", content)
    for name in ("proc/self/smaps_rollup", "proc/self/numa_maps", "sys/fs/cgroup/cpu.stat"):
        tree.put(name, content)
    system.throttled_s(tree.root)
    seen = Watch(cpus=[0], root=tree.root).start().stop()
    kept = memory(seen, before_bytes=None, loaded_bytes=None, slots_bytes=None, root=tree.root)
    assert seen.quiet.load_1min >= 0
    assert seen.energy_j is None
    assert kept.slots_bytes is None


# Memory


def test_memory_of_a_tree(tree: Tree) -> None:
    tree.put("proc/self/statm", "9000 25 10 1 0 50 0\n")
    rollup = "5600-7fff ---p 00000000 00:00 0  [rollup]\nRss:  900 kB\nPss:  12 kB\nPss_Dirty:  5 kB\n"
    tree.put("proc/self/smaps_rollup", rollup)
    maps = (
        "5562b000 default file=/usr/N7=1 mapped=2 N0=2 kernelpagesize_kB=4\n"
        "5562c000 default anon=9 dirty=9 N0=3 N1=6 kernelpagesize_kB=4\n"
        "5562d000 prefer:1 anon=1 N1=1 N10=2 kernelpagesize_kB=2048\n"
        "5562e000 default\n"
    )
    tree.put("proc/self/numa_maps", maps)
    assert system.rss_bytes(tree.root) == 25 * os.sysconf("SC_PAGE_SIZE")
    assert system.pss_bytes(tree.root) == 12 * 1024
    expected = {"0": 5 * 4096, "1": 6 * 4096 + 2048 * 1024, "10": 2 * 2048 * 1024}
    assert system.node_pages_bytes(tree.root) == expected


def test_memory_where_nothing_is_told(tree: Tree) -> None:
    assert system.rss_bytes(tree.root) is system.pss_bytes(tree.root) is None
    assert system.node_pages_bytes(tree.root) == {}
    tree.put("proc/self/smaps_rollup", f"Pss: {'9' * 5000} kB\n")
    tree.put("proc/self/numa_maps", f"5562 default N0={'9' * 5000} N1=1 kernelpagesize_kB={'4' * 5000}\n")
    assert system.pss_bytes(tree.root) is None
    assert system.node_pages_bytes(tree.root) == {}


@pytest.mark.skipif(not LINUX, reason="/proc")
def test_memory_of_this_process() -> None:
    before = system.rss_bytes()
    # Not from the heap, where it may take the place of what an earlier test gave back.
    block = mmap.mmap(-1, 64 << 20)
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    after = system.rss_bytes()
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(len(block), rel=0.2)
    peak = _native.peak_rss_bytes()
    assert peak >= after * 0.99
    pss, nodes = system.pss_bytes(), system.node_pages_bytes()
    assert pss is None or 0 < pss <= peak * 1.01
    assert not nodes or sum(nodes.values()) == pytest.approx(after, rel=0.2)


# The watch


def test_watch_counts_what_happened_in_between(tree: Tree) -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    clock = Clock()
    frequency = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
    tree.put("proc/loadavg", "1.25 0.5 0.4 1/100 9\n").put("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n")
    tree.put("proc/self/mountinfo", MOUNT_2).put("sys/fs/cgroup/cpu.stat", "throttled_usec 500000\n")
    tree.put("proc/self/statm", "9 1 1\n").put(frequency, "2000000\n").zone("0", "package-0", 999_000)
    watch = Watch(cpus=[0], root=tree.root, clock=clock).start()
    tree.put("proc/loadavg", "9 9 9 1/100 9\n").put(frequency, "1000000\n").zone("0", "package-0", 500_000)
    tree.put("proc/self/statm", "9 3 1\n")
    clock.now += 2
    watch.tick()
    tree.put(frequency, "1500000\n").zone("0", "package-0", 499_000)
    tree.put("proc/self/statm", "9 2 1\n").put("sys/fs/cgroup/cpu.stat", "throttled_usec 750000\n")
    tree.put("proc/stat", f"cpu  {1000 * hertz} 0 0 0 0 0 0 {2 * hertz} 0 0\n")
    clock.now += 2
    seen = watch.stop()
    assert (seen.began_s, seen.seconds) == (100, 4)
    assert seen.quiet.load_1min == 1.25
    assert seen.quiet.steal_cpu == pytest.approx(0.5)
    assert seen.quiet.others_cpu == pytest.approx((1000 - seen.cpu_s) / 4, abs=0.01)
    assert seen.quiet.throttled_s == pytest.approx(0.25)
    assert (seen.quiet.frequency_low_hz, seen.quiet.frequency_high_hz) == (1e9, 2e9)
    assert seen.energy_j == pytest.approx(0.501 + 0.999)
    page = os.sysconf("SC_PAGE_SIZE")
    assert seen.memory == ((0, page), (2, 3 * page), (4, 2 * page))
    assert seen.energy_between(0, 4) == pytest.approx(1.5)
    assert seen.energy_between(1, 3) == pytest.approx(0.501 / 2 + 0.999 / 2)
    assert seen.energy_between(-0.1, 4) is seen.energy_between(0, 4.1) is None


def test_watch_lets_hasty_ticks_pass(tree: Tree) -> None:
    clock = Clock()
    watch = Watch(cpus=[0], root=tree.put("proc/self/statm", "9 1 1\n").root, clock=clock).start()
    for _ in range(100):
        clock.now += LOOK_S / 10
        watch.tick()
    assert len(watch.stop().memory) <= 12


def test_watch_knows_nothing_on_an_empty_tree(tree: Tree) -> None:
    seen = Watch(cpus=[], root=tree.root).start().stop()
    quiet = seen.quiet
    assert quiet.others_cpu is quiet.steal_cpu is quiet.throttled_s is None
    assert quiet.frequency_low_hz is quiet.frequency_high_hz is seen.energy_j is None
    assert seen.memory == seen.energy == ()
    assert seen.energy_between(0, 0) is None
    assert load_1min(tree.root) >= 0


def test_watch_on_this_machine_counts_ended_threads() -> None:
    import threading

    def work() -> None:
        begin = usage().cpu_s
        while usage().cpu_s < begin + 0.05:
            sum(range(1000))

    watch = Watch().start()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    seen = watch.stop()
    assert isinstance(seen, Seen)
    assert seen.cpu_s >= 0.05
    if LINUX:
        assert seen.switches_voluntary >= 1
        assert seen.memory[0][1] > 0
        assert seen.quiet.others_cpu is None or seen.quiet.others_cpu <= _native.system()["cpus_online"] * 1.5


# Timelines


@given(st.integers(1, 5000), st.floats(LOOK_S, 2))
def test_timeline_stays_small_even_and_whole(count: int, every_s: float) -> None:
    line: Timeline[int] = Timeline()
    for number in range(count):
        line.add(number * every_s, number)
    points = line.points()
    assert points[0] == (0, 0)
    assert points[-1] == ((count - 1) * every_s, count - 1)
    assert len(points) == min(count, len(points)) <= POINTS + 1
    gaps = [right[0] - left[0] for left, right in itertools.pairwise(points)]
    assert all(gap > 0 for gap in gaps)
    if len(gaps) > 2:
        # The last gap is what has not been filled yet.
        assert max(gaps) <= 2 * min(gaps[:-1]) + LOOK_S


def test_timeline_of_nothing() -> None:
    assert Timeline[int]().points() == ()
