"""What a cluster costs: `qbg cluster run` and the Ray Data stage on a local Ray cluster, beside `qbg remove`.

    python benches/cluster.py [--model qbg-base] [--pictures DIR] [--copies 4] [--output R.json]

All nodes are processes on this machine, one CPU each, so nothing is gained and what Ray costs is seen. In a
further run a node is killed in the middle and another one joins; inputs, outputs and journal are counted
afterwards. Timed: from the first node's worker on, models loading included for Ray, as in any real run of it.
Left out: a network between machines, object storage. Needs the extra `qbg[ray]`. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import measure
from qbg.cluster.journal import read
from qbg.cluster.places import Place

SAMPLES = measure.ROOT / "python" / "qbg" / "bench" / "samples"
NODES = 2


def main() -> int:
    """Measures and prints; writes a record if asked."""
    options = arguments()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    record: dict[str, Any] = {"machine": measure.machine(sorted(os.sched_getaffinity(0))), "nodes": NODES}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "in"
        for number in range(options.copies):
            for path in sorted(Path(options.pictures).glob("*.jpg")):
                target = source / f"{number:03d}" / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        record |= {"model": options.model, "pictures": len(list(source.rglob("*.jpg")))}
        command = [sys.executable, "-m", "qbg", "remove", "-m", options.model, "--json", "-q"]
        record["remove"] = told([*command, source, work / "alone"])["images_per_s"]
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        try:
            nodes = [cluster.add_node(num_cpus=1) for _ in range(NODES)]
            run = [sys.executable, "-m", "qbg", "cluster", "run", "-m", options.model, "--json", "-q"]
            run += ["--address", cluster.address, "--chunk", "16"]
            record["cluster"] = told([*run, source, work / "whole"])
            record["stage"] = stage(cluster.address, source, options.model)
            record["loss"] = loss(cluster, nodes, [*run, source, work / "lossy"], source, work / "lossy")
        finally:
            cluster.shutdown()
    print(json.dumps({name: record[name] for name in ("remove", "cluster", "stage", "loss")}, indent=1))
    if options.output:
        Path(options.output).write_text(json.dumps(record, indent=1) + "\n")
    return 0


def told(command: list[Any]) -> dict[str, Any]:
    """The JSON of a run that went well."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def stage(address: str, source: Path, model: str) -> dict[str, Any]:
    """The same pictures as a Ray dataset through `qbg.ray.Cutout`."""
    import ray

    import qbg.ray

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        began = time.monotonic()
        pictures = ray.data.read_binary_files(
            str(source),
            include_paths=True,
            # A part of a CPU, and actors with another part: else reading waits for actors that wait for it.
            num_cpus=0.25,
        )
        cutouts = pictures.map_batches(
            qbg.ray.Cutout,
            fn_constructor_kwargs={"model": model, "workers": 1},
            batch_size=16,
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=NODES),
        )
        rows = cutouts.take_all()
        seconds = time.monotonic() - began
    finally:
        ray.shutdown()
    return {
        "rows": len(rows),
        "failed": sum(1 for row in rows if row["error"]),
        "seconds": seconds,
        "images_per_s": len(rows) / seconds,
    }


def loss(cluster: Any, nodes: list[Any], command: list[Any], source: Path, out: Path) -> dict[str, Any]:
    """A run in which a node is killed after a fifth of the outputs, and another one joins."""
    pictures = len(list(source.rglob("*.jpg")))
    run = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    while len(list(out.rglob("*.png"))) < pictures // 5:
        if run.poll() is not None:
            raise RuntimeError("the run ended before a node could be killed")
        time.sleep(0.05)
    cluster.remove_node(nodes[0], allow_graceful=False)
    cluster.add_node(num_cpus=1)
    summary: dict[str, Any] = json.loads(run.communicate()[0])
    rows = Counter(row["input"] for row in read(Place(str(out))))
    return {
        **summary,
        "outputs": len(list(out.rglob("*.png"))),
        "inputs_in_journal": len(rows),
        "inputs_twice_in_journal": sum(1 for count in rows.values() if count > 1),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="qbg-base")
    parser.add_argument("--pictures", default=str(SAMPLES))
    parser.add_argument("--copies", type=int, default=4, help="of each picture")
    parser.add_argument("--output", default=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
