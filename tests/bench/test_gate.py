"""The reference path against oracle and program; the gate against masks that are broken on purpose."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import qbg
from conftest import SAMPLES, needs_u2netp
from oracles import any_recipe
from oracles import recipe as by_hand
from qbg.bench import gate, pictures
from qbg.bench.reference import Reference, sizes
from qbg.bench.run import original
from qbg.models import resolve
from qbg.recipe import Recipe
from qbg.report.record import Gate, GateSample

Check = Callable[[Path], Gate]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, quick_model: Path) -> Path:
    """Cut-outs of all samples, as a bench leaves them."""
    folder = tmp_path_factory.mktemp("outputs")
    with qbg.Remover(quick_model) as remover:
        assert not remover.remove_folder(SAMPLES, folder).failed
    return folder


@pytest.fixture
def check(quick_model: Path) -> Callable[[Path], Gate]:
    """Holds a folder of outputs to the reference."""
    resolved = resolve(quick_model)

    def run(outputs: Path) -> Gate:
        pairs = gate.pairs(pictures.find(None), outputs, gate.SAMPLES)
        return gate.check("case", pairs, resolved.network, resolved.recipe, "fp32", threads=2)

    return run


@needs_u2netp
def test_the_reference_is_the_oracle_for_rembgs_recipe() -> None:
    resolved, path = resolve("u2netp"), SAMPLES / "coat.jpg"
    reference = Reference(resolved.network, resolved.recipe)
    expected = by_hand.mask(by_hand.session(Path(resolved.network.path)), by_hand.load(path))
    assert np.abs(reference.alpha(path).astype(int) - expected).max() <= 1


def test_the_reference_is_the_oracle_for_the_built_in_model() -> None:
    resolved, path = resolve(None), SAMPLES / "coat.jpg"
    reference = Reference(resolved.network, resolved.recipe)
    values, image = asdict(resolved.recipe), by_hand.load(path)
    session = by_hand.session(Path(resolved.network.path))
    planes = session.run(None, {"input": any_recipe.tensor(image, values).astype(np.float32)})[0]
    expected = any_recipe.alpha(planes[0], image, values)
    assert np.abs(reference.alpha(path).astype(int) - expected).max() <= 1


def test_real_outputs_pass_and_are_shown(outputs: Path, check: Check) -> None:
    result = check(outputs)
    assert result.passed, result.reason
    assert len(result.samples) == len(list(SAMPLES.glob("*.jpg")))
    assert all(sample.iou > 0.999 for sample in result.samples)
    assert 1 <= len(result.pictures) <= 5
    assert all(shown.cutout.startswith("data:image/png;base64,") for shown in result.pictures)


def test_the_figures_are_those_of_evaluate(
    outputs: Path, check: Check, quick_model: Path, tmp_path: Path
) -> None:
    """By the command's own code, from the same outputs and the reference's masks as files."""
    pytest.importorskip("scipy", reason="SKIPPED: SciPy isn't installed: pip install 'qbg[evaluate]'")
    from qbg.evaluate.pairs import Pair
    from qbg.evaluate.run import evaluate

    resolved = resolve(quick_model)
    reference = Reference(resolved.network, resolved.recipe)
    pairs = []
    for source, output in gate.pairs(pictures.find(None), outputs, gate.SAMPLES):
        truth = tmp_path / f"{source.stem}.png"
        Image.fromarray(reference.alpha(source)).save(truth)
        pairs.append(Pair(name=source.stem, truth=truth, found=output))
    expected = evaluate(pairs, {}).rows[-1].values
    found = check(outputs).quality
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(expected[name], abs=1e-9) for name in found)


def test_without_scipy_there_are_no_figures_and_no_failure(
    outputs: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qbg.evaluate.metrics", None)
    result = check(outputs)
    assert result.passed
    assert result.quality == {}


def _swap_lanes(alpha: np.ndarray) -> np.ndarray:
    """Two neighboring pixels of each eight, swapped."""
    broken = alpha.copy()
    broken[:, 2::8][:, : broken[:, 3::8].shape[1]], broken[:, 3::8] = (
        alpha[:, 3::8],
        alpha[:, 2::8][:, : alpha[:, 3::8].shape[1]],
    )
    return broken


BROKEN = {
    "lanes swapped": _swap_lanes,
    "tail skipped": lambda alpha: np.where(np.arange(alpha.shape[1]) < alpha.shape[1] - 12, alpha, 0),
    "a row too far down": lambda alpha: np.roll(alpha, 1, axis=0),
    "mirrored": lambda alpha: alpha[:, ::-1],
    "inverted": lambda alpha: 255 - alpha,
    "nothing": np.zeros_like,
    "thresholded": lambda alpha: np.where(alpha >= 128, 255, 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_masks_do_not_pass(name: str, outputs: Path, tmp_path: Path, check: Check) -> None:
    shutil.copytree(outputs, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGBA"))
        pixels[..., 3] = BROKEN[name](pixels[..., 3]).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    result = check(tmp_path)
    assert not result.passed
    assert result.reason


def test_an_unreadable_output_does_not_pass(outputs: Path, tmp_path: Path, check: Check) -> None:
    shutil.copytree(outputs, tmp_path, dirs_exist_ok=True)
    next(tmp_path.rglob("*.png")).write_bytes(b"\x89PNG\r\n")
    result = check(tmp_path)
    assert not result.passed
    assert "unreadable" in (result.reason or "")


def test_nothing_to_check_does_not_pass(tmp_path: Path, check: Check) -> None:
    assert not check(tmp_path).passed


def test_other_precisions_are_judged_by_quality_alone() -> None:
    apart = GateSample(image="a", mean_levels=1.0, off_share=0.2, worst_level=40, iou=0.997)
    assert gate.judge([apart], exact=False) is None
    assert gate.judge([apart], exact=True) is not None
    assert gate.judge(
        [GateSample(image="a", mean_levels=3.0, off_share=0, worst_level=3, iou=1.0)], exact=False
    )
    assert gate.judge(
        [GateSample(image="a", mean_levels=0.1, off_share=0, worst_level=9, iou=0.99)], exact=False
    )


@given(st.data())
def test_compare_is_the_plain_definition(data: st.DataObject) -> None:
    plane = st.lists(st.integers(0, 255), min_size=12, max_size=12)
    one, two = (np.array(data.draw(plane), np.uint8).reshape(3, 4) for _ in range(2))
    sample = gate.compare("x", one, two)
    pairs = [(int(a), int(b)) for a, b in zip(one.ravel(), two.ravel(), strict=True)]
    assert sample.mean_levels == pytest.approx(sum(abs(a - b) for a, b in pairs) / 12)
    assert sample.off_share == sum(abs(a - b) > 1 for a, b in pairs) / 12
    assert sample.worst_level == max(abs(a - b) for a, b in pairs)
    union = sum(a >= 128 or b >= 128 for a, b in pairs)
    both = sum(a >= 128 and b >= 128 for a, b in pairs)
    assert sample.iou == pytest.approx(both / union if union else 1.0)


RECIPES = [
    Recipe(),
    Recipe(fit="letterbox", height=64, width=96, fill=114),
    Recipe(fit="short", side=48, multiple=16),
    Recipe(fit="long", side=96, multiple=32, filter="bilinear"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.fit)
def test_the_reference_fills_tensors_as_the_core_does(recipe: Recipe) -> None:
    """Two independent texts of one definition: all fits, through the native kernel."""
    from qbg import _native

    path = SAMPLES / "boots.jpg"
    image = by_hand.load(path).resize((133, 91))
    resolved = resolve(None)
    mine, _box = Reference(resolved.network, recipe).tensor(image)
    assert sizes(recipe, 91, 133)[0] == mine.shape[2:]
    theirs = np.asarray(_native.preprocess((91, 133, 3, image.tobytes()), recipe))
    assert theirs.shape == mine.shape
    assert np.abs(theirs - mine).max() <= 2e-6 * 10


def test_an_int8_file_is_held_to_the_float_network_it_was_made_of() -> None:
    built_in = resolve(None)
    declared = {"qbg.quantized": json.dumps({"from": built_in.network.digest})}
    int8 = dataclasses.replace(
        built_in, network=dataclasses.replace(built_in.network, precision="int8", declared=declared)
    )
    found = original(int8)
    assert found is not None
    assert found.network == built_in.network
    assert original(built_in) is built_in
    smaller = original(
        dataclasses.replace(int8, recipe=dataclasses.replace(int8.recipe, height=64, width=96))
    )
    assert smaller is not None
    assert smaller.network.input_shape == (1, 3, 64, 96), "fed as the int8 file is"
    for said in ({}, {"qbg.quantized": "rubbish"}, {"qbg.quantized": '{"from": "0"}'}):
        network = dataclasses.replace(int8.network, declared=said)
        assert original(dataclasses.replace(int8, network=network)) is None
