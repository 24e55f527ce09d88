"""`make run`: cuts out a folder of pictures with the installed qbg and prints what it took.

python scripts/sample_run.py IN OUT
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    source, target = (Path(argument) for argument in sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    qbg = Path(sys.executable).with_name("qbg")
    command = [str(qbg), "remove", str(source), str(target), "--overwrite", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not done.stdout.strip():
        return done.returncode or 1
    summary = json.loads(done.stdout)
    print(f"\nCut-outs: {target.resolve()}{os.sep}\n")
    rows = [
        ("pictures", f"{summary['done']} done, {len(summary['failed'])} failed"),
        ("model, engine", f"{summary['model']}, {summary['engine']} {summary['precision']}"),
        ("workers", f"{summary['workers']}"),
        ("seconds", f"{summary['seconds']:.2f}"),
        ("pictures per second", f"{summary['images_per_s']:.2f}"),
        ("peak memory", f"{summary['peak_rss_bytes'] / 1e6:.0f} MB"),
    ]
    stages = summary["stage_seconds"]
    total = sum(stages.values()) or 1.0
    rows += [(f"  {name}", f"{seconds / total:6.1%} of the work") for name, seconds in stages.items()]
    for name, value in rows:
        print(f"  {name:<22}{value}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
