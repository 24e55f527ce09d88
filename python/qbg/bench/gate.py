"""Checks a run's outputs against the reference path, outside the timed part. A fast wrong mask is worth
nothing.

Must not know how the outputs were made. The rule for fp32 is near equality; for other precisions the
quality that a user would not see the difference at.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
from PIL import Image, ImageOps

from qbg.bench.pictures import Pictures
from qbg.bench.reference import Levels, Reference
from qbg.evaluate.figures import HALF, iou
from qbg.network import Network
from qbg.recipe import Recipe
from qbg.report.record import Gate, GateSample, Picture

if TYPE_CHECKING:
    from qbg.evaluate.metrics import Scores

SAMPLES = 32
"""Outputs that are checked at least, where the run left so many."""

IOU, MEAN_LEVELS = 0.995, 2.55
"""Over all samples: at least and at most. 2.55 levels are a mean absolute difference of 0.01."""

OFF_SHARE = 0.005
"""fp32 only, each picture: pixels that may be off by more than one level. Pillow before 13 resizes in
another order of passes, which alone moves up to 0.1 % of them; a wrong lane or tail moves far more."""

PICTURES_SHOWN = 4
THUMBNAIL_PX = 240

RULE_FP32 = f"each picture: at most {OFF_SHARE:.1%} of pixels off by more than 1 level of 255; "
RULE = f"over all: IoU of masks cut at half >= {IOU}, mean difference <= {MEAN_LEVELS} levels"


def check(
    case: str,
    pairs: Sequence[tuple[Path, Path]],
    network: Network,
    recipe: Recipe,
    precision: str,
    *,
    threads: int,
    on_sample: Callable[[int, int], object] | None = None,
) -> Gate:
    """Compares outputs with the reference.

    Args:
        case: whose outputs these are.
        pairs: (input, output) files; an input may appear several times, its reference is made once.
        network, recipe: of the reference; it runs in fp32.
        precision: of the run that is checked.
        threads: reference pictures worked on at once.
        on_sample: called with (checked, all) now and then.

    Raises:
        ModelError, EngineError: the reference can't be run.
    """
    reference = Reference(network, recipe)
    inputs = list(dict.fromkeys(source for source, _output in pairs))
    masks: dict[Path, Levels | str] = {}
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for source, mask in zip(inputs, pool.map(lambda path: _mask(reference, path), inputs), strict=True):
            masks[source] = mask
            if on_sample is not None:
                on_sample(len(masks), len(inputs))
    samples: list[GateSample] = []
    quality = Quality()
    broken: list[str] = []
    for source, output in pairs:
        expected = masks[source]
        if isinstance(expected, str):
            # A picture that the reference can't read either: bad input is no matter of masks.
            continue
        found = alpha_of(output)
        if isinstance(found, str):
            broken.append(f"{source.name}: {found}")
        elif found.shape != expected.shape:
            broken.append(f"{source.name}: {found.shape} instead of {expected.shape}")
        else:
            samples.append(compare(source.name, found, expected))
            quality.add(found, expected)
    exact = precision == "fp32"
    reason = broken[0] if broken else judge(samples, exact=exact)
    return Gate(
        case=case,
        reference=f"{network.precision} in a plain ONNX Runtime session, Pillow {PIL.__version__}, NumPy",
        rule=(RULE_FP32 if exact else "") + RULE,
        samples=tuple(samples),
        quality=quality.means(),
        passed=reason is None,
        reason=reason,
        pictures=tuple(_shown(pairs)),
    )


class Quality:
    """The figures of `qbg evaluate` with the reference's masks as truth; none without its extra, SciPy."""

    def __init__(self) -> None:
        self._scores: list[Scores] = []

    def add(self, found: Levels, expected: Levels) -> None:
        """Counts a pair in; one without a subject has no such figures."""
        try:
            from qbg.evaluate.metrics import score
        except ImportError:
            return
        if (expected >= HALF).any():
            self._scores.append(score(found, expected))

    def means(self) -> dict[str, float]:
        """By the names of `qbg.evaluate.run.means`; empty where nothing was counted."""
        if not self._scores:
            return {}
        from qbg.evaluate.run import means

        return means(self._scores)


def pairs(pictures: Pictures, output: Path, most: int) -> list[tuple[Path, Path]]:
    """(input, output) of at most `most` outputs below `output`, of all rounds and of many inputs."""
    from qbg.trial import ROUND

    by_stem = {path.relative_to(pictures.folder).with_suffix(""): path for path in pictures.paths}
    found = []
    for made in sorted(path for path in output.rglob("*") if path.is_file()):
        place = made.relative_to(output)
        if place.parts[0].startswith(ROUND):
            place = place.relative_to(place.parts[0])
        source = by_stem.get(place.with_suffix(""))
        if source is not None:
            found.append((source, made))
    # Every n-th: outputs of one picture lie far apart in this order, one per round.
    step = max(1, len(found) // most)
    return found[::step][:most]


def compare(name: str, found: Levels, expected: Levels) -> GateSample:
    """How far two alpha planes (H, W) uint8 of equal shape are apart."""
    apart = np.abs(found.astype(np.int16) - expected.astype(np.int16))
    return GateSample(
        image=name,
        mean_levels=float(apart.mean()),
        off_share=float(np.count_nonzero(apart > 1)) / apart.size,
        worst_level=int(apart.max()),
        iou=iou(found >= HALF, expected >= HALF),
    )


def judge(samples: Sequence[GateSample], *, exact: bool) -> str | None:
    """Why the samples don't pass; None when they do."""
    if not samples:
        return "no output was left to check"
    iou = sum(sample.iou for sample in samples) / len(samples)
    mean = sum(sample.mean_levels for sample in samples) / len(samples)
    if iou < IOU:
        return f"IoU against the reference is {iou:.4f}, below {IOU}"
    if mean > MEAN_LEVELS:
        return f"masks are {mean:.2f} levels off on average, more than {MEAN_LEVELS}"
    worst = max(samples, key=lambda sample: sample.off_share)
    if exact and worst.off_share > OFF_SHARE:
        share = f"{worst.off_share:.2%} of pixels are off by more than a level"
        return f"{worst.image}: {share}, more than {OFF_SHARE:.1%}"
    return None


def alpha_of(output: Path) -> Levels | str:
    """The alpha plane (H, W) of a cut-out, or the mask itself; or why it can't be read."""
    try:
        with Image.open(output) as image:
            plane = image if image.mode == "L" else image.convert("RGBA").getchannel("A")
            return np.asarray(plane)
    except (OSError, ValueError, SyntaxError) as error:
        return f"unreadable output: {error}"


def _mask(reference: Reference, path: Path) -> Levels | str:
    try:
        return reference.alpha(path)
    except (OSError, ValueError, SyntaxError) as error:
        return str(error)


def _shown(pairs: Sequence[tuple[Path, Path]]) -> list[Picture]:
    """A few different pictures, evenly from the whole, small."""
    different = list({source: (source, output) for source, output in pairs}.values())
    step = max(1, len(different) // PICTURES_SHOWN)
    pictures = []
    for source, output in different[::step][:PICTURES_SHOWN]:
        alpha = alpha_of(output)
        if isinstance(alpha, str):
            continue
        with Image.open(output) as image:
            cutout = image.convert("RGBA") if image.mode != "L" else None
        with Image.open(source) as image:
            photo = ImageOps.exif_transpose(image).convert("RGB")
        mask = Image.fromarray(alpha)
        if cutout is None:
            cutout = photo.copy()
            cutout.putalpha(mask)
        size = (THUMBNAIL_PX, THUMBNAIL_PX)
        for thumbnail in (photo, mask, cutout):
            thumbnail.thumbnail(size, Image.Resampling.LANCZOS)
        pictures.append(
            Picture(
                image=source.name,
                photo=_url(photo, "JPEG"),
                mask=_url(mask, "PNG"),
                cutout=_url(cutout, "PNG"),
            )
        )
    return pictures


def _url(image: Image.Image, form: str) -> str:
    buffer = BytesIO()
    image.save(buffer, form, **({"quality": 80} if form == "JPEG" else {"optimize": True}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
