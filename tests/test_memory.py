"""Memory stays below a limit, whatever lies in the folder: fewer workers, large pictures in turn."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import Outcome, qbg_command
from qbg import memory

Run = Callable[..., Outcome]
MIB = 1 << 20
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="SKIPPED: resident memory is read from /proc, limits are Linux's"
)


@given(
    limit=st.integers(MIB, 1 << 45),
    resident=st.integers(MIB, 1 << 34),
    worker=st.integers(memory.LEAST_WORKER_BYTES, 1 << 32),
    workers=st.integers(1, 4096),
)
def test_a_plan_stays_below_the_limit(limit: int, resident: int, worker: int, workers: int) -> None:
    plan = memory.plan(limit, resident, worker, workers)
    assert 1 <= plan.workers <= workers
    least, most = (pixels * memory.BYTES_PER_PIXEL for pixels in memory.SMALL_PX)
    assert least <= plan.small_bytes <= most
    taken = resident + plan.workers * (worker + plan.small_bytes) + plan.spare_bytes
    if plan.workers > 1:
        assert taken <= limit
        assert plan.largest_px() >= memory.LARGE_PX, "a second worker only where a large picture still fits"
    assert plan.spare_bytes == 0 or taken <= limit
    # Nothing is given away: one more worker, at its least, would not leave that room.
    if plan.workers < workers:
        more = resident + (plan.workers + 1) * (worker + least)
        assert more + (memory.LARGE_PX - memory.SMALL_PX[0]) * memory.BYTES_PER_PIXEL > limit


@pytest.mark.parametrize(
    ("text", "size"),
    [("800M", 800 << 20), ("1.5G", 3 << 29), ("2GiB", 2 << 30), (" 1 tb ", 1 << 40), ("2097152", 2 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "1X", "-1G", "0", "12", "1e9", "99999999T", "1.G"])
def test_what_is_no_size(text: str, qbg: Run, photos: Path) -> None:
    with pytest.raises(ValueError, match="not a size of memory"):
        memory.parse_size(text)
    if text == "much":
        assert qbg("remove", photos, "--max-memory", text).code == 2


def test_the_limit_nobody_names() -> None:
    assert memory.default_limit(None, None) is None
    assert memory.default_limit(1000, None) == 800
    assert memory.default_limit(10_000, 1000) == 900


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of 6 megapixels that don't shrink, and one of 24 among them."""
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(3).integers(0, 256, (2000, 3000, 3), np.uint8)
    for i in range(6):
        Image.fromarray(np.roll(noise, i, axis=1)).save(folder / f"{i}.png", compress_level=0)
    Image.fromarray(np.tile(noise, (2, 2, 1))).save(folder / "2_large.png", compress_level=0)
    return folder


@linux_only
def test_peak_memory_is_below_the_limit(qbg: Run, large: Path, tmp_path: Path) -> None:
    limit = 700 * MIB
    run = qbg(
        "remove", large, tmp_path, "--engine", "null", "--workers", "6", "--max-memory", "700M", "--json"
    )
    assert run.code == 0, run.err
    assert "in place of 6" in run.err
    assert run.summary["done"] == 7
    assert run.summary["peak_rss_bytes"] < limit
    free = qbg("remove", large, tmp_path / "free", "--engine", "null", "--workers", "6", "--json")
    assert free.summary["workers"] == 6
    assert free.summary["peak_rss_bytes"] > run.summary["peak_rss_bytes"]


@linux_only
def test_what_can_never_fit_is_an_error_of_that_picture(qbg: Run, large: Path, tmp_path: Path) -> None:
    run = qbg(
        "remove", large, tmp_path, "--engine", "null", "--workers", "2", "--max-memory", "400M", "--json"
    )
    assert run.code == 1
    (failure,) = run.summary["failed"]
    assert failure["file"].endswith("2_large.png")
    assert failure["stage"] == "decode"
    assert "--max-memory" in failure["hint"]
    assert run.summary["done"] == 6


@linux_only
def test_memory_that_can_not_be_had_is_an_error(large: Path, tmp_path: Path, qbg: Run) -> None:
    """Address space ends in the middle of a picture: the system refuses, and the others are done."""
    huge = tmp_path / "huge.png"
    Image.new("L", (15_000, 15_000)).save(huge)

    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1500 * MIB, 1500 * MIB))

    out = tmp_path / "out"
    run = qbg(
        "remove", huge, large / "0.png", "-o", out, "--engine", "null", "--workers", "1", "--json",
        preexec_fn=narrow,
    )  # fmt: skip
    assert run.code == 1, run.err
    (failure,) = run.summary["failed"]
    assert "memory" in failure["message"]
    assert run.summary["done"] == 1


@pytest.fixture
def group(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A cgroup with a limit of memory; its folder and the limit."""
    limit = 500 * MIB
    for root, knob in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        folder = Path(root) / f"qbg-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / knob).write_text(str(limit))
        except OSError:
            folder.rmdir()
            continue
        yield folder, limit
        folder.rmdir()
        return
    pytest.skip("SKIPPED: no cgroup with a limit of memory can be made here")


@linux_only
def test_below_a_group_s_limit_it_adapts_and_is_not_killed(
    group: tuple[Path, int], large: Path, tmp_path: Path
) -> None:
    folder, limit = group

    def enter() -> None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))

    command: list[Any] = [*qbg_command(), "remove", large, tmp_path, "--engine", "null", "--workers", "6"]
    run = subprocess.run(command, preexec_fn=enter, capture_output=True, text=True, timeout=55)
    assert run.returncode in (0, 1), run.stderr
    assert "to stay below" in run.stderr
    assert len(list(tmp_path.glob("*.png"))) >= 6
    assert run.stderr.count("2_large") <= 1
    assert limit


@linux_only
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_names_take_no_more_than_a_folder_of_them(
    photos: Path, quick_model: Path, tmp_path: Path
) -> None:
    """All are walked, named and settled; of fifty thousand parts one is done."""
    source = tmp_path / "in"
    picture = min(photos.glob("*.jpg"), key=lambda path: path.stat().st_size)
    for folder in range(100):
        (source / f"{folder:02d}").mkdir(parents=True)
        first = source / f"{folder:02d}" / "0000.jpg"
        first.write_bytes(picture.read_bytes())
        for number in range(1, 10_000):
            os.link(first, source / f"{folder:02d}" / f"{number:04d}.jpg")
    command = [*qbg_command(), "remove", "-m", quick_model, source, tmp_path / "out", "--json", "-q"]
    command += ["--shard", "7/50000"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert 0 < summary["done"] < 100
    assert summary["peak_rss_bytes"] < 200 * MIB


@linux_only
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_megapixels_among_photos(quick_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(11)
    tile = rng.integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(np.tile(tile, (20, 40, 1))).save(source / "huge.png", compress_level=1)
    photo = Image.fromarray(np.tile(tile, (6, 8, 1)))  # 12 megapixels
    for number in range(8):
        photo.save(source / f"photo{number}.jpg", quality=90)
    limit = 7 << 30
    command = [*qbg_command(), "remove", "-m", quick_model, source, tmp_path / "out", "--json", "-q"]
    command += ["--max-memory", str(limit), "--only-mask"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["failed"]) == (9, [])
    assert summary["pixels"] == 200_000_000 + 8 * 12_000_000
    assert summary["peak_rss_bytes"] < limit
    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
    try:
        with Image.open(tmp_path / "out" / "huge.png") as mask:
            assert mask.size == (20_000, 10_000)
    finally:
        Image.MAX_IMAGE_PIXELS = before
