"""The report of an evaluation: a table by group, and the worst pictures to look at. Reads those only."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from qbg.errors import QbgError
from qbg.evaluate.figures import COLUMNS, NOTES
from qbg.evaluate.metrics import Plane
from qbg.evaluate.pairs import PIXELS, fitted, read
from qbg.evaluate.run import Evaluation, Row, Scored
from qbg.report.document import Document, Section, Strip, Table
from qbg.report.document import Row as TableRow

SHOWN = 12
SIDE = 240
TINT = np.array([0, 200, 120], np.float64)


def document(
    title: str, evaluation: Evaluation, worst: Sequence[Strip] = (), notes: Sequence[str] = ()
) -> Document:
    """All of it."""
    whole = evaluation.rows[-1]
    resized = sum(item.resized for item in evaluation.scored)
    lines = [*notes]
    if resized:
        lines.append(f"{resized} masks had another size than their truth and were resized to it (bilinear)")
    table = Table(
        title="",
        columns=("group", "pictures", *(heading for heading, _name, _digits in COLUMNS)),
        numeric=(False, True, *(True for _column in COLUMNS)),
        rows=tuple(_row(one, one is whole) for one in evaluation.rows if one.pictures),
        notes=(
            *NOTES,
            *lines,
        ),
    )
    sections = [Section(title="By group", text=(), tables=(table,) if table.rows else ())]
    blank = tuple(
        TableRow(cells=(one.group, f"{one.empty}", f"{one.alpha:.4f}"), strong=one is whole)
        for one in evaluation.rows
        if one.alpha is not None
    )
    if blank:
        sections.append(
            Section(
                title="Without a subject",
                text=("Pictures whose truth is empty. What is right there is an alpha of 0.",),
                tables=(
                    Table(
                        title="",
                        columns=("group", "pictures", "mean alpha"),
                        numeric=(False, True, True),
                        rows=blank,
                    ),
                ),
            )
        )
    if worst:
        sections.append(Section(title="The worst", text=(TEXT,), strips=tuple(worst), brief=False))
    return Document(title=title, verdict=_verdict(whole), valid=True, reasons=(), sections=tuple(sections))


TEXT = "By IoU, the worst first: the picture, with what was found tinted green; the mask; the truth."


def _verdict(whole: Row) -> str:
    if not whole.pictures and not whole.empty:
        return "nothing could be compared"
    if not whole.pictures:
        return f"{whole.empty} pictures without a subject"
    return f"IoU {whole.values['iou']:.4f}, MAE {whole.values['mae']:.4f} over {whole.pictures} pictures"


def _row(one: Row, strong: bool) -> TableRow:
    cells = (f"{one.values[name]:.{digits}f}" for _heading, name, digits in COLUMNS)
    return TableRow(cells=(one.group, f"{one.pictures}", *cells), strong=strong)


def worst(
    evaluation: Evaluation,
    photo_of: Callable[[str], Path | None],
    mask_of: Callable[[Scored], Plane],
    most: int = SHOWN,
) -> list[Strip]:
    """Strips of the pictures with the smallest IoU; one that can't be read again is left out."""
    ranked = sorted((item for item in evaluation.scored if item.scores is not None), key=_iou)
    strips = []
    for item in ranked[:most]:
        try:
            truth = read(item.pair.truth)
            mask = fitted(mask_of(item), truth.shape)
        except QbgError:
            continue
        images = [(_url(Image.fromarray(mask)), "mask"), (_url(Image.fromarray(truth)), "truth")]
        photo = photo_of(item.pair.name)
        picture = None if photo is None else _tinted(photo, mask)
        if picture is not None:
            images.insert(0, (_url(picture), "picture"))
        strips.append(Strip(title=f"{item.pair.name}: IoU {_iou(item):.3f}", images=tuple(images)))
    return strips


def _iou(item: Scored) -> float:
    assert item.scores is not None
    return item.scores.iou


def _tinted(photo: Path, mask: Plane) -> Image.Image | None:
    """None for a photo that can't be read: the masks are what this is about."""
    try:
        with Image.open(photo) as opened:
            if opened.width * opened.height > PIXELS:
                return None
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    image.thumbnail((SIDE, SIDE))
    alpha = np.asarray(Image.fromarray(mask).resize(image.size, Image.Resampling.BILINEAR)) / 255.0
    pixels = np.asarray(image) * (1.0 - 0.5 * alpha[:, :, None]) + TINT * 0.5 * alpha[:, :, None]
    return Image.fromarray(pixels.round().astype(np.uint8))


def _url(image: Image.Image) -> str:
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
