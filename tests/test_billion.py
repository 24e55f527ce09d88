"""The paper plan: the simulation against arithmetic, and the figures that docs/billion.md prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT


def plan(*options: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "billion.py"), *options],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("chunk", ["64", "4096"])
@pytest.mark.parametrize("hours", ["2", "24"])
def test_the_simulation_agrees_with_arithmetic(chunk: str, hours: str) -> None:
    found = plan("--rate", "1.5", "--chunk", chunk, "--mtbf-hours", hours)
    assert found["label"] == "projected"
    assert found["work_done_twice"] == pytest.approx(found["work_done_twice_expected"], rel=0.05)
    # A machine that is lost so often is there for this share of the time.
    there = float(hours) / (float(hours) + 300 / 3600)
    assert found["hours_median"] == pytest.approx(found["hours_without_loss"] / there, rel=0.02)
    assert found["losses_mean"] == pytest.approx(40 * found["hours_median"] * there / float(hours), rel=0.1)


def test_without_losses_it_is_a_division() -> None:
    found = plan(
        "--rate", "2", "--mtbf-hours", "1e12", "--pictures", "1e6", "--machines", "10", "--cores", "10"
    )
    assert found["hours_median"] == pytest.approx(1e6 / 200 / 3600, abs=0.02)
    assert found["losses_mean"] == 0


def test_the_documents_figures_are_the_scripts() -> None:
    text = (ROOT / "docs" / "billion.md").read_text(encoding="utf-8")
    found = plan()
    for value in (found["hours_without_loss"], found["hours_median"]):
        assert f"{value:.1f} h" in text
    assert f"{found['images_per_s_per_core']:.2f} images/s" in text
    hours = float(re.search(r"machine-hours \| ([\d,]+) \|", text)[1].replace(",", ""))
    assert hours == pytest.approx(found["machine_hours"], abs=1)
