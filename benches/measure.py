"""What every side-by-side run shares: a record's header, medians, ratios with an interval, doubts.

Must not know what is measured. Python's clock is read here and in the rivals only. Nothing here
prints; `spine.py` does. Left out on purpose: throwing away of slow rounds. All times stay in the record.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qbg.bench import machine as here
from qbg.bench import system, watch
from qbg.bench.statistics import paired_ratio

ROOT = Path(__file__).parents[1]
LOAD_LIMIT = 0.5
"""Runnable threads of others at the start, averaged over a minute, above which a run is called invalid."""


def machine(cpus: Sequence[int]) -> dict[str, Any]:
    """The header of a record: everything that a reader needs to judge the numbers."""
    found, software = here.machine(), here.software()
    git = here.revision(ROOT) or ""
    return {
        "cpu": found.cpu,
        "flags": list(found.flags),
        "cpus_used": list(cpus),
        "cpus_online": found.cpus_online,
        "threads_per_core": 2 if found.smt else 1,
        "cgroup_cpu_max": system.text(Path("/sys/fs/cgroup/cpu.max")),
        "governor": found.governor,
        "load_1min_at_start": watch.load_1min(),
        "memory_bytes": found.memory_bytes,
        "system": found.system,
        "virtual": found.virtual,
        "versions": software.versions,
        "git": git.rstrip("+"),
        "git_clean": not git.endswith("+"),
        "date_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def default_cpus(count: int) -> list[int]:
    """The first `count` allowed CPUs, one thread per core where siblings are known."""
    allowed = sorted(os.sched_getaffinity(0))
    chosen: list[int] = []
    taken: set[str] = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        siblings = system.text(topology / "thread_siblings_list") or str(cpu)
        if siblings not in taken:
            taken.add(siblings)
            chosen.append(cpu)
    chosen += [cpu for cpu in allowed if cpu not in chosen]
    return chosen[:count]


def one_core() -> dict[str, Any]:
    """Keeps this process on one CPU from now on, and gives the record's header."""
    cpu = default_cpus(1)
    header = machine(cpu)
    os.sched_setaffinity(0, cpu)
    return header


def clock(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """Median of the rounds' ratios, with the interval that `qbg bench` gives it."""
    found = paired_ratio(over, under)
    return {"median": found.value, "low": found.low, "high": found.high}


def summary(times: Sequence[float]) -> dict[str, Any]:
    """Median, spread and the raw values, in seconds."""
    return {
        "median_s": statistics.median(times),
        "min_s": min(times),
        "max_s": max(times),
        "raw_s": list(times),
    }


def doubts(header: dict[str, Any], rounds: int, build_profile: str) -> list[str]:
    """Why this record shouldn't be quoted, with advice; empty when there is no reason known."""
    found = []
    if build_profile != "release":
        found.append(f"the native module is a {build_profile} build: run make build-prod")
    if rounds < 5:
        found.append(f"{rounds} rounds are too few for an interval: use at least 5")
    if header["load_1min_at_start"] > LOAD_LIMIT:
        load = header["load_1min_at_start"]
        found.append(f"others were running (load {load:.2f}): wait until it is below {LOAD_LIMIT}")
    if not header["git_clean"]:
        found.append("the working tree has changes: commit them first")
    return found
