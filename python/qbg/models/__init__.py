"""From a model's name or path to what runs it: file, digest, graph facts and recipe.

Must not know who runs it. ONNX Runtime is loaded only for a file that isn't the built-in one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from qbg.errors import ModelNotFoundError
from qbg.models.content import refuse_strangers
from qbg.models.declared import declared_note, declared_recipe
from qbg.models.files import KNOWN, digest, find
from qbg.models.model import Evidence
from qbg.models.recipe_file import read_recipe
from qbg.models.registry import COMPARED, DEFAULT, MODELS, UNSUPPORTED, Model, by_checksum
from qbg.network import Network
from qbg.recipe import Recipe

__all__ = [
    "COMPARED",
    "DEFAULT",
    "MODELS",
    "UNSUPPORTED",
    "Model",
    "Resolved",
    "locate",
    "read_recipe",
    "resolve",
    "unknown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A model that can be run.

    Attributes:
        name: registry name, or the path as it was given.
        recipe: how to feed and read it.
        network: the file's facts, sizes filled in.
        license: of the weights; None where unknown.
        notes: lines that the user should see, as about a guessed recipe or an unknown checksum.
    """

    name: str
    recipe: Recipe
    network: Network
    license: str | None
    notes: tuple[str, ...]


def resolve(
    name: str | os.PathLike[str] | None = None, recipe: Recipe | str | os.PathLike[str] | None = None
) -> Resolved:
    """Finds a model.

    Args:
        name: a name of `MODELS` or the path of an ONNX file. None: the built-in model.
        recipe: a recipe, or the path of a TOML file, instead of the registry's (which a known file
            gets by whatever path, because its checksum tells), the one that the file carries, or
            the guessed one.

    Raises:
        ModelNotFoundError: no such file or name.
        ModelError: the file can't be loaded, isn't a network that qbg can run, or contradicts the recipe.
        EngineError: ONNX Runtime, which opens unknown graphs, isn't there.
    """
    text = DEFAULT if name is None else os.fspath(name)
    model = MODELS.get(text)
    path = locate(text)
    sha256 = digest(path)
    if model is None:
        # A known file by its path is as known as by its name.
        model = by_checksum(sha256)
    if isinstance(recipe, Recipe) or recipe is None:
        given = recipe
    else:
        given = read_recipe(recipe, base=model.recipe if model else None)
    if model is not None and given is None and _known_graph(model, sha256):
        return Resolved(
            name=text,
            recipe=model.recipe,
            network=_network(model, path, sha256),
            license=model.license,
            notes=_terms(model),
        )
    return _inspected(text, model, path, sha256, given)


def locate(name: str | os.PathLike[str] | None = None) -> Path:
    """The file of a model by name or path; a named one's is checked. Opens no graph.

    Raises:
        ModelNotFoundError, ModelError: as for `resolve`.
    """
    text = DEFAULT if name is None else os.fspath(name)
    model = MODELS.get(text)
    if model is None and not _looks_like_a_file(text):
        raise unknown(text)
    return find(model) if model is not None else Path(text)


def _inspected(text: str, model: Model | None, path: Path, sha256: str, given: Recipe | None) -> Resolved:
    from qbg.models.graph import fit, guess, inspect

    notes = list(_terms(model))
    if model is not None and model.evidence is Evidence.NONE:
        notes.append(f"no checksum of `{model.name}` is known; the SHA-256 of {path} is {sha256}")
    refuse_strangers(path)
    network = inspect(path, sha256, model.output if model is not None else 0)
    recipe = given
    if recipe is None and (model is None or model.how):
        # What `qbg models build` made says itself how it wants its input, its size above all.
        recipe = declared_recipe(network.declared, str(path))
    if recipe is None and model is not None:
        recipe = model.recipe
    note = declared_note(network.declared)
    if note is not None:
        notes.append(f"{path}: {note}")
    if recipe is None:
        recipe, line = guess(network)
        notes.append(line)
    return Resolved(
        name=text,
        recipe=recipe,
        network=fit(network, recipe),
        license=model.license if model is not None else None,
        notes=tuple(notes),
    )


def _terms(model: Model | None) -> tuple[str, ...]:
    warning = model.warning if model is not None else None
    return () if warning is None else (warning,)


def unknown(name: str) -> ModelNotFoundError:
    """The error for a name that is no model's: why it can't be run, or which ones can."""
    entry = UNSUPPORTED.get(name)
    if entry is not None:
        return ModelNotFoundError(
            f"not supported: {entry.reason}", stage="model", path=name, hint=entry.instead
        )
    return ModelNotFoundError("no such model", stage="model", path=name, hint=KNOWN)


def _known_graph(model: Model, sha256: str) -> bool:
    return model.sha256 == sha256 and model.input_name is not None and model.output_name is not None


def _network(model: Model, path: Path, sha256: str) -> Network:
    size = (model.recipe.height, model.recipe.width)
    return Network(
        path=str(path),
        digest=sha256,
        input_name=model.input_name or "",
        input_shape=(1, 3, *size),
        output_name=model.output_name or "",
        output_shape=(1, *size),
    )


def _looks_like_a_file(text: str) -> bool:
    return text.lower().endswith(".onnx") or os.sep in text or Path(text).is_file()
