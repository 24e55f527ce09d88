"""`qbg rembg b`: raw rgb24 frames on standard input, as ffmpeg gives them, to PNGs. Must not know a codec."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from qbg.cli import rembg as flags
from qbg.cli.exits import DONE, SOME_FAILED, UsageError, pour, say
from qbg.options import whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE_LIMIT = 65_535
"""Pixels."""

Width = Annotated[int, typer.Argument(metavar="IMAGE_WIDTH", show_default=False)]
Height = Annotated[int, typer.Argument(metavar="IMAGE_HEIGHT", show_default=False)]
Specifier = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output_specifier",
        metavar="PATTERN",
        help="Files, such as out/%05d.png; else standard output.",
    ),
]


def command(
    width: Width,
    height: Height,
    model: flags.ModelName = None,
    alpha_matting: flags.AlphaMatting = False,
    foreground: flags.AboveIsSubject = 240,
    background: flags.BelowIsBackground = 10,
    erode: flags.ErodeSize = 10,
    only_mask: flags.OnlyMask = False,
    post_process: flags.PostProcess = False,
    decontaminate: flags.Decontaminate = False,
    vitmatte: flags.VitMatte = False,
    bgcolor: flags.BackgroundColor = (0, 0, 0, 0),
    extras: flags.Extras = None,
    specifier: Specifier = None,
    premultiplied: flags.Premultiplied = False,
) -> int:
    """Frames of raw rgb24 on standard input, in their order, to PNGs."""
    from qbg.whole import write_whole

    try:
        whole("argument", "IMAGE_WIDTH", width, 1, SIDE_LIMIT)
        whole("argument", "IMAGE_HEIGHT", height, 1, SIDE_LIMIT)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    if specifier is not None and not _numbers(specifier):
        raise UsageError(f"`{specifier}` gives frames no names: it needs one number, such as %05d")
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal: redirect it")
    wish = flags.read_wish(
        model,
        (alpha_matting, foreground, background, erode),
        (only_mask, post_process),
        (decontaminate, vitmatte, premultiplied),
        bgcolor,
        extras,
    )
    reader = Frames(sys.stdin.buffer, width, height)
    with flags.make_remover(wish, None) as remover:
        cutouts: Iterator[Any] = (
            remover.encoded_many(reader)
            if wish.thresholds is None
            else (flags.one(remover, wish, frame) for frame in reader)
        )
        for number, data in enumerate(cutouts):
            if specifier is None:
                pour(data)
                continue
            path = Path(specifier % number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data, durable=False)
    if reader.rest:
        say(f"the last {reader.rest} bytes are no whole frame of {width}x{height} and were dropped")
        return SOME_FAILED
    return DONE


def _numbers(specifier: str) -> bool:
    try:
        return specifier % 0 != specifier % 1
    except (TypeError, ValueError):
        return False


class Frames:
    """The frames of a stream, read as they are asked for.

    Attributes:
        rest: bytes behind the last whole frame, once the stream has ended.
    """

    def __init__(self, stream: BinaryIO, width: int, height: int) -> None:
        self._stream = stream
        self._shape = (height, width, 3)
        self.rest = 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        import numpy as np

        height, width, channels = self._shape
        size = height * width * channels
        while True:
            data = self._stream.read(size)
            if len(data) < size:
                self.rest = len(data)
                return
            yield np.frombuffer(data, np.uint8).reshape(self._shape)
