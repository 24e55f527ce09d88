"""An imitated machine: the files under which the topology of 384 CPUs on 8 nodes is read. Linux's layout.

CPUs 0 to 191 are the first threads of the cores, 192 to 383 the second ones, as large servers number them.
Must not know who reads it.
"""

from __future__ import annotations

from pathlib import Path

NODES, CORES_PER_NODE = 8, 24
CPUS = NODES * CORES_PER_NODE * 2


def build(root: Path) -> None:
    """Writes the tree below `root`, an empty folder."""
    cores = NODES * CORES_PER_NODE
    cpu = root / "sys" / "devices" / "system" / "cpu"
    node = root / "sys" / "devices" / "system" / "node"
    _write(cpu / "online", f"0-{CPUS - 1}")
    for number in range(NODES):
        first, second = number * CORES_PER_NODE, cores + number * CORES_PER_NODE
        last = CORES_PER_NODE - 1
        _write(node / f"node{number}" / "cpulist", f"{first}-{first + last},{second}-{second + last}")
    for core in range(cores):
        for thread in (core, core + cores):
            siblings = cpu / f"cpu{thread}" / "topology" / "thread_siblings_list"
            _write(siblings, f"{core},{core + cores}")
    _write(root / "proc" / "meminfo", f"MemTotal: {768 * 2**20} kB")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="ascii")
