"""Each entry of the registry, run whole by qbg, against the recipe by hand and against the bench's reference.

The networks are random and small, but have the entries' input and output shapes. The pictures are those
where recipes part: dark ones (division by the largest level), wide ones (squash), small ones (enlarged).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import graphs
import qbg
from oracles import any_recipe as by_hand
from oracles import recipe as network_by_hand
from qbg.bench.reference import Reference
from qbg.errors import ModelError
from qbg.models import MODELS, Model, resolve
from qbg.recipe import Recipe

FAR = 0.001
"""Share of pixels that may differ by more than a level: where a float falls on another side of a step."""


def picture(kind: str) -> Image.Image:
    random = np.random.default_rng(len(kind))
    height, width, top = {"dark": (260, 300, 90), "wide": (120, 700, 255), "tiny": (31, 23, 255)}[kind]
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * top // width, y * top // height, (x + y) * top // (width + height)], axis=2)
    noise = random.integers(0, top // 4, base.shape)
    base[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 3) ** 2] = top
    return Image.fromarray(np.clip(base - noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    for kind in ("dark", "wide", "tiny"):
        picture(kind).save(path / f"{kind}.png")
    return path


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_entry_against_the_recipe_by_hand(model: Model, folder: Path, tmp_path: Path) -> None:
    side = model.recipe.height
    path = graphs.random_network(tmp_path / model.file, side, seed=side + model.recipe.min_max, outputs=2)
    session = network_by_hand.session(path)
    values = asdict(model.recipe)
    reference = Reference(resolve(path, model.recipe).network, model.recipe)
    with qbg.Remover(path, recipe=model.recipe, workers=1, pin="off") as remover:
        for source in sorted(folder.iterdir()):
            image = network_by_hand.load(source)
            feed = by_hand.tensor(image, values).astype(np.float32)
            planes = session.run(["alpha"], {"input": feed})[0][0]
            expected = by_hand.alpha(planes, image, values)
            assert expected.std() > 5, "a flat mask would prove nothing"
            ours = np.asarray(remover.mask(str(source)))
            assert by_hand.beyond(ours, expected) <= FAR, source.name
            assert by_hand.beyond(reference.alpha(source), expected) <= FAR, source.name


@pytest.mark.parametrize("workers", [1, 2])
def test_a_float16_output_is_read(workers: int, folder: Path, tmp_path: Path) -> None:
    """As BEN2's export has it."""
    recipe = MODELS["ben2"].recipe
    path = graphs.random_network(tmp_path / "half.onnx", 1024, seed=5, half=True)
    assert resolve(path, recipe).network.output_type == "float16"
    session = network_by_hand.session(path)
    with qbg.Remover(path, recipe=recipe, workers=workers, pin="off") as remover:
        for source in sorted(folder.iterdir()):
            image = network_by_hand.load(source)
            feed = by_hand.tensor(image, asdict(recipe)).astype(np.float32)
            planes = session.run(None, {"input": feed})[0][0]
            assert planes.dtype == np.float16
            expected = by_hand.alpha(planes, image, asdict(recipe))
            # A map of 11 bits has few values: a hair's breadth in the input moves whole areas by a level.
            assert by_hand.beyond(np.asarray(remover.mask(str(source))), expected) <= FAR


def test_a_float16_output_of_varying_size_is_refused(tmp_path: Path) -> None:
    path = graphs.random_network(tmp_path / "half.onnx", 64, seed=5, half=True)
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        for number, size in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[number].dim_param = size
    onnx.save(model, path)
    with pytest.raises(ModelError, match="must be float32"):
        resolve(path, Recipe(fit="long", side=96, multiple=32))


BREAKS = {
    "filter": ("lanczos", "bilinear"),
    "scale": ("maximum", "full"),
    "output_filter": ("lanczos", "bilinear"),
    "rounding": ("truncate", "nearest"),
    "activation": ("none", "sigmoid"),
    "min_max": (True, False),
    "mean": ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5)),
    "std": ((0.229, 0.224, 0.225), (0.225, 0.224, 0.229)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_comparison_sees_a_wrong_field(name: str, folder: Path, tmp_path: Path) -> None:
    """A recipe that is wrong in one field gives another mask by far, so the test above is worth something."""
    right = MODELS["u2net"].recipe
    assert getattr(right, name) == BREAKS[name][0]
    wrong = replace(right, **{name: BREAKS[name][1]})
    path = graphs.random_network(tmp_path / "net.onnx", 320, seed=321)
    session = network_by_hand.session(path)
    image = network_by_hand.load(folder / "dark.png")
    masks = []
    for recipe in (right, wrong):
        values = asdict(recipe)
        planes = session.run(None, {"input": by_hand.tensor(image, values).astype(np.float32)})[0][0]
        masks.append(by_hand.alpha(planes, image, values))
    if name == "rounding":
        assert (masks[0] != masks[1]).mean() > 0.2
    else:
        assert by_hand.beyond(masks[1], masks[0]) > 3 * FAR
