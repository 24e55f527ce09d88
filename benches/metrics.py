"""The metrics of `qbg evaluate` beside the PyPI package pysodmetrics: the same figures, the time of each.

    python benches/metrics.py [--width 550] [--height 825] [--rounds 9] [--output R.json]

Issued: one drawn mask and its truth, to the five metrics that both have (F, MAE, S, E, weighted F), in turns;
`qbg, all` adds those that only qbg has (IoU, boundary IoU, SAD, gradient). Timed: the calls, on one CPU.
Afterwards the figures are held to each other within 1e-6, or nothing is printed. The package is given what it
wants: levels as floats and a truth of two classes. Needs the extra `qbg[evaluate]` and pysodmetrics. Linux
only: it sets CPU affinity.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import measure

sys.path.insert(0, str(measure.ROOT / "scripts"))

import make_metric_vectors
from qbg import _native
from qbg.bench import compare
from qbg.evaluate import metrics
from qbg.evaluate.figures import HALF

TOLERANCE = 1e-6
SHARED = ("f_curve", "f_adaptive", "e_curve", "e_adaptive", "mae", "s", "f_weighted")


def drawn(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A soft, noisy mask and its truth, both (H, W) uint8."""
    y, x = np.mgrid[0:height, 0:width]
    far = np.hypot((y / height - 0.5) / 0.4, (x / width - 0.5) / 0.25)
    truth = np.where(far < 1.0, 255, 0).astype(np.uint8)
    noise = np.random.default_rng(1).normal(0.0, 20.0, (height, width))
    return np.clip((1.05 - far) * 900.0 + 128.0 + noise, 0, 255).astype(np.uint8), truth


def ours(mask: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """The same five by qbg."""
    subject = truth >= HALF
    levels = metrics.Histograms.of(mask, subject)
    return {
        "f_curve": levels.f_curve(),
        "f_adaptive": levels.f_adaptive(),
        "e_curve": levels.e_curve(),
        "e_adaptive": levels.e_adaptive(),
        "mae": float(np.abs(mask.astype(np.int16) - truth).mean()) / 255.0,
        "s": metrics.structure(mask, subject, levels),
        "f_weighted": metrics.f_weighted(mask, subject),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=550, help="of the mask")
    parser.add_argument("--height", type=int, default=825, help="of the mask")
    parser.add_argument("--rounds", type=int, default=9, help="turns")
    parser.add_argument("--output", type=Path, help="write the record here")
    asked = parser.parse_args()
    header = measure.one_core()
    mask, truth = drawn(asked.height, asked.width)
    mine, other = ours(mask, truth), make_metric_vectors.scores(mask, truth)
    apart = {name: float(np.max(np.abs(np.asarray(mine[name]) - np.asarray(other[name])))) for name in SHARED}
    if max(apart.values()) > TOLERANCE:
        print(f"figures differ: {apart}", file=sys.stderr)
        return 1
    contestants: dict[str, Callable[[], object]] = {
        "pysodmetrics": lambda: make_metric_vectors.scores(mask, truth),
        "qbg": lambda: ours(mask, truth),
        "qbg, all": lambda: metrics.score(mask, truth),
    }
    times = compare.interleave(
        {name: lambda work=work: measure.clock(work) for name, work in contestants.items()}, asked.rounds
    )
    doubts = measure.doubts(header, asked.rounds, _native.BUILD_PROFILE)
    print(
        f"{header['cpu']}, one core, {asked.width}x{asked.height}, figures within {max(apart.values()):.1e}"
    )
    rows = []
    for name, values in times.items():
        found = measure.summary(values)
        text = f"{1e3 * found['median_s']:.1f} ms ({1e3 * found['min_s']:.1f} to {1e3 * found['max_s']:.1f})"
        if name != "pysodmetrics":
            ratio = measure.ratio(times["pysodmetrics"], values)
            text += f", {ratio['median']:.1f} x as fast [{ratio['low']:.1f}, {ratio['high']:.1f}]"
        rows.append((name, text))
        print(f"  {name:<16}{text}")
    for doubt in doubts:
        print(f"invalid: {doubt}")
    if asked.output is not None:
        record = {
            "kind": "metrics",
            "doc": __doc__,
            "machine": header,
            "pysodmetrics": version("pysodmetrics"),
            "size": [asked.width, asked.height],
            "rounds": asked.rounds,
            "doubts": doubts,
            "apart": apart,
            "headline": rows,
            "times": {name: measure.summary(values) for name, values in times.items()},
            "load_1min_at_end": os.getloadavg()[0],
        }
        asked.output.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
