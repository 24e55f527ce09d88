"""Options and recipes: what is accepted at the door, and what mistakes say."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from qbg.options import FolderOptions, Options, make_options, parse_color
from qbg.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("white", (255, 255, 255, 255)),
        ("Transparent", (0, 0, 0, 0)),
        ("#f00", (255, 0, 0, 255)),
        ("00ff7f", (0, 255, 127, 255)),
        ("#00ff7f80", (0, 255, 127, 128)),
        ("1, 2,3", (1, 2, 3, 255)),
        ("1,2,3,4", (1, 2, 3, 4)),
        ("rebeccapurple", (102, 51, 153, 255)),
    ],
)
def test_colors(text: str, color: tuple[int, int, int, int]) -> None:
    assert parse_color(text) == color


@pytest.mark.parametrize("text", ["", "whiteish", "#12", "1,2", "1,2,300", "-1,2,3", "1,2,3,4,5"])
def test_no_colors(text: str) -> None:
    with pytest.raises(ValueError, match="not a color"):
        parse_color(text)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"format": "gif"}, "png, webp, jpeg, tiff"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 256}, "threshold"),
        ({"feather": -1.0}, "feather"),
        ({"feather": float("nan")}, "feather"),
        ({"png_level": 10}, "png_level"),
        ({"quality": 0}, "quality"),
        ({"crop": -1}, "crop"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"background": (1, 2)}, "background"),
        ({"background": (1, 2, 256)}, "background"),
        ({"background": "red", "background_image": "x.png"}, "exclude"),
        ({"format": "jpeg"}, "transparent"),
        ({"format": "jpeg", "background": (0, 0, 0, 10)}, "transparent"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make_options(None, **values)


def test_wrong_types_and_unknown_names() -> None:
    with pytest.raises(TypeError, match="there are: only_mask"):
        make_options(None, only_masks=True)
    with pytest.raises(TypeError, match="threshold"):
        make_options(None, threshold="high")
    with pytest.raises(TypeError, match="quality"):
        make_options(None, quality=True)


def test_what_people_write() -> None:
    options = make_options(None, crop=True, format="jpg", background="#fff", feather=1.5)
    assert options == Options(crop=0, format="jpeg", background=(255, 255, 255, 255), feather=1.5)
    assert make_options(options, crop=False).crop is None
    assert make_options(options, background_image="back.png").background is None
    assert make_options(None) == Options()


@pytest.mark.parametrize("field", [field.name for field in fields(Options)])
def test_every_option_is_documented(field: str) -> None:
    assert f"        {field}: " in (Options.__doc__ or "")


def test_folder_options() -> None:
    with pytest.raises(ValueError, match="fail, rename"):
        FolderOptions(on_collision="ignore")
    with pytest.raises(ValueError, match="paths, globs, list"):
        FolderOptions(inputs_are="folders")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"fit": "crop"}, "squash"),
        ({"filter": "nearest"}, "bilinear"),
        ({"height": 0}, "height"),
        ({"fit": "short", "side": 0}, "side"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"mean": (1.0, 1.0)}, "mean"),
        ({"fill": 256}, "fill"),
        ({"activation": "relu"}, "sigmoid"),
    ],
)
def test_impossible_recipes(values: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Recipe(**values)
