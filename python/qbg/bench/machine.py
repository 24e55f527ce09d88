"""The header of a record: what machine it was measured on, and with what software.

CPUs, quota, NUMA nodes and memory come from `qbg._native.system`, which the workers are placed by; features,
governor and hypervisor are read here. Versions are those of the installed distributions. Works on every
system; what one doesn't tell is None, empty or 0, as each field says.
Must not know what is measured.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import qbg
from qbg import _native
from qbg.bench.system import ROOT, cpu_flags, text
from qbg.report import record
from qbg.versions import installed

FLAGS = (
    "sse4_2",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "neon",
    "asimd",
    "i8mm",
    "bf16",
)
"""Features that kernels or networks gain by, in Linux's words: x86, then ARM."""

DISTRIBUTIONS = ("qbg", "onnxruntime", "numpy", "pillow")
GIT_TIMEOUT_S = 10.0


def machine(root: Path = ROOT) -> record.Machine:
    """This machine, as far as this process may use it.

    `memory_bytes` is 0 where the system doesn't tell.

    Raises:
        ValueError: QBG_SIMD names a level that doesn't exist or that this CPU hasn't got.
    """
    told = _native.system(str(root))
    flags = cpu_flags(root)
    allowed = told["cpus_allowed"]
    return record.Machine(
        cpu=told["cpu"] or platform.processor() or platform.machine(),
        flags=tuple(flag for flag in FLAGS if flag in flags),
        simd=told["simd"],
        cpus_online=told["cpus_online"],
        cpus_allowed=len(allowed),
        quota_cpus=told["quota_cpus"],
        smt=told["cores"] < len(allowed) or text(root / "sys/devices/system/cpu/smt/active") == "1",
        numa_nodes=max(1, len(told["nodes"])),
        memory_bytes=_memory_bytes(told),
        governor=text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        virtual="hypervisor" in flags or bool(text(root / "sys/hypervisor/type")),
        system=f"{platform.system()} {platform.release()}",
    )


def _memory_bytes(told: dict[str, Any]) -> int:
    known = [told[name] for name in ("memory_bytes", "memory_limit_bytes") if told[name]]
    if not known and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(getattr(os, "sysconf_names", ())):
        known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]  # macOS
    return min(known, default=0)


def software() -> record.Software:
    """What runs here. `git` is that of qbg's own checkout, found from the package or the current folder."""
    return record.Software(
        versions={"python": platform.python_version(), **installed(DISTRIBUTIONS)},
        build_profile=_native.BUILD_PROFILE,
        git=revision(Path(qbg.__file__).parent, Path.cwd()),
    )


def revision(*folders: Path) -> str | None:
    """Revision of the first of the folders that lies in a checkout of qbg: 12 digits, `+` if it has changes.

    A checkout of anything else, such as a project with qbg in its virtual environment, says nothing of qbg.
    None without Git.
    """
    for folder in folders:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if top and 'name = "qbg"' in (text(Path(top) / "pyproject.toml") or "").splitlines():
            head = _git(folder, "rev-parse", "--short=12", "HEAD")
            changed = _git(folder, "status", "--porcelain") != ""
            return f"{head}{'+' if changed else ''}" if head else None
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
