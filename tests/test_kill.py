"""A run that is killed at any moment and begun again ends as if nothing had happened.

Kills are SIGKILL: nothing in the process can tidy up.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import digests, qbg_command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SKIPPED: SIGKILL is POSIX's")
Run = Callable[..., Any]


def _draw(folder: Path, count: int) -> Path:
    """Noise, which no encoder makes small: much of a run is writing."""
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (200, 300, 3), np.uint8)
        path = folder / f"{i % 3}" / f"{i}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    return _draw(tmp_path / "in", 60)


def test_killed_ten_times_and_begun_again(inputs: Path, tmp_path: Path, qbg: Run) -> None:
    _kill_and_rerun(inputs, tmp_path, qbg, count=60, kills=10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_two_hundred_times_and_begun_again(tmp_path: Path, qbg: Run) -> None:
    _kill_and_rerun(_draw(tmp_path / "in", 2000), tmp_path, qbg, count=2000, kills=200)


def _kill_and_rerun(inputs: Path, tmp_path: Path, qbg: Run, *, count: int, kills: int) -> None:
    # A network of 20 ms, so that no run is over before it is killed, however quick the machine.
    options = ["--engine", "simulated:0.02", "--workers", "2", "--png-level", "1"]
    before = digests(inputs)
    undisturbed = tmp_path / "undisturbed"
    assert qbg("remove", inputs, undisturbed, *options).code == 0
    wanted = digests(undisturbed)
    assert len(wanted) == count

    out = tmp_path / "out"
    moments = random.Random(7)
    killed = 0
    whole: set[Path] = set()
    for _ in range(kills):
        there = len(list(out.rglob("*.png")))
        command = [*qbg_command(), "remove", str(inputs), str(out), *options, "--quiet"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            while running.poll() is None and len(list(out.rglob("*.png"))) <= there:
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.02))
            running.kill()
            killed += running.wait() == -9
        for path in set(out.rglob("*.png")) - whole:
            with Image.open(path) as image:
                image.load()  # fails on a torn one
            whole.add(path)
    assert killed > kills / 2

    # What a kill in the middle of a write leaves, whether or not one of those above was.
    (out / "1").mkdir(parents=True, exist_ok=True)
    (out / "1" / ".qbg-4194304-0-0.tmp").write_bytes(b"half a pic")
    last = qbg("remove", inputs, out, *options)
    assert last.code == 0, last.err
    assert digests(out) == wanted
    assert digests(inputs) == before


def test_runs_on_one_folder_share_the_work(inputs: Path, tmp_path: Path) -> None:
    """Three at once, as on three machines: each picture is done by one of them."""
    out = tmp_path / "out"
    options = ["--engine", "simulated:0.05", "--workers", "2", "--png-level", "1", "--json"]
    command = [*qbg_command(), "remove", str(inputs), str(out), *options]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    summaries = []
    for run in runs:
        told, errors = run.communicate(timeout=50)
        assert run.returncode == 0, errors
        summaries.append(json.loads(told))
    assert sum(summary["done"] for summary in summaries) == 60
    assert all(summary["done"] + summary["skipped"] == 60 for summary in summaries)
    assert sorted(path.suffix for path in out.rglob("*") if path.is_file()) == [".png"] * 60
    alone = tmp_path / "alone"
    command = [*qbg_command(), "remove", str(inputs), str(alone), *options]
    subprocess.run(command, check=True, capture_output=True)
    assert digests(out) == digests(alone)
