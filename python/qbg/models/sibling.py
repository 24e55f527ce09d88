"""Finds the quantized file that belongs to a float one. Must not quantize, nor run either.

`qbg models quantize` writes into its file which float file it was made of. A file of the right name that was
made of another one, as before an update, is refused rather than used.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from qbg.errors import ModelError, ModelNotFoundError
from qbg.models import Resolved, resolve
from qbg.models.declared import declared_origin
from qbg.models.files import home
from qbg.models.registry import further

SUFFIX = ".int8.onnx"


def places(model: Resolved) -> tuple[Path, ...]:
    """Where the quantized file may lie: beside the float one, then in qbg's own folder.

    It is named after the float file; after the model where that is a further way to feed the file, as at
    another size: integers are found for one way only.
    """
    path = Path(model.network.path)
    name = f"{further(model.name) or path.name.removesuffix('.onnx')}{SUFFIX}"
    found = [path.with_name(name)]
    with contextlib.suppress(ModelError):  # no home folder: nothing can lie there
        found.append(home() / "models" / name)
    return tuple(dict.fromkeys(found))


def quantized(found: Resolved) -> Resolved:
    """The same model in int8: its name and recipe, the other file. A quantized one is given back as it is.

    Raises:
        ModelNotFoundError: there is no such file; a float file isn't quantized on the way.
        ModelError: there is one, but it wasn't made of this model's file or can't be used.
    """
    if found.network.precision == "int8":
        return found
    paths = places(found)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ModelNotFoundError(
            "there is no int8 file of it",
            stage="model",
            path=found.name,
            hint=f"qbg models quantize {found.name} --calibrate PHOTOS --out {paths[-1]}",
        )
    other = resolve(path, found.recipe)
    if declared_origin(other.network.declared) != found.network.digest:
        raise ModelError(
            f"it was not quantized from this file of `{found.name}`",
            stage="model",
            path=str(path),
            hint=f"qbg models quantize {found.name} --calibrate PHOTOS --out {path}",
        )
    return replace(found, network=other.network, notes=tuple(dict.fromkeys((*found.notes, *other.notes))))
