"""`qbg models build`: the file, what it says of itself, and what goes wrong in one line."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from conftest import SAMPLES
from graphs import brightness
from qbg.cli.build import command
from qbg.errors import ModelError, OutputError
from qbg.models import resolve
from qbg.models.build import INSPYRENET, build, tensors_of
from qbg.models.declared import NOTE_LIMIT, declared_note, declared_recipe
from qbg.models.graphs.weights import checked, random_weights
from qbg.whole import write_whole

Run = Callable[..., Any]
NAME = "inspyrenet-fast"
SHAPES = {"a.weight": (2, 1, 1, 1), "a.bias": (2,)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network at 64x64 with random weights."""
    path = tmp_path_factory.mktemp("build") / "small.onnx"
    build(NAME, "random", path, size=64, seed=3)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_carries_its_recipe(small: Path) -> None:
    found = resolve(small)
    assert found.recipe.height == found.recipe.width == 64
    assert (found.recipe.activation, found.recipe.min_max) == ("sigmoid", True)
    assert found.recipe.mean == INSPYRENET.mean
    assert found.network.input_shape == (1, 3, 64, 64)
    assert found.network.output_shape == (1, 64, 64)
    assert found.network.declared["qbg.weights"] == "random, seed 3"
    assert found.notes == (f"{small}: random weights: its masks mean nothing",)


def test_removes_with_it_without_further_options(qbg: Run, small: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)).save(tmp_path / "a.png")
    done = qbg("remove", "-m", small, tmp_path / "a.png", tmp_path / "out.png")
    assert done.code == 0, done.err
    assert "random weights" in done.err
    assert "guessed" not in done.err
    alpha = np.asarray(Image.open(tmp_path / "out.png"))[..., 3]
    assert alpha.shape == (50, 70)
    assert alpha.min() < 40
    assert alpha.max() > 215  # stretched: the recipe's min-max took part


def test_the_same_seed_gives_the_same_file(qbg: Run, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.onnx"
    done = qbg("models", "build", NAME, "--weights", "random", "--seed", "3", "--size", "64", "-o", out)
    assert done.code == 0, done.err
    assert "28,104,339 parameters" in done.out
    assert out.read_bytes() == small.read_bytes()
    assert names(tmp_path) == ["b.onnx"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_int8_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.onnx"
    code = command(NAME, "random", str(out), size=64, precision="int8", calibrate=str(SAMPLES))
    assert code == 0
    assert "100.0% of the multiplications in int8" in capsys.readouterr().out
    assert resolve(out).network.precision == "int8"
    assert names(tmp_path) == ["b.onnx"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["nothing", "--weights", "random"],
            3,
            "qbg can build: inspyrenet-fast, inspyrenet-swin, inspyrenet-base",
        ),
        ([NAME, "--weights", "random", "--size", "100"], 2, "multiple of 32"),
        ([NAME, "--weights", "random", "--size", "0"], 2, "from 64 to 2048"),
        ([NAME, "--weights", "random", "--seed", "-1"], 2, "`seed` is -1"),
        ([NAME, "--weights", "absent.pth"], 3, "no such file"),
        ([NAME, "--weights", "random", "--precision", "int4"], 2, "fp32 or int8"),
        ([NAME, "--weights", "random", "--precision", "int8"], 2, "photos to calibrate on"),
        ([NAME, "--weights", "random", "--calibrate", "."], 2, "--precision int8"),
    ],
)
def test_what_is_wrong_in_one_line(
    qbg: Run, arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    done = qbg("models", "build", *arguments, "--out", tmp_path / "x.onnx")
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err
    assert names(tmp_path) == []


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def without_onnx(name: str, *rest: object, **more: object) -> object:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(ModelError, match=r"(?s)onnx package.*pip install 'qbg\[models\]'"):
        build(NAME, "random", tmp_path / "x.onnx")


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").mkdir()
    with pytest.raises(OutputError, match="can't be written"):
        write_whole(tmp_path / "x.onnx", b"data")
    assert names(tmp_path) == ["x.onnx"]


def test_a_checkpoint_must_have_exactly_the_tensors() -> None:
    good = random_weights(SHAPES, 1)
    extra = {"a.num_batches_tracked": np.array(3), **good}
    assert set(checked(extra, SHAPES, "x.pth")) == set(SHAPES)
    wrapped = {f"module.{name}": tensor for name, tensor in extra.items()}
    assert set(checked(wrapped, SHAPES, "x.pth")) == set(SHAPES)
    half = {name: tensor.astype(np.float16) for name, tensor in good.items()}
    assert checked(half, SHAPES, "x.pth")["a.bias"].dtype == np.float32
    bad = {"a.weight": good["a.weight"][:1], "b.bias": good["a.bias"]}
    with pytest.raises(ModelError) as caught:
        checked(bad, SHAPES, "x.pth")
    line = str(caught.value).splitlines()[0]
    assert line.startswith("model x.pth: ")
    for part in ("1 missing: a.bias", "1 unknown: b.bias", "a.weight (1, 1, 1, 1) for (2, 1, 1, 1)"):
        assert part in line
    with pytest.raises(ModelError, match=r"not finite: a\.bias"):
        checked({**good, "a.bias": np.array([1, np.nan], np.float32)}, SHAPES, "x.pth")


def test_a_long_list_of_missing_tensors_stays_one_line() -> None:
    with pytest.raises(ModelError) as caught:
        checked({}, tensors_of(NAME), "x.pth")
    line = str(caught.value).splitlines()[0]
    assert "1498 missing: backbone.conv1.0.weight" in line
    assert "and 1494 more" in line
    assert len(line) < 400


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 5000, '{"fit": "round"}', '{"colour": 1}', '{"mean": 3}']
)
def test_a_foreign_recipe_in_a_file_is_checked(text: str, tmp_path: Path) -> None:
    path = brightness(tmp_path / "x.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"qbg.recipe": text})
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"x\.onnx"):
        resolve(path)


def test_a_declared_recipe_may_name_some_fields() -> None:
    recipe = declared_recipe({"qbg.recipe": json.dumps({"height": 64, "width": 96, "mean": [0, 0, 0]})}, "x")
    assert recipe is not None
    assert (recipe.height, recipe.width, recipe.mean) == (64, 96, (0.0, 0.0, 0.0))
    assert declared_recipe({}, "x") is None


def test_a_note_is_one_line() -> None:
    assert declared_note({"qbg.note": " a\nb"}) == "a"
    assert declared_note({"qbg.note": " \n"}) is None
    assert len(declared_note({"qbg.note": "x" * 999}) or "") == NOTE_LIMIT
