"""`qbg evaluate` as a user runs it: folders of masks, of cut-outs, a model, and what can be wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy", reason="SKIPPED: SciPy isn't installed: pip install 'qbg[evaluate]' runs these")

from conftest import Outcome
from mask_cases import cases

Run = Callable[..., Outcome]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """truth/, found/ (masks), cutouts/ (RGBA), images/: two groups, an empty truth, one of another size."""
    table = cases()
    for folder in ("truth", "found", "cutouts", "images"):
        (tmp_path / folder).mkdir()
    for name, case in {"cat_1": "soft-1", "cat_2": "moved-1", "dog_1": "soft-3"}.items():
        mask, truth = table[case]
        Image.fromarray(truth).save(tmp_path / "truth" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "found" / f"{name}.png")
        cutout = np.dstack([np.full((*mask.shape, 3), 90, np.uint8), mask])
        Image.fromarray(cutout).save(tmp_path / "cutouts" / f"{name}.cutout.png")
        photo = np.repeat((truth // 2 + 60)[:, :, None], 3, axis=2)
        Image.fromarray(photo).save(tmp_path / "images" / f"{name}.jpg")
    Image.new("L", (40, 30)).save(tmp_path / "truth" / "dog_2.png")
    Image.new("L", (80, 60), 51).save(tmp_path / "found" / "dog_2.png")
    return tmp_path


def test_a_folder_of_masks(qbg: Run, folders: Path) -> None:
    run = qbg("evaluate", "found", "truth", "--json", "--html", "r.html", "--csv", "r.csv", "-q", cwd=folders)
    assert run.code == 0, run.err
    told = json.loads(run.out)
    rows = {row["group"]: row for row in told["groups"]}
    assert {name: row["pictures"] for name, row in rows.items()} == {"cat": 2, "dog": 1, "all": 3}
    assert rows["all"]["empty_alpha"] == pytest.approx(0.2)
    by_hand = []
    for name in ("cat_1", "cat_2", "dog_1"):
        mask, truth = (
            np.asarray(Image.open(folders / where / f"{name}.png")) >= 128 for where in ("found", "truth")
        )
        by_hand.append((mask & truth).sum() / (mask | truth).sum())
    assert rows["all"]["iou"] == pytest.approx(np.mean(by_hand))
    assert 0 < rows["cat"]["e_adaptive"] <= 1
    with (folders / "r.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["cat_1", "cat_2", "dog_1", "dog_2"]
    assert lines[3]["resized"] == "True"
    page = (folders / "r.html").read_text()
    assert page.index(min(zip(by_hand, ("cat_1", "cat_2", "dog_1"), strict=True))[1]) > 0
    assert page.count("data:image/jpeg") == 9


def test_cut_outs_give_their_alpha(qbg: Run, folders: Path) -> None:
    masks = qbg("evaluate", "found", "truth", "--json", "-q", cwd=folders)
    (folders / "truth" / "dog_2.png").unlink()
    cutouts = qbg("evaluate", "cutouts", "truth", "--json", "-q", cwd=folders)
    assert json.loads(cutouts.out)["pictures"] == json.loads(masks.out)["pictures"][:3]


def test_a_model_is_run_over_the_photos_beside(qbg: Run, folders: Path, quick_model: Path) -> None:
    (folders / "truth" / "dog_2.png").unlink()
    run = qbg("evaluate", quick_model, "truth", "--json", cwd=folders)
    assert run.code == 0, run.err
    assert [item["name"] for item in json.loads(run.out)["pictures"]] == ["cat_1", "cat_2", "dog_1"]
    assert "3 of 3" in run.err


@pytest.mark.parametrize("other", ["cat_1.webp", "cat_1.mask.png"])
def test_two_pictures_of_one_name_are_not_guessed_between(other: str, qbg: Run, folders: Path) -> None:
    Image.new("L", (64, 64)).save(folders / "found" / other)
    run = qbg("evaluate", "found", "truth", cwd=folders)
    assert run.code != 0
    assert "cat_1.png" in run.err
    assert other in run.err


def test_one_bad_pair_stops_nobody(qbg: Run, folders: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(folders / "found" / "cat_1.png")
    (folders / "found" / "cat_2.png").write_bytes(b"no picture")
    (folders / "found" / "dog_1.png").unlink()
    run = qbg("evaluate", "found", "truth", "--json", "-q", cwd=folders)
    assert run.code == 1
    assert [item["name"] for item in json.loads(run.out)["pictures"]] == ["dog_2"]
    for words in ("no mask and no cut-out", "can't be read", "has no mask to compare with", "3 of 4"):
        assert words in run.err


def test_an_unreadable_photo_is_left_out_of_the_sheet(qbg: Run, folders: Path) -> None:
    (folders / "images" / "cat_1.jpg").write_bytes(b"no picture")
    run = qbg("evaluate", "found", "truth", "--html", "r.html", "-q", cwd=folders)
    assert run.code == 0, run.err
    assert (folders / "r.html").read_text().count("data:image/jpeg") == 8
    assert not [path for path in folders.iterdir() if path.name.startswith(".")], "written whole"


def test_when_nothing_can_be_compared_it_says_so(qbg: Run, folders: Path) -> None:
    (folders / "none").mkdir()
    run = qbg("evaluate", "none", "truth", "-q", cwd=folders)
    assert run.code == 1
    assert "nothing could be compared" in run.out


def test_groups_from_a_file(qbg: Run, folders: Path) -> None:
    (folders / "g.csv").write_text("name,group\ncat_1.jpg,a\ncat_2,b\ndog_1,a\n")
    run = qbg("evaluate", "found", "truth", "--groups", "g.csv", "--json", "-q", cwd=folders)
    rows = {row["group"]: row["pictures"] for row in json.loads(run.out)["groups"]}
    assert rows == {"a": 2, "b": 1, "(none)": 0, "all": 3}


WRONG = {
    ("found", "nowhere"): (1, "no such folder"),
    ("no-model", "truth"): (3, "no-model"),
    ("found", "truth", "--html", "no/r.html"): (2, "no such folder"),
    ("found", "truth", "--groups", "truth/cat_1.png"): (1, "can't be read"),
    ("qbg-base", "truth", "--images", "nowhere"): (2, "no such folder"),
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_mistakes(arguments: tuple[str, ...], qbg: Run, folders: Path) -> None:
    code, words = WRONG[arguments]
    run = qbg("evaluate", *arguments, cwd=folders)
    assert (run.code, words in run.err) == (code, True), run.err
    assert "Traceback" not in run.err
