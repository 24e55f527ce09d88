"""How wide a text is in a sans-serif font that nobody knows yet, and where to break it.

The page uses the reader's own font, so widths can only be guessed: by classes of letters, on the
wide side of the usual system fonts (DejaVu Sans is the widest of them), so that labels that don't
touch here don't touch there. What it leaves out: kerning, ligatures, scripts written from right to
left.
"""

from __future__ import annotations

import unicodedata

_CLASSES = {"ijlI.,:;|!'`": 0.3, " ftr()[]/-": 0.39, "sckxyvz": 0.55, "mwMW%@": 0.96}
_EM = {letter: width for letters, width in _CLASSES.items() for letter in letters}
_USUAL, _CAPITAL, _FULL = 0.63, 0.7, 1.05


def text_width(text: str, size: float) -> float:
    """Width in the unit of `size`, the font's size."""
    return size * sum(_width(character) for character in text)


def _width(character: str) -> float:
    if character in _EM:
        return _EM[character]
    if ord(character) > 0x2E7F and unicodedata.east_asian_width(character) in "WF":
        return _FULL
    return _CAPITAL if character.isupper() else _USUAL


def wrap(text: str, width: float, size: float) -> list[str]:
    """Lines broken at spaces; a single word that is wider than the line stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def fits(lines: list[str], width: float, size: float) -> bool:
    """Whether no line is wider."""
    return all(text_width(line, size) <= width for line in lines)


def shorten(text: str, width: float, size: float) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}\N{HORIZONTAL ELLIPSIS}", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}\N{HORIZONTAL ELLIPSIS}"


def free_of_overlap(spans: list[tuple[float, float]], gap: float) -> list[int]:
    """Of ascending spans those to keep, so that at least `gap` lies between them; the last always stays."""
    kept: list[int] = []
    end = float("inf")
    for index in reversed(range(len(spans))):
        left, right = spans[index]
        if right + gap <= end:
            kept.append(index)
            end = left
    return kept[::-1]
