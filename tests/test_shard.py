"""`--shard I/N`: parts that are whole together, whoever runs them, in whatever order."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import qbg
from conftest import digests


@pytest.fixture
def many(photos: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    picture = min(photos.glob("*.jpg"), key=lambda path: path.stat().st_size)
    for number in range(24):
        target = folder / f"part{number % 3}" / f"{number:02d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def test_parts_are_whole_together_and_equal_to_one_run(qbg, many, quick_model, tmp_path):
    whole = qbg("remove", "-m", quick_model, many, tmp_path / "whole", "--json")
    assert (whole.code, whole.summary["done"]) == (1, 24)
    runs = [
        qbg("remove", "-m", quick_model, many, tmp_path / "parts", "--shard", f"{i}/3", "--json")
        for i in (2, 0, 1)
    ]
    assert sum(run.summary["done"] for run in runs) == 24
    assert sum(run.summary["images"] for run in runs) == 25
    assert [len(run.summary["failed"]) for run in runs].count(1) == 1
    assert all(0 < run.summary["done"] < 24 for run in runs)
    made = digests(tmp_path / "parts")
    assert made == digests(tmp_path / "whole")
    planned = qbg("remove", "-m", quick_model, many, tmp_path / "x", "--shard", "1/3", "--dry-run", "--json")
    assert planned.summary["images"] == runs[2].summary["images"]


def test_two_inputs_that_want_one_output_meet_in_one_part(qbg, many, quick_model, tmp_path):
    other = tmp_path / "other"
    (other / "part0").mkdir(parents=True)
    shutil.copy(many / "part0" / "00.jpg", other / "part0" / "00.jpg")
    inputs = [many / "part0" / "00.jpg", other / "part0" / "00.jpg"]
    runs = [
        qbg("remove", "-m", quick_model, *inputs, "-o", tmp_path / "out", "--shard", f"{i}/4", "--json")
        for i in range(4)
    ]
    assert sum(run.summary["done"] for run in runs) == 1
    failed = [failure for run in runs for failure in run.summary["failed"]]
    assert len(failed) == 1


def test_later_pictures_move_no_others(many, quick_model, tmp_path):
    with qbg.Remover(quick_model) as remover:
        before = set()
        for index in range(5):
            remover.remove_folder(many, tmp_path / f"a{index}", shard=(index, 5))
            before |= {(index, name) for name in digests(tmp_path / f"a{index}")}
        shutil.copy(many / "part1" / "01.jpg", many / "part1" / "new.jpg")
        after = set()
        for index in range(5):
            remover.remove_folder(many, tmp_path / f"b{index}", shard=(index, 5))
            after |= {(index, name) for name in digests(tmp_path / f"b{index}")}
    assert before < after
    assert len(after) == len(before) + 1


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "1/0", "a/b", "1/2/3", "/2", "１/2"])
def test_what_is_no_part_is_refused(qbg, many, quick_model, tmp_path, shard):
    refused = qbg("remove", "-m", quick_model, many, tmp_path / "out", f"--shard={shard}")
    assert (refused.code, "shard" in refused.err) == (2, True), refused.err
    assert not (tmp_path / "out").exists()
