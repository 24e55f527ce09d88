"""Where model files lie, and their checksums. Must not open a graph, and downloads nothing.

Known models are looked for where rembg keeps them, so that who has rembg has them already.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import ExitStack
from pathlib import Path

from qbg.errors import ModelError, ModelNotFoundError
from qbg.models.registry import MODELS, Model

KNOWN = f"known models are: {', '.join(MODELS)}; or give the path of an .onnx file"

_extracted = ExitStack()  # a package inside a zip is unpacked once and stays for the life of the process
_digests: dict[tuple[str, int, int], str] = {}
_lock = threading.Lock()


def places(model: Model) -> list[Path]:
    """Where the file of a known model may lie, best first. rembg's order of homes, new layout then old."""
    variables = ("U2NET_HOME", "REMBG_HOME")
    homes = [Path(os.environ[name]).expanduser() for name in variables if os.environ.get(name)]
    if os.environ.get("XDG_DATA_HOME"):
        homes.append(Path(os.environ["XDG_DATA_HOME"]).expanduser() / "rembg")
    homes += [Path("~/.rembg").expanduser(), Path("~/.u2net").expanduser()]
    found: list[Path] = []
    for home in homes:
        found += [home / "models" / model.name / model.file, home / model.file]
    return found


def find(model: Model) -> Path:
    """The file of a known model.

    Raises:
        ModelNotFoundError: it isn't on this machine; the hint says where it can be had and put.
    """
    if model.builtin:
        return _builtin(model)
    candidates = places(model)
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(str(path) for path in candidates)
    raise ModelNotFoundError(
        f"`{model.name}` is not on this machine; looked for {looked}",
        stage="model",
        path=model.name,
        hint=f"download {model.url} and save it as {candidates[0]}",
    )


def digest(path: Path) -> str:
    """SHA-256 in hex, read once per process for each version of the file.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it can't be read.
    """
    try:
        facts = path.stat()
        if not path.is_file():
            raise ModelError("not a file", stage="model", path=str(path), hint=KNOWN)
        key = (str(path), facts.st_size, facts.st_mtime_ns)
        with _lock:
            if key not in _digests:
                with path.open("rb") as stream:
                    _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
            return _digests[key]
    except FileNotFoundError:
        raise ModelNotFoundError(
            "no such file",
            stage="model",
            path=str(path),
            hint=KNOWN,
        ) from None
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}",
            stage="model",
            path=str(path),
            hint="check the path and who may read it",
        ) from error


def _builtin(model: Model) -> Path:
    from importlib.resources import as_file, files

    resource = files("qbg.models").joinpath("data", model.file)
    if isinstance(resource, Path):
        path = resource
    else:
        with _lock:
            path = _extracted.enter_context(as_file(resource))
    if not path.is_file():
        raise ModelNotFoundError(
            "the built-in model is missing from this installation",
            stage="model",
            path=str(path),
            hint="install qbg again",
        )
    return path
