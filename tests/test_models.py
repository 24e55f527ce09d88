"""Models: the registry's facts, files and their places, recipes from TOML, guesses from a graph."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qbg
from qbg.errors import ModelError, ModelNotFoundError
from qbg.models import DEFAULT, MODELS, read_recipe, resolve
from qbg.recipe import Recipe
from qbg.remover import Remover

PILOT = Path(__file__).parents[2] / "shared" / "pilot" / "qbg-people-pilot.onnx"


def network(
    path: Path, operator: str, shape: list[int | str], *, inputs: int = 1, kind: int = TensorProto.FLOAT
) -> Path:
    """A graph of one operator from its input or inputs to an output of the same shape."""
    names = [f"in{number}" for number in range(inputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["out"])],
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info("out", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_built_in_model_is_what_the_registry_says() -> None:
    found = resolve()
    model = MODELS[DEFAULT]
    data = Path(found.network.path).read_bytes()
    assert len(data) == model.bytes
    assert hashlib.sha256(data).hexdigest() == model.sha256 == found.network.digest
    graph = onnx.load_from_string(data).graph
    assert [entry.name for entry in graph.input] == [found.network.input_name]
    assert graph.output[0].name == found.network.output_name
    sizes = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == [1, 3, 0, 0], "the size is left open"
    assert found.network.input_shape == (1, 3, model.recipe.height, model.recipe.width)
    assert found.notes == ()


def test_the_built_in_file_serves_two_sizes(photos: Path) -> None:
    photo = photos / "coat.jpg"
    base, turbo = resolve(), resolve("qbg-turbo")
    assert (base.network.path, base.network.digest) == (turbo.network.path, turbo.network.digest)
    assert (base.recipe.height, turbo.recipe.height) == (384, 256)
    assert turbo.network.input_shape == (1, 3, 256, 256)
    with Remover("qbg-turbo", workers=1) as named, Remover(base.network.path, recipe=turbo.recipe) as given:
        assert np.array_equal(np.asarray(named.mask(photo)), np.asarray(given.mask(photo)))
        assert named.digest() == given.digest()
    with Remover(workers=1) as larger:
        assert larger.digest() != given.digest()


def test_a_known_file_is_known_by_any_path(tmp_path: Path) -> None:
    known = resolve()
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(Path(known.network.path).read_bytes())
    found = resolve(copy)
    assert (found.name, found.recipe, found.license) == (str(copy), known.recipe, "Apache-2.0")
    assert found.network == replace(known.network, path=str(copy))
    assert found.notes == ()
    own = tmp_path / "own.toml"
    own.write_text('scale = "full"')
    assert resolve(copy, own).recipe == replace(known.recipe, scale="full")


def test_a_copy_of_the_built_in_model_gives_its_masks(tmp_path: Path, photos: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(Path(resolve().network.path).read_bytes())
    with qbg.Remover(workers=1) as named, qbg.Remover(copy, workers=1) as copied:
        assert named.mask(photos / "coat.jpg").tobytes() == copied.mask(photos / "coat.jpg").tobytes()


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match="u2netp") as caught:
        resolve("u3net")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.stage == "model"


@pytest.mark.parametrize(
    ("operator", "shape", "activation", "side"),
    [
        ("Sigmoid", [1, 3, 24, 40], "none", (24, 40)),
        ("Identity", [1, 3, 24, 40], "softmax", (24, 40)),
        ("Identity", ["n", 3, "h", "w"], "softmax", (512, 512)),
    ],
)
def test_guess(
    operator: str, shape: list[int | str], activation: str, side: tuple[int, int], tmp_path: Path
) -> None:
    found = resolve(network(tmp_path / "model.onnx", operator, shape))
    expected = Recipe(height=side[0], width=side[1], filter="bilinear", activation=activation, channel=2)
    assert found.recipe == expected
    assert found.network.output_shape == (3, *side)
    assert len(found.notes) == 1
    assert activation in found.notes[0]
    assert f"{side[1]}x{side[0]}" in found.notes[0]


@pytest.mark.skipif(not PILOT.exists(), reason="SKIPPED: no shared/pilot beside the repository")
def test_guess_for_the_pilot_is_its_card() -> None:
    found = resolve(PILOT)
    assert found.recipe == Recipe(height=256, width=256, filter="bilinear", activation="sigmoid")


@pytest.mark.parametrize(
    ("shape", "inputs", "kind", "word"),
    [
        ([1, 3, 8, 8], 2, TensorProto.FLOAT, "2 inputs"),
        ([3, 8, 8], 1, TensorProto.FLOAT, r"\(3, 8, 8\)"),
        ([1, 4, 8, 8], 1, TensorProto.FLOAT, r"\(1, 4, 8, 8\)"),
        ([2, 3, 8, 8], 1, TensorProto.FLOAT, r"\(2, 3, 8, 8\)"),
        ([1, 3, 8, 8], 1, TensorProto.DOUBLE, "float32"),
    ],
)
def test_networks_that_are_refused(
    shape: list[int], inputs: int, kind: int, word: str, tmp_path: Path
) -> None:
    operator = "Add" if inputs == 2 else "Identity"
    path = network(tmp_path / "model.onnx", operator, list(shape), inputs=inputs, kind=kind)
    with pytest.raises(ModelError, match=word) as caught:
        resolve(path)
    assert caught.value.path == str(path)
    assert caught.value.hint


def test_corrupt_absent_and_folder(tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(b"\x08\x08 not a graph")
    with pytest.raises(ModelError, match="not an ONNX file"):
        resolve(corrupt)
    with pytest.raises(ModelNotFoundError, match="no such file"):
        resolve(tmp_path / "absent.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelError, match="not a file"):
        resolve(tmp_path / "folder.onnx")


def test_recipe_file_goes_over_the_registrys(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('scale = "full"\nmean = [0, 0.5, 1]\n')
    base = MODELS["u2netp"].recipe
    recipe = read_recipe(file, base)
    assert recipe.scale == "full"
    assert recipe.mean == (0.0, 0.5, 1.0)
    assert recipe.filter == base.filter == "lanczos"
    assert resolve(None, file).recipe == read_recipe(file, MODELS[DEFAULT].recipe)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("heigth = 3", "no field `heigth`"),
        ("height = ", "can't be read"),
        ("height = 0", "height"),
        ("std = [1, 0, 1]", "std"),
        ("mean = 3", "iterable"),
    ],
)
def test_recipe_files_that_are_refused(text: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(ModelError, match=word) as caught:
        read_recipe(file)
    assert caught.value.path == str(file)


def test_recipe_that_contradicts_the_graph(tmp_path: Path) -> None:
    path = network(tmp_path / "model.onnx", "Sigmoid", [1, 3, 8, 8])
    with pytest.raises(ModelError, match="8x8, but the recipe says 16x8"):
        resolve(path, Recipe(height=16, width=8))
    with pytest.raises(ModelError, match="channel 3"):
        resolve(path, Recipe(height=8, width=8, channel=3))
    with pytest.raises(ModelError, match="varies the size"):
        resolve(path, Recipe(fit="long", side=8))


def test_varying_size(tmp_path: Path) -> None:
    path = network(tmp_path / "model.onnx", "Sigmoid", [1, 3, "h", "w"])
    found = resolve(path, Recipe(fit="long", side=96, multiple=32))
    assert found.network.input_shape == (1, 3, 0, 0)
    assert found.network.output_shape == (3, 0, 0)
