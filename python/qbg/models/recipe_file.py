"""Reads a recipe from a TOML file: the fields of `qbg.recipe.Recipe`, flat. Must not know any model.

fit = "squash"
height = 1024
width = 1024
mean = [0.5, 0.5, 0.5]
std = [1, 1, 1]
activation = "sigmoid"
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from qbg.errors import ModelError, ModelNotFoundError
from qbg.recipe import Recipe


def read_recipe(path: str | os.PathLike[str], base: Recipe | None = None) -> Recipe:
    """The recipe in a TOML file; what it doesn't name is `base`'s, or the default.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it isn't TOML, or names an unknown field or a wrong value.
    """
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFoundError(
            "no such recipe file",
            stage="model",
            path=str(file),
            hint="without --recipe the registry's recipe or a guess is taken",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"the recipe can't be read: {error}", stage="model", path=str(file)) from error
    return recipe_from(table, base, origin=str(file))


def recipe_from(table: dict[str, Any], base: Recipe | None, *, origin: str) -> Recipe:
    """The recipe in a table of fields. `origin` is what errors name."""
    valid = [field.name for field in fields(Recipe)]
    for name in table:
        if name not in valid:
            raise ModelError(
                f"the recipe has no field `{name}`",
                stage="model",
                path=origin,
                hint=f"fields are: {', '.join(valid)}",
            )
    values = dict(table)
    try:
        for name in ("mean", "std"):
            if name in values:
                values[name] = tuple(float(value) for value in values[name])
        return replace(base if base is not None else Recipe(), **values)
    except (TypeError, ValueError) as error:
        raise ModelError(str(error), stage="model", path=origin) from error
