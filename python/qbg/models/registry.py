"""Looks models up by name or by checksum. Must not open files or know an engine; the data is `catalog`'s."""

from __future__ import annotations

from qbg.models.catalog import COMPARED, DEFAULT, ENTRIES, UNSUPPORTED_ENTRIES
from qbg.models.model import Model, Unsupported

__all__ = ["COMPARED", "DEFAULT", "MODELS", "UNSUPPORTED", "Model", "Unsupported", "by_checksum", "further"]

MODELS: dict[str, Model] = {model.name: model for model in ENTRIES}
UNSUPPORTED: dict[str, Unsupported] = {entry.name: entry for entry in UNSUPPORTED_ENTRIES}


def by_checksum(sha256: str) -> Model | None:
    """The model whose file this is; where two share it, the one that the file is named after."""
    found = [model for model in MODELS.values() if model.sha256 == sha256]
    return next((model for model in found if model.file == f"{model.name}.onnx"), None)


def further(name: str | None) -> str | None:
    """The name back, if it is a further way to feed a file that is named after another model.

    None otherwise: then the file alone tells which model it is.
    """
    model = MODELS.get(name) if name is not None else None
    return name if model is not None and model.file != f"{model.name}.onnx" else None
