"""The Python API of transparent-background (1.3.4) on qbg: `Remover(...).process(...)`.

    from qbg.compat.transparent_background import Remover

Its modes, one network in two sizes, become inspyrenet-fast where that file is on this machine (`qbg models
build`), else qbg's own model, with a warning; `ckpt` may name any model. Must not know the command line.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from qbg import remover as own
from qbg.errors import ModelError
from qbg.models import DEFAULT, MODELS
from qbg.models.files import find
from qbg.options import Options, make_options

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Remover"]

MODES = ("base", "fast", "base-nightly")
PREFERRED = "inspyrenet-fast"
GREEN = (120, 255, 155, 255)
BLUR_SHARE = 0.02
"""Of the longer side: the sigma of the background's blur."""


class Remover:
    """A model that is loaded once.

    Args:
        mode: `fast`, `base` or `base-nightly`.
        jit, device: accepted and not used: qbg runs on CPUs.
        ckpt: name or path of another model.
        resize: `static`. `dynamic` is refused: qbg's models have one size.

    Raises:
        ValueError: another mode or way to resize.
        ModelError: the model isn't there.
    """

    def __init__(
        self,
        mode: str = "base",
        jit: bool = False,
        device: str | None = None,
        ckpt: str | None = None,
        resize: str = "static",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"`mode` is {mode!r}, but must be one of: {', '.join(MODES)}")
        if resize != "static":
            raise ValueError(f"`resize` is {resize!r}, but qbg's models have one size: static")
        self._remover = own.Remover(ckpt if ckpt is not None else _model())

    def process(
        self,
        img: Any,
        type: str = "rgba",  # noqa: A002
        threshold: float | None = None,
        reverse: bool = False,
    ) -> Any:
        """One picture.

        Args:
            img: a PIL image or a uint8 array (H, W, 3).
            type: `rgba`; `map` (the mask, three channels); `green`, `white`, `blur`, `overlay`;
                `[r, g, b]`; or the path of a background picture.
            threshold: 0 to 1: alpha above it is 1, the rest 0. None: soft.
            reverse: keep the background.

        Returns:
            As `img`: RGBA for `rgba`, else RGB.

        Raises:
            QbgError: see `qbg.Remover.cutout`.
            ValueError: an unknown type.
        """
        from PIL import Image

        picture = img if isinstance(img, Image.Image) else Image.fromarray(img)
        made = self._made(picture.convert("RGB"), type, threshold, reverse)
        if isinstance(img, Image.Image):
            return made
        import numpy as np

        return np.asarray(made)

    def _made(self, picture: Image, kind: str, threshold: float | None, reverse: bool) -> Image:
        from PIL import Image, ImageFilter

        level = None if threshold is None else min(max(round(threshold * 255), 1), 255)
        common: dict[str, Any] = {"threshold": level, "invert": reverse}
        if kind == "rgba":
            cutout: Image.Image = self._remover.cutout(picture, **common)
            return cutout
        mask: Image.Image = self._remover.mask(picture, **common)
        if kind == "map":
            return mask.convert("RGB")
        if kind == "blur":
            sigma = BLUR_SHARE * max(picture.size)
            return Image.composite(picture, picture.filter(ImageFilter.GaussianBlur(sigma)), mask)
        if kind == "overlay":
            tint = Image.blend(picture, Image.new("RGB", picture.size, GREEN[:3]), 0.5)
            return Image.composite(tint, picture, mask)
        cut: Image.Image = self._remover.cutout(picture, **common, **_background(kind))
        return cut.convert("RGB")


def _model() -> str:
    try:
        find(MODELS[PREFERRED])
    except ModelError:
        warnings.warn(
            f"{PREFERRED} isn't on this machine: {DEFAULT}, which is quicker and coarser, is used",
            UserWarning,
            stacklevel=3,
        )
        return DEFAULT
    return PREFERRED


def _background(kind: str) -> dict[str, Any]:
    """Options for a background that is named as transparent-background does."""
    if kind == "green":
        return {"background": GREEN}
    if kind.startswith("["):
        levels = kind.strip("[]")
        return {"background": make_options(Options(), background=levels).background}
    if os.path.isfile(kind):  # noqa: PTH113
        return {"background_image": kind}
    if kind == "white":
        return {"background": "white"}
    raise ValueError(
        f"`type` is {kind!r}, but must be rgba, map, green, white, blur, overlay, [r, g, b] or a path"
    )
