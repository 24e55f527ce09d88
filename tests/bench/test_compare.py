"""The comparison with rembg, against small programs that stand in for it, and for qbg where that takes long.

A stand-in writes down how it was called. One test runs the real qbg beside rembg's recipe by hand.
"""

from __future__ import annotations

import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, U2NETP, needs_u2netp
from qbg.bench import compare
from qbg.errors import QbgError
from qbg.models import DEFAULT, resolve
from qbg.report import record

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are scripts with a shebang")

NOTES = """
import json, os, shutil, sys
from pathlib import Path
name = Path(sys.argv[0]).name
if sys.argv[1:] == ["--version"]:
    print("rembg, version 9.8.7")
    sys.exit(0)
note = {
    "name": name,
    "arguments": sys.argv[1:],
    "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
    "environment": {key: os.environ.get(key) for key in ("OMP_NUM_THREADS", "PYTHONPATH", "U2NET_HOME")},
    "weights": [str(path) for path in Path(os.environ.get("U2NET_HOME", "/nowhere")).rglob("*.onnx")],
}
with open(Path(sys.argv[0]).with_name("notes"), "a") as notes:
    notes.write(json.dumps(note) + chr(10))
source, target = (Path(part) for part in sys.argv[1:] if "/" in part)
target.mkdir(exist_ok=True)
files = sorted(source.iterdir())
"""
COPY = """
for path in files:
    shutil.copy(path, target / (path.stem + ".png"))
print(json.dumps({"done": len(files), "images": len(files)}))
"""


def program(folder: Path, name: str, body: str = COPY) -> Path:
    """A stand-in of that name."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}{NOTES}{body}")
    path.chmod(0o755)
    return path


def notes(folder: Path) -> list[dict[str, Any]]:
    """How the stand-ins were called, in order."""
    return [json.loads(line) for line in (folder / "notes").read_text().splitlines()]


@pytest.fixture
def cutouts(tmp_path: Path) -> list[Path]:
    """Three pictures with an alpha, which the stand-ins copy; two of one name."""
    paths = []
    for number, name in enumerate(("a/one.png", "b/one.png", "b/two.png")):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 12, 4), 90, np.uint8)
        pixels[:, number:, 3] = 200
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `qbg` and a `rembg` that copy; qbg's is the one that is run."""
    folder = tmp_path / "bin"
    monkeypatch.setattr(compare, "QBG", (str(program(folder, "qbg")),))
    program(folder, "rembg")
    return folder


@pytest.fixture(autouse=True)
def a_model_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins don't care which weights they find."""
    if not U2NETP.is_file():
        monkeypatch.setattr(compare, "MODEL", DEFAULT)


def test_rembg_beside_the_interpreter_that_is_given(stand_ins: Path) -> None:
    found = compare.find_rembg(stand_ins / "python")
    assert found == compare.Rembg(program=str(stand_ins / "rembg"), version="9.8.7")


def test_rembg_on_the_path(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(stand_ins))
    assert compare.find_rembg().program == str(stand_ins / "rembg")


def test_without_rembg_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QbgError, match="rembg: is not installed here\nhint: pip install 'rembg"):
        compare.find_rembg()
    with pytest.raises(QbgError, match=r"there is no .*/rembg\nhint: pip install 'rembg"):
        compare.find_rembg(tmp_path / "python")


@pytest.mark.parametrize("body", ["raise ImportError('no module click')", "sys.exit(3)", ""])
def test_a_rembg_that_does_not_start(tmp_path: Path, body: str) -> None:
    script = tmp_path / "rembg"
    script.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    script.chmod(0o755)
    with pytest.raises(
        QbgError, match=r"does not start: (ImportError: no module click|without a word)\nhint"
    ):
        compare.find_rembg(tmp_path / "python")
    script.write_text("#!/nowhere/python\n")
    with pytest.raises(QbgError, match=r"does not start: .*\nhint"):
        compare.find_rembg(tmp_path / "python")


def test_turns_are_taken_and_warm_up_is_not_kept() -> None:
    order: list[str] = []
    told: list[tuple[str, float]] = []

    def contestant(name: str) -> float:
        order.append(name)
        return float(len(order))

    contestants = {"a": lambda: contestant("a"), "b": lambda: contestant("b")}
    times = compare.interleave(contestants, 2, 1, lambda name, value: told.append((name, value)))
    assert order == ["a", "b"] * 3
    assert times == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert told == [(name, number + 1.0) for number, name in enumerate(order)]


def test_both_run_alike_in_turns(
    stand_ins: Path, cutouts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rembg = compare.find_rembg(stand_ins / "python")
    allowed = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    turns: list[str] = []
    found = compare.compare(
        rembg,
        cutouts,
        rounds=2,
        workers=7,
        cpus=allowed[-1:] or None,
        on_turn=lambda name, seconds: turns.append(name),
    )
    assert turns == ["qbg", "rembg"] * 3
    assert (found.name, found.version, found.pictures) == ("rembg", "9.8.7", 3)
    assert len(found.qbg_s) == len(found.rival_s) == 2
    assert min(found.qbg_s + found.rival_s) > 0
    assert found.alpha_off_levels == (0, 0, 0)
    called = notes(stand_ins)
    assert [note["name"] for note in called] == turns
    ours, theirs = called[0], called[1]
    assert ours["arguments"][0] == "remove"
    assert ours["arguments"][3:] == ["--json", "--quiet", "--model", compare.MODEL, "--workers", "7"]
    assert theirs["arguments"][:3] == ["p", "-m", compare.MODEL]
    assert theirs["arguments"][3] == ours["arguments"][1]
    assert ours["cpus"] == theirs["cpus"] == allowed[-1:]
    assert theirs["environment"]["OMP_NUM_THREADS"] is None
    assert len(theirs["weights"]) == 2
    assert not Path(theirs["environment"]["U2NET_HOME"]).exists()
    if sys.platform == "linux":
        assert sorted(os.sched_getaffinity(0)) == allowed


def test_a_record_without_the_differences_is_read() -> None:
    older = {"name": "rembg", "version": "1", "pictures": 1, "qbg_s": [1], "rival_s": [2]}
    assert record._build(record.Rival, older).alpha_off_levels == ()


def test_rembg_finds_the_same_weights(stand_ins: Path, cutouts: list[Path], tmp_path: Path) -> None:
    rembg = compare.find_rembg(stand_ins / "python")
    compare.numbered(cutouts, tmp_path / "in")
    compare.run_rembg(rembg, tmp_path / "in", tmp_path / "out", home=tmp_path / "home")
    digests = {sha256(Path(path).read_bytes()).hexdigest() for path in notes(stand_ins)[0]["weights"]}
    assert digests == {resolve(compare.MODEL).network.digest}


def test_no_photos(stand_ins: Path) -> None:
    with pytest.raises(QbgError, match="there are no photos"):
        compare.compare(compare.find_rembg(stand_ins / "python"), [])


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("rembg", "sys.exit('out of memory')", "rembg .*: ended with 1: out of memory"),
        ("rembg", COPY.replace("in files", "in files[1:]"), "rembg .*: did 2 of 3 pictures"),
        ("rembg", COPY.replace("path.stem", "'x' + path.stem"), "compare .*one.png: no cut-out"),
        ("rembg", COPY.replace("shutil.copy(path, ", "Path.touch("), "compare .*one.png: no cut-out"),
        ("qbg", "sys.exit('no such option')", "qbg: ended with 1: no such option"),
        ("qbg", COPY.replace('"done": len(files)', '"done": 2'), "qbg: did 2 of 3 pictures"),
    ],
)
def test_a_program_that_fails(
    stand_ins: Path, cutouts: list[Path], name: str, body: str, message: str
) -> None:
    program(stand_ins, name, body)
    rembg = compare.find_rembg(stand_ins / "python")
    with pytest.raises(QbgError, match=message):
        compare.compare(rembg, cutouts, rounds=1, warm_up=0)


def test_cut_outs_that_are_not_alike(stand_ins: Path, cutouts: list[Path]) -> None:
    swapped = "files = [files[0], files[2], files[1]]" + COPY.replace(
        "for path in files", "for path, other in zip(files, sorted(files))"
    ).replace("path.stem", "other.stem")
    program(stand_ins, "rembg", swapped)
    rembg = compare.find_rembg(stand_ins / "python")
    with pytest.raises(QbgError, match=r"b/one.png: the two cut-outs' alpha differs by 9\.2 levels"):
        compare.compare(rembg, cutouts, rounds=1, warm_up=0)


def test_difference_of_alpha_by_hand(tmp_path: Path) -> None:
    one, other, small = (tmp_path / f"{name}.png" for name in ("one", "other", "small"))
    Image.fromarray(np.full((4, 5, 4), 100, np.uint8)).save(one)
    pixels = np.full((4, 5, 4), 100, np.uint8)
    pixels[0, 0] = (9, 9, 9, 80)  # 20 levels on one of 20 pixels; colors don't count
    Image.fromarray(pixels).save(other)
    assert compare.alpha_off_levels(one, other) == pytest.approx(1.0)
    Image.fromarray(pixels[1:]).save(small)
    with pytest.raises(QbgError, match="pixels"):
        compare.alpha_off_levels(one, small)


@needs_u2netp
def test_the_real_qbg_beside_rembgs_recipe(tmp_path: Path, photos: Path) -> None:
    recipe = f"""
sys.path.insert(0, {str(ROOT / "benches")!r})
import rivals
from PIL import Image
weights = Path(os.environ["U2NET_HOME"]) / "u2netp.onnx"
callers = rivals.Callers(weights, [])
for path in files:
    image = Image.open(path).convert("RGB")
    logits = callers._session.run(callers._output, {{callers._input: rivals.preprocess(image)}})[0][0, 0]
    rivals.cutout(image, rivals.mask(logits, image.size)).save(target / (path.stem + ".png"))
"""
    program(tmp_path, "rembg", recipe)
    rembg = compare.find_rembg(tmp_path / "python")
    chosen = sorted(photos.glob("*.jpg"))[:1]
    found = compare.compare(rembg, chosen, rounds=1, warm_up=0, workers=1)
    assert found.pictures == 1
    assert 0 <= found.alpha_off_levels[0] < compare.ALIKE_LEVELS
