"""The pixel stages one by one, on one core, at each SIMD level of this machine, beside Pillow and NumPy.

Issued: a few photos, cut and scaled to each size, as JPEG files; each level and Pillow in turn (A B A B),
every picture once per turn. Timed: for a level the stages of a warm worker, by the worker's own clock (its
memory and tables are there already, as in a batch; `_native.preprocess` and its like make them anew at each
call, and would be charged for it); for `pillow` the same work, by `time.perf_counter`. Left out: the network.
In its place stands a soft blob that follows the picture's light, so that alpha is neither flat nor noise.
Headline: the best level's seconds, and its bytes against the machine's memory bandwidth.

Outputs are compared outside the timed part: among the levels, and with Pillow. PNG files are compared among
the levels alone: Pillow writes the same pixels at its default level, which takes longer for another size.
Must not know who prints what. Source of the recipe: rembg 2.0.86's for u2netp.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from qbg import _native
from qbg.models import COMPARED, MODELS
from qbg.options import Options
from qbg.recipe import Recipe
from qbg.report.record import Kernel

SIZES = ((480, 640), (1280, 1920))
"""(height, width) in pixels."""

STAGES = ("decode", "preprocess", "mask", "composite", "encode")
PILLOW = "pillow"
OPTIONS = Options(decontaminate=False)
"""Pillow has nothing like the color estimate in soft edges, so it is off for all."""

TENSOR = 1e-5
"""What two ways to the tensor may differ by, absolute: a few roundings to float32 of values up to 2.7."""
MASK_SHARE = 0.001
"""Pixels of alpha that may be off by more than one level: what float32 rounds otherwise before Lanczos."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


class MismatchError(RuntimeError):
    """A level gave another output than it should: its times are worth nothing. Says which, and where."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture at one size.

    Attributes:
        jpeg: the file.
        pixels: (H, W, 3) uint8, decoded by Pillow.
        logits: (1, 1, h, w) float32 in 0..1: what the stand-in for the network gives.
    """

    jpeg: bytes
    pixels: Bytes
    logits: Floats


@dataclass(frozen=True, slots=True)
class Output:
    """What the stages made of one picture.

    Attributes:
        rgb: (H, W, 3) uint8.
        tensor: (1, 3, h, w) float32.
        alpha: (H, W) uint8.
        cutout: (H, W, 4) uint8.
        png: the file.
    """

    rgb: Bytes
    tensor: Floats
    alpha: Bytes
    cutout: Bytes
    png: bytes


# ---------------------------------------------------------------- pictures


def make_item(photo: Path, height: int, width: int, recipe: Recipe) -> Item:
    """Cuts the middle out of the photo, scales it, and encodes it as JPEG of quality 90.

    Raises:
        OSError: the photo can't be read.
    """
    with Image.open(photo) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    stream = io.BytesIO()
    ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    pixels = pillow_decode(stream.getvalue())
    return Item(stream.getvalue(), pixels, blob(pixels, recipe.height, recipe.width))


def blob(pixels: Bytes, height: int, width: int) -> Floats:
    """(1, 1, height, width) float32: a disc whose soft edge goes in and out with the picture's light."""
    light = Image.fromarray(pixels).convert("L").resize((width, height), Image.Resampling.BILINEAR)
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot(y / height - 0.5, x / width - 0.5)
    inside = 0.32 - radius + 0.15 * (np.asarray(light, np.float64) / 255 - 0.5)
    levels: Floats = (1 / (1 + np.exp(-60 * inside))).astype(np.float32)
    return levels[None, None]


def crossing(pixels: NDArray[Any]) -> tuple[int, int, int, bytes]:
    """(H, W) or (H, W, C) as the native side takes it."""
    height, width = pixels.shape[:2]
    return height, width, pixels.shape[2] if pixels.ndim == 3 else 1, pixels.tobytes()


# ---------------------------------------------------------------- the other side: Pillow and NumPy


def pillow_decode(jpeg: bytes) -> Bytes:
    """(H, W, 3) uint8."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def pillow_preprocess(pixels: Bytes, recipe: Recipe) -> Floats:
    """(1, 3, h, w) float32; all in float32 and in place, which is quicker than rembg's own float64."""
    size = (recipe.width, recipe.height)
    small: Floats = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), np.float32)
    mean, std = np.array(recipe.mean), np.array(recipe.std)
    small *= (1 / (max(float(small.max()), 1e-6) * std)).astype(np.float32)
    small -= (mean / std).astype(np.float32)
    return np.ascontiguousarray(small.transpose(2, 0, 1))[None]


def pillow_mask(logits: Floats, height: int, width: int) -> Bytes:
    """(H, W) uint8: min-max, truncation, Lanczos."""
    low, high = logits.min(), logits.max()
    levels = ((logits[0, 0] - low) / (high - low) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.LANCZOS))


def pillow_composite(pixels: Bytes, alpha: Bytes) -> Bytes:
    """(H, W, 4) uint8; no color where nothing is seen."""
    cutout = np.empty((*alpha.shape, 4), np.uint8)
    np.multiply(pixels, (alpha != 0)[:, :, None], out=cutout[:, :, :3])
    cutout[:, :, 3] = alpha
    return cutout


def pillow_encode(cutout: Bytes) -> bytes:
    """Pillow's default PNG."""
    stream = io.BytesIO()
    Image.fromarray(cutout).save(stream, "PNG")
    return stream.getvalue()


def with_pillow(item: Item, recipe: Recipe) -> tuple[Output, dict[str, float]]:
    """All stages of one picture, and the seconds of each."""
    height, width = item.pixels.shape[:2]
    ticks = [time.perf_counter()]

    def tick() -> None:
        ticks.append(time.perf_counter())

    rgb = pillow_decode(item.jpeg)
    tick()
    tensor = pillow_preprocess(rgb, recipe)
    tick()
    alpha = pillow_mask(item.logits, height, width)
    tick()
    cutout = pillow_composite(rgb, alpha)
    tick()
    png = pillow_encode(cutout)
    tick()
    seconds = {name: ticks[n + 1] - ticks[n] for n, name in enumerate(STAGES)}
    return Output(rgb, tensor, alpha, cutout, png), seconds


# ---------------------------------------------------------------- our side


class Worker:
    """One warm worker at one level. Its network gives `logits`, and keeps what it was fed in `fed`."""

    def __init__(self, recipe: Recipe, level: str) -> None:
        self.level = level
        self.logits: Floats | None = None
        self.keep = False
        self.fed: Floats | None = None
        shape = (1, recipe.height, recipe.width)
        self.core = _native.Core(recipe, shape, self.make_worker, workers=1, pin="off", simd=level)

    def make_worker(self, slot: _native.Slot) -> Callable[[], None]:
        """What the native side calls once; returns what it calls for each picture."""
        fed, given = np.asarray(slot.input), np.asarray(slot.output)

        def infer() -> None:
            given[...] = self.logits
            if self.keep:
                self.fed = fed.copy()

        return infer

    def run(self, item: Item) -> tuple[_native.Result, dict[str, float]]:
        """All stages of one picture, and the seconds of each."""
        self.logits = item.logits
        result = self.core.process(item.jpeg, OPTIONS, encode=True)
        return result, {name: result.stage_ns[name] / 1e9 for name in STAGES}

    def output(self, item: Item) -> Output:
        """The same outside any timing, with what lies between the stages."""
        self.keep = True
        result, _ = self.run(item)
        self.keep = False
        # With hidden colors kept, a cut-out's colors are the decoded pixels, all of them.
        hidden = self.core.process(item.jpeg, replace(OPTIONS, keep_hidden=True))
        if self.fed is None or result.encoded is None or hidden.pixels is None:
            raise MismatchError(f"{self.level}: the worker gave no tensor, no file or no pixels")
        with Image.open(io.BytesIO(result.encoded)) as image:
            cutout = np.asarray(image)
        rgb = np.asarray(hidden.pixels)[:, :, :3]
        return Output(rgb, self.fed, cutout[:, :, 3], cutout, result.encoded)


# ---------------------------------------------------------------- comparison, outside the timed part


def check(level: str, ours: Output, theirs: Output) -> None:
    """Holds one level's output to Pillow's.

    Raises:
        MismatchError: they differ by more than the kernels' rounding allows.
    """
    if ours.rgb.shape != theirs.rgb.shape or (ours.rgb != theirs.rgb).any():
        raise MismatchError(f"{level}: decoded pixels differ from Pillow's")
    off = float(np.abs(ours.tensor - theirs.tensor).max())
    if not off <= TENSOR:
        raise MismatchError(f"{level}: the tensor is off by {off:.3g}, allowed are {TENSOR}")
    if ours.alpha.shape != theirs.alpha.shape:
        raise MismatchError(f"{level}: alpha is {ours.alpha.shape}, must be {theirs.alpha.shape}")
    share = float((np.abs(ours.alpha.astype(int) - theirs.alpha) > 1).mean())
    if share > MASK_SHARE:
        raise MismatchError(f"{level}: {share:.2%} of alpha is off by more than one level")
    if (ours.cutout != pillow_composite(ours.rgb, ours.alpha)).any():
        raise MismatchError(f"{level}: the cut-out isn't its own pixels and alpha")


def check_levels(outputs: dict[str, Output]) -> None:
    """Holds the levels to each other: integers are equal, floats within their rounding.

    Raises:
        MismatchError: names both levels and the stage.
    """
    (first, wanted), *others = outputs.items()
    for level, output in others:
        off = float(np.abs(output.tensor - wanted.tensor).max())
        if not off <= TENSOR:
            raise MismatchError(f"{level} differs from {first} in preprocess by {off:.3g}")
        for stage, one, other in (
            ("mask", output.alpha, wanted.alpha),
            ("composite", output.cutout, wanted.cutout),
        ):
            if one.shape != other.shape or (one != other).any():
                raise MismatchError(f"{level} differs from {first} in {stage}")
        if output.png != wanted.png:
            raise MismatchError(f"{level} differs from {first} in encode")


# ---------------------------------------------------------------- the whole


def bytes_moved(item: Item, output: Output) -> dict[str, int]:
    """By stage: what it reads and writes at least."""
    pixels = item.pixels.shape[0] * item.pixels.shape[1]
    return {
        "decode": len(item.jpeg) + 3 * pixels,
        "preprocess": 3 * pixels + output.tensor.nbytes,
        "mask": item.logits.nbytes + pixels,
        "composite": (3 + 1 + 4) * pixels,
        "encode": 4 * pixels + len(output.png),
    }


def measure(
    photos: Sequence[Path],
    *,
    sizes: Sequence[tuple[int, int]] = SIZES,
    rounds: int = 7,
    levels: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Kernel, ...]:
    """Each stage at each level and with Pillow, on the calling thread.

    Args:
        photos: a few; two or more, so that content varies from call to call.
        sizes: (height, width) to bring them to.
        rounds: turns of everybody; each gives one time per row, the mean over the photos.
        levels: None: those that this CPU has.
        progress: called with (turns done, turns in all).

    Returns:
        Rows `<stage> <width>x<height>` by size, stage, level; `pillow` last.

    Raises:
        MismatchError: outputs differ, see there; nothing was timed then.
        ValueError: no photos, no rounds, or a level that this CPU lacks.
        OSError: a photo can't be read.
    """
    if not photos or rounds < 1:
        raise ValueError("kernels are measured with at least one photo and one round")
    recipe = MODELS[COMPARED].recipe
    workers = [Worker(recipe, level) for level in levels or _native.system()["simd_levels"]]
    rows: list[Kernel] = []
    try:
        for number, (height, width) in enumerate(sizes):
            items = [make_item(photo, height, width, recipe) for photo in photos]
            moved = checked(workers, items, recipe)

            def report(done: int, before: int = number * rounds) -> None:
                if progress is not None:
                    progress(before + done, len(sizes) * rounds)

            times = turns(workers, items, recipe, rounds, report)
            rows += [
                Kernel(
                    name=f"{stage} {width}x{height}",
                    level=level,
                    seconds=tuple(turn[stage] for turn in times[level]),
                    bytes_moved=moved[level][stage],
                )
                for stage in STAGES
                for level in times
            ]
    finally:
        for worker in workers:
            worker.core.close()
    return tuple(rows)


def checked(workers: Sequence[Worker], items: Sequence[Item], recipe: Recipe) -> dict[str, dict[str, int]]:
    """Compares all outputs, which warms everybody up too; returns mean bytes by level and stage."""
    moved: dict[str, list[dict[str, int]]] = {}
    for item in items:
        theirs, _ = with_pillow(item, recipe)
        outputs = {worker.level: worker.output(item) for worker in workers}
        for level, output in outputs.items():
            check(level, output, theirs)
        check_levels(outputs)
        for level, output in (*outputs.items(), (PILLOW, theirs)):
            moved.setdefault(level, []).append(bytes_moved(item, output))
    return {
        level: {stage: round(sum(one[stage] for one in each) / len(each)) for stage in STAGES}
        for level, each in moved.items()
    }


def turns(
    workers: Sequence[Worker],
    items: Sequence[Item],
    recipe: Recipe,
    rounds: int,
    report: Callable[[int], None],
) -> dict[str, list[dict[str, float]]]:
    """Everybody in turn, `rounds` times: by level, for each turn the mean seconds by stage."""
    contestants: dict[str, Callable[[Item], dict[str, float]]] = {}
    for worker in workers:
        contestants[worker.level] = lambda item, worker=worker: worker.run(item)[1]  # type: ignore[misc]
    contestants[PILLOW] = lambda item: with_pillow(item, recipe)[1]
    times: dict[str, list[dict[str, float]]] = {level: [] for level in contestants}
    for done in range(rounds):
        for level, run in contestants.items():
            each = [run(item) for item in items]
            mean = {stage: sum(one[stage] for one in each) / len(each) for stage in STAGES}
            times[level].append(mean)
        report(done + 1)
    return times
