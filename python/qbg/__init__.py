"""qbg removes backgrounds on CPUs: one photo per core, from file to cut-out.

    import qbg

    qbg.remove("photo.jpg").save("cutout.png")

    with qbg.Remover() as remover:
        summary = remover.remove_folder("photos", "cutouts")

Importing this module loads nothing but itself: everything comes with its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbg._native import __version__
    from qbg.errors import (
        DiskFullError,
        EngineError,
        InputError,
        InputNotFoundError,
        InputPermissionError,
        ModelDownloadError,
        ModelError,
        ModelNotFoundError,
        OutputError,
        OutputPermissionError,
        QbgError,
    )
    from qbg.remover import Remover, remove
    from qbg.summary import Failure, Progress, Summary

__all__ = [
    "DiskFullError",
    "EngineError",
    "Failure",
    "InputError",
    "InputNotFoundError",
    "InputPermissionError",
    "ModelDownloadError",
    "ModelError",
    "ModelNotFoundError",
    "OutputError",
    "OutputPermissionError",
    "Progress",
    "QbgError",
    "Remover",
    "Summary",
    "__version__",
    "remove",
]

_HOMES = {
    "__version__": "qbg._native",
    "remove": "qbg.remover",
    "Remover": "qbg.remover",
    "Summary": "qbg.summary",
    "Failure": "qbg.summary",
    "Progress": "qbg.summary",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'qbg' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "qbg.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
