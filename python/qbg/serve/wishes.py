"""What a request may ask of one picture: the options of `qbg remove`, declared once for reading, checking and
for OpenAPI. Must not know how they come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qbg.options import FORMATS, Color, make_options, parse_color
from qbg.serve.problems import ProblemError

MEDIA = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "tiff": "image/tiff"}

MARGIN_LIMIT = 65_535


@dataclass(frozen=True, slots=True)
class Wish:
    """One parameter.

    Attributes:
        name: of the parameter, and of the field of `Options` unless `read` says otherwise.
        schema: JSON Schema of its value.
        about: one sentence.
    """

    name: str
    schema: dict[str, Any]
    about: str

    def value(self, given: object) -> Any:
        """From text (query, form) or from a JSON value, strictly: `yes` is no boolean, 1.5 no integer.

        Raises:
            ValueError: it isn't what the schema says.
        """
        kind = self.schema["type"]
        if kind == "boolean":
            value = {"true": True, "false": False}.get(given) if isinstance(given, str) else given
            if not isinstance(value, bool):
                raise ValueError("must be true or false")
            return value
        if kind == "string":
            if not isinstance(given, str):
                raise ValueError("must be text")
            if "enum" in self.schema and given not in self.schema["enum"]:
                raise ValueError(f"must be one of: {', '.join(self.schema['enum'])}")
            return given
        if isinstance(given, str):
            given = _number(given, whole=kind == "integer")
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise ValueError("must be a number")
        if kind == "integer":
            if given != int(given):
                raise ValueError("must be a whole number")
            given = int(given)
        if not self.schema["minimum"] <= given <= self.schema["maximum"]:
            raise ValueError(f"must be from {self.schema['minimum']} to {self.schema['maximum']}")
        return given


def _number(text: str, *, whole: bool) -> float:
    # Python's own reading takes blanks, underscores and foreign digits as well.
    if not text.isascii() or text != text.strip() or "_" in text:
        raise ValueError("must be a number")
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise ValueError("must be a whole number" if whole else "must be a number") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("must be a number")
    return value


def _flag(name: str, about: str, default: bool = False) -> Wish:
    return Wish(name, {"type": "boolean", "default": default}, about)


def _whole(name: str, low: int, high: int, about: str) -> Wish:
    return Wish(name, {"type": "integer", "minimum": low, "maximum": high}, about)


COLOR_PATTERN = (
    r"^(transparent|white|black|gray|silver|red|green|blue|yellow|orange|#[0-9a-fA-F]{6}|#[0-9a-fA-F]{8})$"
)

WISHES = (
    _flag("only_mask", "Answer with the mask, one channel."),
    Wish(
        "refine",
        {"type": "boolean"},
        "Move the mask's edges to the picture's own; default: as the model's recipe has it.",
    ),
    _whole("threshold", 1, 255, "Alpha from this level on becomes 255, the rest 0."),
    _flag("invert", "Keep the background instead of the subject."),
    Wish(
        "feather",
        {"type": "number", "minimum": 0, "maximum": 100, "default": 0},
        "Soften the edge: sigma in pixels.",
    ),
    _flag("post_process", "Smooth the mask's outline."),
    _flag("decontaminate", "Estimate the subject's own color in soft edges.", default=True),
    _flag("keep_hidden", "Keep the colors of transparent pixels."),
    _flag("premultiply", "Multiply colors by alpha."),
    Wish(
        "background",
        {"type": "string", "pattern": COLOR_PATTERN},
        "Behind the subject: any CSS name, #rrggbb, #rrggbbaa, `r,g,b` or `r,g,b,a`; the pattern lists some.",
    ),
    _flag("crop", "Cut to the subject."),
    _whole("margin", 0, MARGIN_LIMIT, "Pixels around the subject; implies crop."),
    Wish("format", {"type": "string", "enum": list(FORMATS)}, "Of the answer; goes before Accept."),
    _whole("png_level", 0, 9, "0 (stored) to 9 (smallest)."),
    _whole("quality", 1, 100, "For WebP (default: lossless) and JPEG (default: 90)."),
)

BY_NAME = {wish.name: wish for wish in WISHES}


def read(given: Mapping[str, object], form: str | None = None) -> dict[str, Any]:
    """Fields of `qbg.options.Options`, checked; `format` is always among them.

    Args:
        given: by parameter name.
        form: what Accept asks for, where `format` says nothing.

    Raises:
        ProblemError: a parameter is unknown or wrong; the message names it.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        wish = BY_NAME.get(name)
        if wish is None:
            raise ProblemError(
                400, "parameter", f"no parameter `{name}`", hint=f"there are: model, {', '.join(BY_NAME)}"
            )
        try:
            values[name] = wish.value(value)
            if name == "background":
                values[name] = parse_color(values[name])
        except ValueError as error:
            raise ProblemError(400, "parameter", f"`{name}`: {error}") from error
    margin = values.pop("margin", None)
    if values.pop("crop", False) or margin is not None:
        values["crop"] = margin or 0
    values.setdefault("format", form or "png")
    if values["format"] == "jpeg" and not values.get("only_mask"):
        values["background"] = _on_white(values.get("background", (0, 0, 0, 0)))
    try:
        make_options(None, **values)
    except (TypeError, ValueError) as error:
        raise ProblemError(400, "parameter", str(error)) from error
    return values


def _on_white(color: Color) -> Color:
    """JPEG has no transparency: behind a translucent background, or none, there is paper."""
    red, green, blue = (round((level * color[3] + 255 * (255 - color[3])) / 255) for level in color[:3])
    return red, green, blue, 255


def accepted(header: str | None) -> str | None:
    """The format, or `json`, that an Accept header likes best; None where all are equal.

    Raises:
        ProblemError: it likes none that there is.
    """
    if not header:
        return None
    best: tuple[float, int, str | None] | None = None
    known = {media: form for form, media in MEDIA.items()} | {"application/json": "json"}
    for place, part in enumerate(header.split(",")):
        media, *details = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for detail in details:
            if detail.startswith("q="):
                try:
                    weight = float(detail[2:])
                except ValueError:
                    weight = 0.0
        form = known.get(media)
        if weight <= 0 or (form is None and media not in ("*/*", "image/*", "application/*")):
            continue
        if best is None or weight > best[0]:
            best = (weight, place, form)
    if best is None:
        raise ProblemError(
            406,
            "accept",
            "no such kind of answer",
            hint=f"there are: {', '.join([*MEDIA.values(), 'application/json'])}",
        )
    return best[2]
