"""Elements of HTML and SVG as text, with everything escaped that comes from outside.

The only door through which a document's words reach a page: `words` for text, `tag` for an element.
Attribute values are always quoted and escaped; children are markup already. Numbers are written
short. No namespace is named, since SVG inside HTML needs none.
"""

from __future__ import annotations

import html

from qbg.report.words import plain

VOID = frozenset(("meta", "img", "br", "hr"))
"""HTML elements without an end."""
EMPTY_IN_SVG = frozenset(("path", "rect", "line", "circle", "use"))


def words(text: str) -> str:
    """Text for between tags."""
    return html.escape(plain(text), quote=False)


def tag(element: str, /, *children: str, **attributes: str | float | bool | None) -> str:
    """An element; `class_` means class and `stroke_width` means stroke-width; None and False leave one out.

    Args:
        element: its name.
        children: markup, not escaped again.
        attributes: True gives the name alone.
    """
    parts = [element]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(shown)
            continue
        text = value if isinstance(value, str) else short(value)
        parts.append(f'{shown}="{html.escape(plain(text), quote=True)}"')
    start = " ".join(parts)
    if element in VOID:
        return f"<{start}>"
    if element in EMPTY_IN_SVG and not children:
        return f"<{start}/>"
    return f"<{start}>{''.join(children)}</{element}>"


def short(value: float) -> str:
    """A coordinate to a hundredth of a pixel, without needless zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
