"""Alpha matting with PyMatting, as rembg's `-a` does it (extra qbg[matting]). Must not know models or files.

The trimap and its thresholds are rembg's; the two estimations are PyMatting's closed-form alpha (Levin,
Lischinski, Weiss 2008) and multi-level foreground (Germer et al. 2020). Both solve for the whole picture at
once: minutes and gigabytes for a large one, seconds for one of 800 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qbg.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = 128


def trimap(
    mask: NDArray[np.uint8], foreground_threshold: int, background_threshold: int, erode_size: int
) -> NDArray[np.uint8]:
    """Sure subject 255, sure background 0, else 128.

    Args:
        mask: (H, W).
        foreground_threshold: alpha above it is subject.
        background_threshold: alpha below it is background.
        erode_size: side in pixels of the square by which both are eroded; 0: a cross of 3 pixels, as
            SciPy's default is.

    Returns:
        (H, W).
    """
    import numpy as np
    from scipy.ndimage import binary_erosion

    square = np.ones((erode_size, erode_size), bool) if erode_size > 0 else None
    subject = binary_erosion(mask > foreground_threshold, structure=square)
    # The picture's surroundings count as background; of the subject nothing is known there.
    background = binary_erosion(mask < background_threshold, structure=square, border_value=1)
    result = np.full(mask.shape, UNKNOWN, np.uint8)
    result[subject] = 255
    result[background] = 0
    return result


def matte(rgb: NDArray[np.uint8], regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The cut-out of a picture whose trimap is known.

    Args:
        rgb: (H, W, 3).
        regions: (H, W), as `trimap` gives it.

    Returns:
        (H, W, 4), straight alpha, the subject's own colors.

    Raises:
        EngineError: PyMatting isn't installed.
        ValueError: the trimap has no sure subject or no sure background.
    """
    import numpy as np

    try:
        from pymatting import estimate_alpha_cf, estimate_foreground_ml
    except ImportError as error:
        raise EngineError(
            "alpha matting needs PyMatting", stage="mask", hint="pip install 'qbg[matting]'"
        ) from error
    image = rgb / 255.0
    alpha = estimate_alpha_cf(image, regions / 255.0)
    colors = estimate_foreground_ml(image, alpha)
    made = np.dstack([colors, alpha])
    # Cut, not rounded, as rembg does.
    result: NDArray[np.uint8] = np.clip(made * 255, 0, 255).astype(np.uint8)
    return result
