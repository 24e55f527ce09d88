"""qbg in rembg's place: `qbg rembg p` and `qbg remove` beside `rembg p`, on one folder, with one model.

    python benches/inplace.py --rembg PYTHON [--model u2netp] [--pictures DIR] [--count 64] [--rounds 3]
                              [--output R.json]

Issued: the three commands, one after the other, into fresh folders, as often as there are rounds. Timed: each
process from start to end, model loading included. Afterwards every mask is compared with rembg's, pixel by
pixel: in rembg's way (`--premultiplied --flat`) colors too. `PYTHON` is one that has rembg[cpu,cli]. Left
out: machines where rembg would use a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import measure

SAMPLES = measure.ROOT / "python" / "qbg" / "bench" / "samples"


def main() -> int:
    """Measures, compares and prints; writes a record if asked."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "in"
        source.mkdir()
        for path in sorted(Path(options.pictures).glob("*.jpg"))[: options.count]:
            shutil.copy(path, source)
        own = [sys.executable, "-m", "qbg"]
        commands: dict[str, list[str]] = {
            "rembg p": [options.rembg, "-c", "from rembg.cli import main; main()", "p", "-m", options.model],
            "qbg rembg p": [*own, "rembg", "p", "-m", options.model],
            "qbg remove": [*own, "remove", "-q", "-m", options.model],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(options.rounds):
            for name, command in commands.items():
                target = work / f"{name.replace(' ', '-')}-{number}"
                seconds[name].append(measure.clock(partial(run, [*command, source, target])))
        exact = work / "exact"
        run([*commands["qbg rembg p"], "--premultiplied", "--flat", source, exact])
        theirs = work / f"rembg-p-{options.rounds - 1}"
        record: dict[str, Any] = {
            "machine": measure.machine(sorted(os.sched_getaffinity(0))),
            "versions_rembg": versions(options.rembg),
            "model": options.model,
            "pictures": len(list(source.iterdir())),
            "seconds": {name: measure.summary(times) for name, times in seconds.items()},
            "faster": {name: measure.ratio(seconds["rembg p"], seconds[name]) for name in list(commands)[1:]},
            "alpha": far(theirs, work / f"qbg-rembg-p-{options.rounds - 1}", alpha=True),
            "all_channels_in_rembgs_way": far(theirs, exact, alpha=False),
        }
    shown = {name: record[name] for name in ("seconds", "faster", "alpha", "all_channels_in_rembgs_way")}
    print(json.dumps(shown, indent=1))
    if options.output:
        Path(options.output).write_text(json.dumps(record, indent=1) + "\n")
    return 0


def run(command: list[Any]) -> None:
    """A command that must go well."""
    quiet = subprocess.DEVNULL
    subprocess.run([str(part) for part in command], check=True, stdout=quiet, stderr=quiet)


def far(theirs: Path, ours: Path, *, alpha: bool) -> dict[str, Any]:
    """How far two folders of cut-outs are apart."""
    most, over, values = 0, 0, 0
    for path in sorted(theirs.glob("*.png")):
        planes = []
        for folder in (theirs, ours):
            with Image.open(folder / path.name) as image:
                pixels = np.asarray(image.convert("RGBA")).astype(int)
            planes.append(pixels[..., 3:] if alpha else pixels)
        off = np.abs(planes[0] - planes[1])
        most = max(most, int(off.max()))
        over += int((off > 1).sum())
        values += off.size
    return {"most_levels": most, "values_off_by_more_than_1": over, "values": values}


def versions(python: str) -> dict[str, str]:
    """Of rembg and of what its masks depend on."""
    program = (
        "import json; from importlib.metadata import version as v;"
        "print(json.dumps({n: v(n) for n in ('rembg', 'pillow', 'onnxruntime', 'numpy')}))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rembg", required=True, metavar="PYTHON")
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--pictures", default=str(SAMPLES))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", default=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
