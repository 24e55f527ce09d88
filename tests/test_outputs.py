"""What may be written where: nothing of anybody's is lost, and nothing is taken for done that isn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def remove(qbg: Run, quick_model: Path, tmp_path: Path) -> Run:
    """`qbg remove` in an empty folder with the quick network."""

    def run(*arguments: str) -> Outcome:
        return qbg("remove", *arguments, "-m", str(quick_model), "--json", cwd=tmp_path)

    return run


def draw(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), color).save(path)


def color(path: Path) -> tuple[int, ...]:
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((3, 3))


def test_another_inputs_output_is_not_taken_for_done(remove: Run, tmp_path: Path) -> None:
    """Two BMP frames of one name have one length, too."""
    draw(tmp_path / "one/frame.bmp", (250, 250, 250))
    draw(tmp_path / "two/frame.bmp", (200, 250, 250))
    assert remove("one", "out", "--keep-hidden").summary["done"] == 1
    second = remove("two", "out", "--keep-hidden").summary
    assert (second["done"], second["skipped"]) == (1, 0)
    assert len(second["warnings"]) == 1
    assert color(tmp_path / "out/frame.png") == (200, 250, 250)
    assert remove("two", "out", "--keep-hidden").summary["skipped"] == 1


def test_somebody_elses_picture_is_replaced_only_when_asked(remove: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in/a.png", (10, 20, 30))
    draw(tmp_path / "out/a.png", (1, 2, 3))
    outcome = remove("in", "out")
    assert outcome.code == 1
    (failure,) = outcome.summary["failed"]
    assert failure["stage"] == "write"
    assert failure["file"] == "out/a.png"
    assert "--overwrite" in failure["hint"]
    assert color(tmp_path / "out/a.png") == (1, 2, 3)
    assert remove("in", "out", "--overwrite").code == 0
    assert remove("in", "out").summary["skipped"] == 1


def test_a_torn_output_is_redone(remove: Run, tmp_path: Path) -> None:
    draw(tmp_path / "in/a.png", (10, 20, 30))
    assert remove("in", "out").code == 0
    output = tmp_path / "out/a.png"
    output.write_bytes(output.read_bytes()[:-6])
    outcome = remove("in", "out")
    assert outcome.summary["done"] == 1
    assert len(outcome.summary["warnings"]) == 1
    assert remove("in", "out").summary["skipped"] == 1


def test_cutouts_are_told_from_pictures_of_such_a_name(remove: Run, tmp_path: Path) -> None:
    """`.cutout.` in a name says nothing; the tag inside does."""
    draw(tmp_path / "in/a.png", (10, 20, 30))
    draw(tmp_path / "in/holiday.cutout.png", (10, 20, 30))
    assert remove("in").summary["done"] == 2
    again = remove("in").summary
    assert (again["images"], again["skipped"]) == (2, 2)
    assert {path.name for path in (tmp_path / "in").iterdir()} == {
        "a.png",
        "a.cutout.png",
        "holiday.cutout.png",
        "holiday.cutout.cutout.png",
    }
    # Earlier cut-outs are no inputs for another output folder either.
    assert remove("in", "out").summary["images"] == 2


def test_rename_also_counts_between_inputs(remove: Run, tmp_path: Path) -> None:
    for folder in ("one", "two", "three"):
        draw(tmp_path / folder / "a.png", (10, 20, 30))
    outcome = remove("one", "two", "three", "out", "--on-collision", "rename")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png", "a.png.png", "a.png.2.png"}
    outcome = remove("one", "two", "other", "--on-collision", "fail")
    assert outcome.code == 1


def test_paths_in_json_are_the_paths(remove: Run, tmp_path: Path) -> None:
    bad = tmp_path / "in" / "two\nlines.png"
    bad.parent.mkdir()
    bad.write_bytes(b"no picture")
    outcome = remove("in", "out")
    (failure,) = outcome.summary["failed"]
    assert failure["file"] == "in/two\nlines.png"
    assert "in/two\nlines.png" not in outcome.err
    assert "hint" in outcome.err
