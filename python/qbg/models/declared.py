"""What an ONNX file says of itself to qbg, in its metadata: a recipe, and a note for the user.

`qbg models build` writes these keys; a file from elsewhere may carry them too, so the text is
checked like a recipe file's. Must not open files or know any model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qbg.errors import ModelError
from qbg.models.recipe_file import recipe_from
from qbg.recipe import Recipe

RECIPE = "qbg.recipe"
"""The fields of `qbg.recipe.Recipe` as a JSON object."""
NOTE = "qbg.note"
"""One line that the user should see."""
NETWORK = "qbg.network"
WEIGHTS = "qbg.weights"
PRECISION = "qbg.precision"
"""`int8` in files that `qbg models quantize` made."""
QUANTIZED = "qbg.quantized"
"""How it was quantized, a JSON object; `from` is the SHA-256 of the float file."""

TEXT_LIMIT = 4096
NOTE_LIMIT = 200


def declared_recipe(metadata: Mapping[str, str], path: str) -> Recipe | None:
    """The recipe that the file carries, or None.

    Raises:
        ModelError: there is one, but it can't be read.
    """
    text = metadata.get(RECIPE)
    if text is None:
        return None
    try:
        table = json.loads(text) if len(text) <= TEXT_LIMIT else None
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ModelError(
            f"the file's own recipe, `{RECIPE}` in its metadata, can't be read",
            stage="model",
            path=path,
            hint="--recipe FILE.toml takes its place",
        )
    return recipe_from(table, None, origin=path)


def declared_note(metadata: Mapping[str, str]) -> str | None:
    """The file's note, shortened to one line, or None."""
    text = metadata.get(NOTE, "").strip()
    return text.splitlines()[0][:NOTE_LIMIT] if text else None


def declared_precision(metadata: Mapping[str, str]) -> str:
    """`int8` for a file that says so of itself, else `fp32`."""
    return "int8" if metadata.get(PRECISION) == "int8" else "fp32"


def declared_origin(metadata: Mapping[str, str]) -> str | None:
    """SHA-256 of the float file that a quantized one was made of; None where it doesn't tell."""
    origin = _quantized(metadata).get("from")
    return origin if isinstance(origin, str) else None


def declared_gate(metadata: Mapping[str, str]) -> Mapping[str, Any] | None:
    """What the gate found of a quantized file's masks where it was made; None where it doesn't tell."""
    gate = _quantized(metadata).get("gate")
    return gate if isinstance(gate, dict) else None


def _quantized(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        table = json.loads(metadata.get(QUANTIZED, ""))
    except (ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def random_weights(metadata: Mapping[str, str]) -> bool:
    """Whether the weights were drawn, so that its masks mean nothing."""
    return metadata.get(WEIGHTS, "").startswith("random")
