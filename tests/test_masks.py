"""The same mask by the command line, by Remover and by hand: with the built-in network, and with u2netp.

Masks of the latter are also held to those that rembg wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import oracles
import qbg as package
from conftest import BESIDE, U2NETP, Outcome
from oracles import any_recipe
from oracles import recipe as by_hand
from oracles.any_recipe import iou, widest
from qbg.models import resolve
from qbg.recipe import Recipe

# Share of the picture that is subject, by eye with room: enough to notice an empty or an inverted mask.
COVERAGE = {"cap": (0.5, 0.8), "skirt": (0.15, 0.4), "boots": (0.2, 0.45), "shirt": (0.35, 0.6)}


@pytest.fixture(scope="module")
def network():
    if not U2NETP.is_file():
        pytest.skip(f"SKIPPED: no u2netp at {U2NETP}; QBG_SHARED says where")
    return by_hand.session(U2NETP)


def read(path: Path) -> np.ndarray:
    """An alpha plane that was written as a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def far(ours: np.ndarray, expected: np.ndarray) -> float:
    """Share of pixels that differ by more than one level."""
    assert ours.shape == expected.shape
    return float(np.mean(np.abs(ours.astype(int) - expected) > oracles.LEVEL))


def test_the_built_in_masks_are_those_of_its_recipe(photos: Path, tmp_path: Path) -> None:
    """The file's own words on how it is fed, step by step in Pillow and NumPy."""
    known = resolve()
    session = by_hand.session(known.network.path)
    declared = json.loads(session.get_modelmeta().custom_metadata_map["qbg.recipe"])
    assert (
        Recipe(**{key: tuple(v) if isinstance(v, list) else v for key, v in declared.items()}) == known.recipe
    )
    with package.Remover() as remover:
        for name, (low, high) in COVERAGE.items():
            image = by_hand.load(photos / f"{name}.jpg")
            source = tmp_path / f"{name}.png"
            image.save(source)
            planes = session.run(None, {"input": any_recipe.tensor(image, declared).astype(np.float32)})[0]
            expected = any_recipe.alpha(planes[0], image, declared)
            assert low < expected.mean() / 255 < high, name
            assert far(np.asarray(remover.mask(str(source))), expected) <= 0.001, name


def test_png_masks_are_those_of_the_recipe(
    qbg: Callable[..., Outcome], network, photos: Path, tmp_path: Path
) -> None:
    """On pixels that all three share, hardly a pixel may differ."""
    source = tmp_path / "in"
    source.mkdir()
    for name in COVERAGE:
        by_hand.load(photos / f"{name}.jpg").save(source / f"{name}.png")
    outcome = qbg("remove", source, tmp_path / "out", "--only-mask", "--json", "-m", U2NETP)
    assert outcome.code == 0, outcome.err
    with package.Remover(U2NETP) as remover:
        for name, (low, high) in COVERAGE.items():
            expected = by_hand.mask(network, by_hand.load(source / f"{name}.png"))
            assert low < expected.mean() / 255 < high
            command = read(tmp_path / "out" / f"{name}.png")
            python = np.asarray(remover.mask(str(source / f"{name}.png")))
            assert far(command, expected) <= 0.001
            np.testing.assert_array_equal(python, command)


def test_jpeg_masks_are_those_of_the_recipe(network, photos: Path) -> None:
    """The JPEG decoder gives libjpeg-turbo's pixels, so JPEG is held to what PNG is."""
    with package.Remover(U2NETP) as remover:
        for path in sorted(photos.glob("*.jpg")):
            expected = by_hand.mask(network, by_hand.load(path))
            assert far(np.asarray(remover.mask(str(path))), expected) <= 0.001, path.name


SHARED = BESIDE / "data" / "photos"
THEIRS = BESIDE / "data" / "rembg-masks" / "u2netp"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not THEIRS.is_dir(), reason=f"SKIPPED: no masks at {THEIRS}; QBG_SHARED says where")
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_masks_are_those_that_rembg_wrote(kind: str, network, tmp_path: Path) -> None:
    """rembg's own masks, not a copy of its recipe; as JPEG, and as Pillow decodes them saved as PNG.

    rembg wrote them with Pillow 12, whose passes took another order. So each mask is held twice: to
    rembg's with what that order may change (worst seen: 0.31 levels on average), and, strictly, to the
    recipe by hand, which with the old order is held to rembg's strictly.
    """
    names = sorted(path.stem for path in THEIRS.glob("*.png"))
    assert len(names) >= 24
    shares, ious = [], []
    with package.Remover(U2NETP) as remover:
        for name in names:
            source = SHARED / f"{name}.jpg"
            image, theirs = by_hand.load(source), read(THEIRS / f"{name}.png")
            if kind == "png":
                source = tmp_path / f"{name}.png"
                image.save(source, compress_level=1)
            ours = np.asarray(remover.mask(str(source)))
            for mask, truth in (
                (by_hand.mask(network, image, rows_first=True), theirs),
                (ours, by_hand.mask(network, image)),
            ):
                assert far(mask, truth) <= 0.001, name
                assert widest(mask, truth) <= 3, name
            assert np.abs(ours.astype(int) - theirs).mean() <= 0.35, name
            shares.append(far(ours, theirs))
            ious.append(iou(ours, theirs))
    assert min(ious) >= 0.995
    assert np.mean(ious) >= 0.999
    assert np.mean(shares) <= 0.02


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"SKIPPED: no photos at {SHARED}; QBG_SHARED says where")
def test_masks_over_a_whole_set_of_photos(network) -> None:
    with package.Remover(U2NETP) as remover:
        for path in sorted(SHARED.glob("*.jpg")):
            expected = by_hand.mask(network, by_hand.load(path))
            assert far(np.asarray(remover.mask(str(path))), expected) <= 0.001, path.name


def test_orientation_is_applied_once(
    qbg: Callable[..., Outcome], quick_model: Path, odd: Path, tmp_path: Path
):
    for orientation in (3, 5, 6, 8):
        target = tmp_path / f"{orientation}.png"
        outcome = qbg("remove", odd / f"exif{orientation}.jpg", target, "-m", quick_model, "--keep-hidden",
                      "--no-decontaminate")  # fmt: skip
        assert outcome.code == 0, outcome.err
        with Image.open(target) as image:
            assert image.size == (96, 64)
            assert image.getexif().get(0x0112, 1) == 1
            red, green, blue = image.convert("RGBA").getpixel((2, 2))[:3]
        assert red > 180, "the red corner is not at the top left"
        assert max(green, blue) < 80
