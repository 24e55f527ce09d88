"""Disks that fail: errors put under the program by a library of system calls, and a real disk that fills up.

Whatever fails, the others are done, nothing half-written is seen or left, and a run without faults
brings the rest.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, Outcome, digests

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="SKIPPED: faults are put under the program by LD_PRELOAD and /proc"
)
Run = Callable[..., Outcome]
COUNT = 24
OPTIONS = ["--engine", "null", "--workers", "2", "--json"]
MOST_FULL = 3  # rust/core/src/batch.rs


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that fails calls, made by the linker's own C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("SKIPPED: no C compiler to make the library of faults")
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = ROOT / "tests" / "faults.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise: outputs are of a size that tells."""
    folder = tmp_path_factory.mktemp("faults") / "in"
    folder.mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(i).integers(0, 256, (64, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def wanted(inputs: Path, tmp_path_factory: pytest.TempPathFactory, qbg: Run) -> dict[str, str]:
    """The outputs of an undisturbed run."""
    out = tmp_path_factory.mktemp("faults") / "undisturbed"
    assert qbg("remove", inputs, out, *OPTIONS).code == 0
    return digests(out)


@pytest.fixture
def faulty(library: Path, qbg: Run) -> Run:
    """Runs qbg with faults."""

    def run(faults: str, *arguments: str | Path) -> Outcome:
        env = os.environ | {"LD_PRELOAD": str(library), "FAULTS": faults}
        return qbg(*arguments, env=env)

    return run


def every(call: str, part: str, error: int, count: int) -> str:
    return f"{call}={part}:{error}:{count}"


@pytest.mark.parametrize(
    ("fault", "stage", "options"),
    [
        (every("write", ".qbg-", errno.EIO, 5), "write", []),
        (every("write", ".qbg-", errno.ENOSPC, 5), "write", []),
        (every("open", ".qbg-", errno.EMFILE, 5), "write", []),
        (every("rename", ".qbg-", errno.ENOSPC, 5), "write", []),
        (every("rename", ".qbg-", errno.EIO, 5), "write", []),
        (every("close", ".qbg-", errno.EDQUOT, 7), "write", []),
        (every("fsync", ".qbg-", errno.EIO, 5), "write", ["--fsync"]),
        (every("open", "/in/", errno.EIO, 5), "map", []),
        (every("read", "/in/", errno.EIO, 5), "map", []),
    ],
)
def test_one_call_in_some_fails(
    fault: str,
    stage: str,
    options: list[str],
    faulty: Run,
    qbg: Run,
    inputs: Path,
    wanted: dict[str, str],
    tmp_path: Path,
) -> None:
    before = digests(inputs)
    run = faulty(fault, "remove", inputs, tmp_path, *OPTIONS, *options)
    summary = run.summary
    assert run.code == 1, run.err
    assert summary["failed"], "no call failed: this test tests nothing"
    assert {failure["stage"] for failure in summary["failed"]} == {stage}
    assert all(failure["file"] and failure["message"] for failure in summary["failed"])
    assert summary["done"] + len(summary["failed"]) == COUNT, "the others go on"
    there = digests(tmp_path)
    assert len(there) == summary["done"], "no temporary file, and nothing of what failed"
    assert there.items() <= wanted.items()

    assert qbg("remove", inputs, tmp_path, *OPTIONS).code == 0
    assert digests(tmp_path) == wanted
    assert digests(inputs) == before


@pytest.mark.parametrize(
    "fault",
    [
        "write=.qbg-:short:2",
        every("write", ".qbg-", errno.EINTR, 2),
        every("read", "/in/", errno.EINTR, 2),
        every("open", "/in/", errno.EINTR, 2),
    ],
)
def test_what_is_no_failure_is_seen_by_nobody(
    fault: str, faulty: Run, inputs: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    run = faulty(fault, "remove", inputs, tmp_path, *OPTIONS)
    assert run.code == 0, run.err
    assert digests(tmp_path) == wanted


def test_a_full_disk_ends_the_run_soon(
    faulty: Run, qbg: Run, inputs: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    run = faulty(every("write", ".qbg-", errno.ENOSPC, 1), "remove", inputs, tmp_path, *OPTIONS)
    summary = run.summary
    assert run.code == 1
    assert "no room" in summary["stopped"]
    assert "free some space and run again" in run.err
    assert summary["done"] == 0
    # Those that were under way when the third had failed.
    assert MOST_FULL <= len(summary["failed"]) <= MOST_FULL + 1
    assert digests(tmp_path) == {}
    assert qbg("remove", inputs, tmp_path, *OPTIONS).code == 0
    assert digests(tmp_path) == wanted


def test_a_large_output_among_small_ones_does_not_end_the_run(
    faulty: Run, inputs: Path, tmp_path: Path
) -> None:
    run = faulty(every("write", ".qbg-", errno.ENOSPC, 3), "remove", inputs, tmp_path, *OPTIONS)
    assert run.summary["stopped"] is None
    assert run.summary["done"] == COUNT - len(run.summary["failed"])


def test_a_journal_that_cannot_be_written_ends_the_run(faulty: Run, inputs: Path, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    run = faulty(
        every("write", "run.jsonl", errno.ENOSPC, 4),
        "remove", inputs, tmp_path / "out", *OPTIONS, "--journal", journal,
    )  # fmt: skip
    assert run.code == 1
    assert "journal" in run.summary["stopped"]
    assert len(journal.read_text().splitlines()) >= 3
    assert run.summary["done"] < COUNT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "qbg-test", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("SKIPPED: this user can't mount a small file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_real_disk_that_fills_up(
    small_disk: Path, qbg: Run, inputs: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    out = small_disk / "out"
    run = qbg("remove", inputs, out, *OPTIONS)
    summary = run.summary
    assert run.code == 1
    assert "no room" in summary["stopped"]
    assert 0 < summary["done"] < COUNT
    assert digests(out).items() <= wanted.items()
    assert len(digests(out)) == summary["done"]

    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    again = qbg("remove", inputs, out, *OPTIONS)
    assert again.code == 0
    assert again.summary["skipped"] == summary["done"]
    assert digests(out) == wanted


def test_a_folder_that_may_not_be_written(
    qbg: Run, inputs: Path, tmp_path: Path, obeying: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    run = qbg("remove", inputs, out, *OPTIONS, **obeying)
    assert run.code == 1
    assert len(run.summary["failed"]) == COUNT
    assert "ermission" in run.err
    assert digests(out) == {}


def test_a_journal_makes_resuming_independent_of_time_stamps(
    qbg: Run, inputs: Path, wanted: dict[str, str], tmp_path: Path
) -> None:
    out, journal = tmp_path / "out", tmp_path / "run.jsonl"
    assert qbg("remove", inputs, out, *OPTIONS, "--journal", journal).code == 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sorted(Path(line["output"]).name for line in lines) == sorted(wanted)
    assert {line["outcome"] for line in lines} == {"done"}
    for line in lines:
        assert line["bytes_in"] == Path(line["input"]).stat().st_size
        assert line["bytes_out"] == Path(line["output"]).stat().st_size
        assert line["stage_ms"]["decode"] > 0

    copied = tmp_path / "copied"
    shutil.copytree(out, copied, copy_function=shutil.copyfile)  # new time stamps
    for path in out.iterdir():
        os.utime(path, (1, 1))
    (out / "05.png").unlink()
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - 40)  # the last line is torn
    resumed = qbg("remove", inputs, out, *OPTIONS, "--journal", journal, "--resume")
    assert resumed.code == 0, resumed.err
    # The missing one, and the one whose line is torn, which by its time stamp has to be redone.
    assert (resumed.summary["done"], resumed.summary["skipped"]) == (2, COUNT - 2)
    assert "can't be read" in resumed.err
    assert digests(out) == wanted
    again = qbg("remove", inputs, out, *OPTIONS, "--journal", journal, "--resume")
    assert again.summary["skipped"] == COUNT
    other = qbg("remove", inputs, out, *OPTIONS, "--only-mask", "--journal", journal, "--resume")
    assert other.summary["done"] == COUNT, "other options, so nothing is done yet"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--resume"], "needs a `journal`"),
        (["--journal", "j", "--resume", "--overwrite"], "exclude each other"),
        (["--journal", "."], "directory"),
        (["--journal", "in/00.png"], "no journal"),
        (["--journal", "no/such/j"], "No such file"),
    ],
)
def test_a_journal_that_cannot_be(
    options: list[str], says: str, qbg: Run, inputs: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").symlink_to(inputs)
    before = digests(inputs)
    run = qbg("remove", "in", "out", "--engine", "null", *options, cwd=tmp_path)
    assert run.code in (1, 2)
    assert says in run.err
    assert digests(inputs) == before
    assert not (tmp_path / "out").exists()
