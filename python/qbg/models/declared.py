"""What an ONNX file says of itself to qbg, in its metadata: a recipe, and a note for the user.

`qbg models build` writes these keys; a file from elsewhere may carry them too, so the text is
checked like a recipe file's. Must not open files or know any model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from qbg.errors import ModelError
from qbg.models.recipe_file import recipe_from
from qbg.recipe import Recipe

RECIPE = "qbg.recipe"
"""The fields of `qbg.recipe.Recipe` as a JSON object."""
NOTE = "qbg.note"
"""One line that the user should see."""
NETWORK = "qbg.network"
WEIGHTS = "qbg.weights"
QUANTIZED = "qbg.quantized"

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


def made_from(declared: Mapping[str, str]) -> str | None:
    """SHA-256 of the float file that an int8 one was made of; None where it doesn't say so."""
    try:
        facts = json.loads(declared.get(QUANTIZED, "{}"))
    except ValueError:
        return None
    source = facts.get("from") if isinstance(facts, dict) else None
    return source if isinstance(source, str) else None
