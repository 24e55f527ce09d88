"""Writes tests/vectors/metrics/scores.json: what the PyPI package pysodmetrics gives for drawn masks.

Run with a Python that has pysodmetrics 1.6.2; no code of qbg takes part. The package is given levels / 255 as
floats, moved up by less than 1e-15, since it goes back to levels by cutting (levels * 255) off, which would
lose some of them to rounding.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mask_cases import cases

OUT = Path(__file__).parents[1] / "tests" / "vectors" / "metrics" / "scores.json"


def scores(mask: np.ndarray, truth: np.ndarray) -> dict[str, object]:
    """By the package."""
    import py_sod_metrics as sod

    levels = np.where(mask == 0, 0.0, np.minimum(np.nextafter(mask / 255.0, 2.0), 1.0))
    found: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each = {
            "f": sod.Fmeasure(),
            "mae": sod.MAE(),
            "s": sod.Smeasure(),
            "e": sod.Emeasure(),
            "w": sod.WeightedFmeasure(),
        }
    for one in each.values():
        one.step(levels, truth >= 128, normalize=False)
    f, e = each["f"].get_results()["fm"], each["e"].get_results()["em"]
    found |= {"f_curve": f["curve"].tolist(), "f_adaptive": float(f["adp"])}
    found |= {"e_curve": e["curve"].tolist(), "e_adaptive": float(e["adp"])}
    found["mae"] = float(each["mae"].get_results()["mae"])
    found["s"] = float(each["s"].get_results()["sm"])
    found["f_weighted"] = float(each["w"].get_results()["wfm"])
    # Where a part of the structure measure is empty, the package divides by zero.
    return {key: value for key, value in found.items() if not np.isnan(value).any()}


def main() -> None:
    table = {name: scores(mask, truth) for name, (mask, truth) in cases().items()}
    record = {"made_with": f"pysodmetrics {version('pysodmetrics')}", "scores": table}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(record, separators=(",", ":")) + "\n")
    print(f"{OUT}: {len(table)} cases")


if __name__ == "__main__":
    main()
