"""The native core driven directly: the interpreter's share of an image, and a stalled worker."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qbg import _native, engine, models
from qbg._native import Core, Slot
from qbg.errors import EngineError
from qbg.options import FolderOptions, Options
from qbg.recipe import Recipe

TINY = Recipe(height=8, width=8, filter="bilinear")


@pytest.fixture
def tiny_images(tmp_path: Path) -> Path:
    """A folder of 60 pictures of a few pixels each."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(60):
        Image.new("RGB", (6, 5), (index, 100, 200)).save(folder / f"{index:02}.png")
    return folder


def test_the_interpreter_is_held_for_microseconds_per_image(
    quick_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CPU time of one whole `infer` on a tiny graph: more than the part that holds the GIL.

    At 384 workers and 5 images/s each, one interpreter has 500 us per image in all.
    """
    model = models.resolve(str(quick_model))
    runner = engine.make("onnxruntime", model.network)
    kept = []

    def make_worker(slot: Slot):
        kept.append(runner.make_worker(slot))
        return kept[-1]

    core = Core(model.recipe, runner.output_shape, make_worker, workers=1)
    pixels = (4, 4, 3, bytes(48))
    core.process(pixels, Options())
    infer = kept[0]
    times = []
    for _ in range(2000):
        before = time.thread_time_ns()
        infer()
        times.append(time.thread_time_ns() - before)
    core.close()
    median_us = statistics.median(times) / 1000
    with capsys.disabled():
        print(f"\ninfer on a tiny graph: {median_us:.1f} us of CPU per image, median of {len(times)}")
    assert median_us < 250


def test_a_stalled_worker_loses_its_queue(tiny_images: Path, tmp_path: Path) -> None:
    """Worker 0 gets stuck in its first image until the other has done all the rest."""
    release, stuck = threading.Event(), threading.Event()
    done = [0, 0]

    def make_worker(slot: Slot):
        np.asarray(slot.output)[...] = 0.5

        def infer() -> None:
            if slot.index == 0 and not stuck.is_set():
                stuck.set()
                assert release.wait(50)
            done[slot.index] += 1
            if done[1] == 59:
                release.set()

        return infer

    core = Core(TINY, (1, 8, 8), make_worker, workers=2)
    run = core.run([str(tiny_images)], f"{tmp_path}/out/", Options(), FolderOptions(), "test")
    while not run.poll(0.2):
        if done[1] > 0 and not stuck.is_set() and run.progress()[0] == 60:
            break
    summary = run.summary()
    core.close()
    assert summary["done"] == 60
    assert summary["jobs"] == done
    if stuck.is_set():  # else worker 1 was so quick that worker 0 never got one
        assert done == [1, 59]


def test_what_a_worker_raises_is_that_images_failure(tiny_images: Path, tmp_path: Path) -> None:
    count = 0

    def make_worker(slot: Slot):
        def infer() -> None:
            nonlocal count
            count += 1
            if count % 10 == 0:
                raise ValueError("no\nluck")

        return infer

    core = Core(TINY, (1, 8, 8), make_worker, workers=1)
    run = core.run([str(tiny_images)], f"{tmp_path}/out/", Options(), FolderOptions(), "test")
    while not run.poll(0.2):
        pass
    summary, failures = run.summary(), run.failures()
    core.close()
    assert (summary["done"], summary["failed"]) == (54, 6)
    assert {(failure.stage, failure.message) for failure in failures} == {("infer", "ValueError: no luck")}
    assert len(list((tmp_path / "out").iterdir())) == 54


def test_an_engine_that_makes_no_worker_ends_the_run(tiny_images: Path, tmp_path: Path) -> None:
    def make_worker(slot: Slot):
        raise RuntimeError("no such device")

    core = Core(TINY, (1, 8, 8), make_worker, workers=2)
    run = core.run([str(tiny_images)], f"{tmp_path}/out/", Options(), FolderOptions(), "test")
    with pytest.raises(EngineError, match="no such device"):
        run.poll(20)
    core.close()
    core.close()
    with pytest.raises(RuntimeError, match="closed"):
        core.process((4, 4, 3, bytes(48)), Options())


def test_the_triad_gives_a_rate_per_repeat() -> None:
    for threads in range(1, len(_native.system()["cpus_allowed"]) + 1):
        rates = _native.triad(threads, 1 << 20, 3)
        assert len(rates) == 3
        assert all(0 < rate < float("inf") for rate in rates)


@pytest.mark.parametrize(
    ("threads", "size", "repeats", "why"),
    [
        (0, 1 << 20, 1, "element"),
        (1, 0, 1, "element"),
        (1, 7, 1, "element"),
        (1, 1 << 60, 1, "quarter"),
        (1 << 20, 1 << 20, 1, "CPUs"),
        (1, 1 << 20, 0, "repeats"),
        (1, 1 << 20, 1 << 40, "repeats"),
    ],
)
def test_a_triad_of_nothing_or_too_much_is_refused(threads: int, size: int, repeats: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        _native.triad(threads, size, repeats)
