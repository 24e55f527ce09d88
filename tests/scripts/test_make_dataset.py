"""scripts/make_dataset.py: distinct, repeatable, whole, and the broken files broken as listed.

What a reader should do with each broken file is held against two readers: qbg's decoder and Pillow's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import ROOT, SAMPLES
from qbg import QbgError, _native
from qbg.options import FolderOptions, Options

SCRIPT = ROOT / "scripts" / "make_dataset.py"


def load() -> ModuleType:
    """The script as a module; it needs to be known by name, for its dataclasses."""
    spec = importlib.util.spec_from_file_location("make_dataset", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_dataset"] = module
    spec.loader.exec_module(module)
    return module


make_dataset = load()


def call(out: Path, *options: object, photos: Path = SAMPLES) -> subprocess.CompletedProcess[str]:
    """Runs the script."""
    command = [sys.executable, "-W", "error", str(SCRIPT), str(photos), str(out), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=55)


def made(out: Path, *options: object, **more: Any) -> list[dict[str, Any]]:
    """Runs it, and returns the manifest's rows."""
    done = call(out, *options, **more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def contents(out: Path) -> dict[str, bytes]:
    """Every file, by name."""
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Two photos, one broad, one upright and below another folder."""
    folder = tmp_path / "few"
    (folder / "below").mkdir(parents=True)
    with Image.open(SAMPLES / "coat.jpg") as image:
        image.crop((0, 0, 320, 250)).save(folder / "a.jpg")
    with Image.open(SAMPLES / "boots.jpg") as image:
        image.crop((0, 0, 200, 300)).save(folder / "below" / "b.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_distinct_and_as_listed(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = made(out, "--count", 150, "--processes", 1, photos=few)
    files = contents(out)
    assert sorted(files) == [*(f"{index:012d}.jpg" for index in range(150)), "dataset.json", "manifest.jsonl"]
    assert [row["name"] for row in rows] == sorted(files)[:150]
    assert len({row["sha256"] for row in rows}) == 150
    assert len({row["seed"] for row in rows}) == 150
    for row in rows:
        assert hashlib.sha256(files[row["name"]]).hexdigest() == row["sha256"]
        assert len(files[row["name"]]) == row["bytes"]
    pixels = {np.asarray(Image.open(out / row["name"])).tobytes() for row in rows}
    assert len(pixels) == 150
    assert Counter(row["source"] for row in rows) == {"a.jpg": 75, "below/b.png": 75}


def test_sizes_are_like_cocos(few: Path, tmp_path: Path) -> None:
    rows = made(tmp_path / "out", "--count", 60, "--processes", 1, photos=few)
    sizes = Counter()
    for row in rows:
        with Image.open(tmp_path / "out" / row["name"]) as image:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            sizes[image.size] += 1
    assert all(500 <= max(size) <= 640 and 360 <= min(size) <= 480 for size in sizes)
    assert (640, 480) in sizes
    assert (480, 640) in sizes
    assert len(sizes) > 4


def test_crops_flips_and_colors_vary(tmp_path: Path) -> None:
    """Of a photo whose left is red, whose right is blue, and whose top is darker."""
    ramp = np.linspace(60, 200, 600).astype(np.uint8)
    pixels = np.zeros((600, 800, 3), np.uint8)
    pixels[:, :400, 0], pixels[:, 400:, 2] = ramp[:, None], ramp[:, None]
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.png")
    rows = made(tmp_path / "out", "--count", 40, "--processes", 1, photos=tmp_path / "photos")
    red_left, tops = [], set()
    for row in rows:
        with Image.open(tmp_path / "out" / row["name"]) as image:
            array = np.asarray(image).astype(int)
        red_left.append(array[:, 0, 0].mean() > array[:, 0, 2].mean())
        tops.add(int(array[:8].max(axis=2).mean()))
        assert (array[0].max(axis=1) <= array[-1].max(axis=1) + 3).all()  # never upside down
    assert 8 < sum(red_left) < 32
    assert len(tops) > 15


def test_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "--count", 12, "--bad", 0.2, "--processes", 1)
    three = made(tmp_path / "three", "--count", 12, "--bad", 0.2, "--processes", 3)
    assert one == three
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_another_seed_gives_others(few: Path, tmp_path: Path) -> None:
    one = made(tmp_path / "one", "--count", 6, "--processes", 1, photos=few)
    two = made(tmp_path / "two", "--count", 6, "--processes", 1, "--seed", 2, photos=few)
    assert not {row["sha256"] for row in one} & {row["sha256"] for row in two}


def test_the_number_of_others_changes_nothing(few: Path, tmp_path: Path) -> None:
    """A larger count goes on from a smaller one, and ends as if it had been asked for at once."""
    made(tmp_path / "grown", "--count", 7, "--bad", 0.3, "--processes", 1, photos=few)
    grown = made(tmp_path / "grown", "--count", 20, "--bad", 0.3, "--processes", 1, photos=few)
    assert grown == made(tmp_path / "whole", "--count", 20, "--bad", 0.3, "--processes", 1, photos=few)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


def test_a_second_call_makes_only_what_is_missing(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = made(out, "--count", 12, "--processes", 1, photos=few)
    before = contents(out)
    kept = (out / first[0]["name"]).stat().st_mtime_ns
    (out / first[3]["name"]).unlink()
    (out / first[4]["name"]).write_bytes(b"cut short")
    assert made(out, "--count", 12, "--processes", 1, photos=few) == first
    assert contents(out) == before
    assert (out / first[0]["name"]).stat().st_mtime_ns == kept


def test_goes_on_after_a_kill(few: Path, tmp_path: Path) -> None:
    """What a killed call leaves: some pictures, one unfinished, a list that ends in the middle of a line."""
    whole = made(tmp_path / "whole", "--count", 10, "--processes", 1, photos=few)
    out = tmp_path / "out"
    shutil.copytree(tmp_path / "whole", out)
    lines = (out / "manifest.jsonl").read_text().splitlines()
    (out / "manifest.jsonl").unlink()
    (out / ".manifest.jsonl.part").write_text("\n".join(lines[:4]) + "\n" + lines[4][:30])
    for row in whole[6:]:
        (out / row["name"]).unlink()
    (out / f".{whole[6]['name']}.part").write_bytes(b"half")
    assert made(out, "--count", 10, "--processes", 1, photos=few) == whole
    assert contents(out) == contents(tmp_path / "whole")


def test_other_settings_are_refused(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, "--count", 4, "--processes", 1, photos=few)
    before = contents(out)
    for options, word in (
        (["--count", 4, "--seed", 9], "seed"),
        (["--count", 4, "--bad", 0.5], "bad_per_million"),
        (["--count", 4, "--link"], "link"),
        (["--count", 3], "--count 4"),
    ):
        done = call(out, *options, photos=few)
        assert done.returncode == 1
        assert word in done.stderr
    shutil.copy(few / "a.jpg", few / "c.jpg")
    done = call(out, "--count", 4, photos=few)
    assert done.returncode == 1
    assert "sources" in done.stderr
    assert contents(out) == before


def test_links(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rows = made(out, "--count", 5, "--link", "--processes", 1, photos=few)
    inode = (few / "a.jpg").stat().st_ino
    assert [(out / row["name"]).stat().st_ino == inode for row in rows] == [True, False, True, False, True]
    assert rows[0]["sha256"] == hashlib.sha256((few / "a.jpg").read_bytes()).hexdigest()
    assert made(out, "--count", 5, "--link", "--processes", 1, photos=few) == rows
    assert not [path for path in out.iterdir() if path.name.endswith(".part")]


def test_copies_where_links_cannot_be(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "another device")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    make_dataset.place(few / "a.jpg", tmp_path / "copy.jpg")
    assert (tmp_path / "copy.jpg").read_bytes() == (few / "a.jpg").read_bytes()
    assert (tmp_path / "copy.jpg").stat().st_ino != (few / "a.jpg").stat().st_ino


def test_broken_links_are_new_files(few: Path, tmp_path: Path) -> None:
    """A broken file among links must not be written through a link into the photos."""
    before = {path: path.read_bytes() for path in few.rglob("*") if path.is_file()}
    rows = made(tmp_path / "out", "--count", 30, "--link", "--bad", 0.5, "--processes", 1, photos=few)
    assert sum(row["bad"] is not None for row in rows) == 15
    assert {path: path.read_bytes() for path in few.rglob("*") if path.is_file()} == before


def reader_of_qbg(data: bytes) -> bool:
    try:
        _native.decode(data, Options())
    except QbgError:
        return False
    return True


def reader_of_pillow(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def test_broken_files_are_broken_as_listed(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kinds = len(make_dataset.BAD)
    rows = made(out, "--count", 4 * kinds, "--bad", 0.5, "--processes", 1, photos=few)
    bad = [row for row in rows if row["bad"] is not None]
    assert Counter(row["bad"] for row in bad) == dict.fromkeys(make_dataset.BAD, 2)
    assert all(row["expect"] == "pass" for row in rows if row["bad"] is None)
    assert {row["bad"] for row in bad if row["expect"] == "pass"} == {"wrong_extension"}
    for row in rows:
        data = (out / row["name"]).read_bytes()
        assert reader_of_qbg(data) == (row["expect"] == "pass"), row
        assert reader_of_pillow(data) == (row["expect"] == "pass"), row
    assert len({row["sha256"] for row in rows if row["bad"] not in make_dataset.MAY_REPEAT}) == sum(
        row["bad"] not in make_dataset.MAY_REPEAT for row in rows
    )


def test_every_kind_is_described() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    described = source.split('"""How a file may be broken', 1)[1].split('"""', 1)[0]
    assert all(f"\n{kind} " in described for kind in make_dataset.BAD)


def test_qbg_finds_exactly_the_pictures(few: Path, tmp_path: Path) -> None:
    """The lists that lie beside them are no pictures."""
    out = tmp_path / "out"
    rows = made(out, "--count", 5, "--processes", 1, photos=few)
    planned = _native.plan([str(out)], str(tmp_path / "cut"), Options(), FolderOptions())
    assert sorted(Path(source).name for source, _ in planned) == [row["name"] for row in rows]


@given(st.integers(0, 1_000_000), st.integers(0, 3000))
def test_the_share_of_broken_files_is_exact(per_million: int, count: int) -> None:
    found = sum(make_dataset.is_bad(index, per_million) for index in range(count))
    assert found == count * per_million // 1_000_000


@given(st.integers(0, 2**63), st.integers(0, 2**40))
def test_choices_depend_on_seed_and_number_alone(seed: int, index: int) -> None:
    first, second = make_dataset.draws(seed, index), make_dataset.draws(seed, index)
    mine = [next(first) for _ in range(20)]
    assert mine == [next(second) for _ in range(20)]
    assert all(0.0 <= value < 1.0 for value in mine)
    other = make_dataset.draws(seed, index + 1)
    assert mine != [next(other) for _ in range(20)]


def test_plain_photos_are_refused(tmp_path: Path) -> None:
    """Crops of one color are equal: that must not pass for distinct pictures."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (700, 700), "white").save(photos / "white.png")
    done = call(tmp_path / "out", "--count", 200, "--processes", 1, photos=photos)
    assert done.returncode == 1
    assert "equal" in done.stderr
    assert not (tmp_path / "out" / "manifest.jsonl").exists()


def test_unusable_photos_are_named(few: Path, tmp_path: Path) -> None:
    (few / "text.jpg").write_text("text")
    done = call(tmp_path / "out", "--count", 3, photos=few)
    assert done.returncode == 1
    assert "text.jpg" in done.stderr
    (few / "text.jpg").write_bytes((few / "a.jpg").read_bytes()[:2000])
    done = call(tmp_path / "out", "--count", 3, "--processes", 2, photos=few)
    assert done.returncode == 1
    assert "text.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_unusable_folders(few: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    for out, photos, word in (
        (tmp_path / "full", few, "isn't empty"),
        (few / "out", few, "lies in"),
        (tmp_path / "out", tmp_path / "empty", "no photos"),
        (tmp_path / "out", tmp_path / "nowhere", "no folder"),
    ):
        done = call(out, "--count", 3, photos=photos)
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_disk_is_noticed_before(few: Path, tmp_path: Path) -> None:
    done = call(tmp_path / "out", "--count", 10**9, photos=few)
    assert done.returncode == 1
    assert "GB free" in done.stderr
    assert not list((tmp_path / "out").iterdir())  # so that a smaller count can be asked for next


def test_wrong_usage(few: Path, tmp_path: Path) -> None:
    for options in (["--count", 0], ["--bad", 1.5], ["--bad", "nan"], ["--processes", -1], ["--what"]):
        done = call(tmp_path / "out", *options, photos=few)
        assert done.returncode == 2
    assert not (tmp_path / "out").exists()


def test_help_says_what_it_makes() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0
    assert "distinct" in done.stdout
    assert "38418" in done.stdout


def test_progress_goes_to_standard_error(few: Path, tmp_path: Path) -> None:
    done = call(tmp_path / "out", "--count", 3, "--processes", 1, photos=few)
    assert "3 of 3 pictures" in done.stderr
    assert done.stdout.count("\n") == 1
