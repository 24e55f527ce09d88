"""Where model files lie, what proves them, and how qbg's own are thrown away. Must not open a graph or
reach the network.

qbg keeps what it downloads in a folder of its own and also looks where rembg keeps its files, in the
current and in the old layout, so that who has rembg has them already. rembg never checks a file again
that it has once; qbg does before each use.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from qbg.errors import ModelError, ModelNotFoundError
from qbg.models.content import refuse_strangers
from qbg.models.registry import MODELS, Model

KNOWN = f"known models are: {', '.join(MODELS)}; or give the path of an .onnx file"

_extracted = ExitStack()  # a package inside a zip is unpacked once and stays for the life of the process
_digests: dict[tuple[str, str, int, int], str] = {}
_lock = threading.Lock()


def home() -> Path:
    """qbg's own folder: QBG_HOME, else `qbg` where this system keeps a user's data."""
    given = _folder(os.environ.get("QBG_HOME"))
    if given is not None:
        return given
    if sys.platform == "win32":
        base = _folder(os.environ.get("LOCALAPPDATA")) or _folder("~/AppData/Local")
    elif sys.platform == "darwin":
        base = _folder("~/Library/Application Support")
    else:
        base = _folder(os.environ.get("XDG_DATA_HOME")) or _folder("~/.local/share")
    if base is None:
        raise ModelError("there is no home folder to keep models in", stage="model", hint="set QBG_HOME")
    return base / "qbg"


def own_path(model: Model) -> Path:
    """Where qbg itself keeps the file of a model."""
    return home() / "models" / model.file


def places(model: Model) -> list[Path]:
    """Where the file of a known model may lie, best first: qbg's folder, then rembg's.

    rembg's order of homes is U2NET_HOME, REMBG_HOME, XDG_DATA_HOME, ~/.rembg, and ~/.u2net of old; in
    each `models/NAME/NAME.onnx` of today, then `NAME.onnx`.
    """
    found = [own_path(model)]
    if not model.rembg:
        return found
    data = os.environ.get("XDG_DATA_HOME")
    texts = (
        os.environ.get("U2NET_HOME"),
        os.environ.get("REMBG_HOME"),
        str(Path(data) / "rembg") if data else None,
        "~/.rembg",
        "~/.u2net",
    )
    name = Path(model.file).stem
    for folder in map(_folder, texts):
        if folder is not None:
            found += [folder / "models" / name / model.file, folder / model.file]
    return found


def present(model: Model) -> list[Path]:
    """The files of a known model that are on this machine, best first, unchecked."""
    if model.builtin:
        return [_builtin(model)]
    return [path for path in places(model) if path.is_file()]


def find(model: Model) -> Path:
    """The file of a known model, checked. What is damaged is passed over if another copy is whole.

    Raises:
        ModelNotFoundError: it isn't on this machine; the hint says how to get it.
        ModelError: it is, but it isn't the file that it should be.
    """
    paths = present(model)
    if not paths:
        raise ModelNotFoundError("not on this machine", stage="model", path=model.name, hint=get_it(model))
    complaint = None
    for path in paths:
        found = fault(model, path)
        if found is None:
            return path
        complaint = complaint or found
    raise ModelError(
        f"not the file of `{model.name}`: {complaint}",
        stage="model",
        path=str(paths[0]),
        hint=f"{get_it(model)}; a file of your own is run with -m PATH",
    )


def get_it(model: Model) -> str:
    """What brings an absent model here, as a hint."""
    if model.how is not None:
        return model.how.format(path=own_path(model))
    return f"qbg models download {model.name}"


def fault(model: Model, path: Path) -> str | None:
    """What is wrong with a file of a known model; None where all that is known of it agrees.

    The size first: it costs nothing and tells a file that was cut short. What no checksum is known of is
    at least looked at, whether it is an ONNX file at all.
    """
    size = path.stat().st_size
    if model.bytes is not None and size != model.bytes:
        return f"it has {size:,} bytes, not {model.bytes:,}"
    for algorithm, expected in (("sha256", model.sha256), ("md5", model.md5)):
        if expected is None:
            continue
        found = checksum(path, algorithm)
        if found != expected:
            return f"its {algorithm.upper()} is {found}, not {expected}"
        break  # the better one is enough
    else:
        try:
            refuse_strangers(path)
        except ModelError as error:
            return str(error.args[0])
    return None


def digest(path: Path) -> str:
    """SHA-256 in hex, read once per process for each version of the file.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it can't be read.
    """
    return checksum(path, "sha256")


def checksum(path: Path, algorithm: str) -> str:
    """As `digest`, by `sha256` or `md5`."""
    try:
        facts = path.stat()
        if not path.is_file():
            raise ModelError("not a file", stage="model", path=str(path), hint=KNOWN)
        key = (algorithm, str(path), facts.st_size, facts.st_mtime_ns)
        with _lock:
            if key not in _digests:
                with path.open("rb") as stream:
                    made = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
                _digests[key] = made.hexdigest()
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


def discard(model: Model) -> list[Path]:
    """Removes the file of a model and what a broken download left, from qbg's own folder only.

    Returns:
        What was removed.

    Raises:
        ModelError: it may not be removed.
    """
    removed = []
    target = own_path(model)
    for path in (target, partial(target)):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ModelError(
                f"cannot be removed: {error.strerror}",
                stage="model",
                path=str(path),
                hint="remove it by hand",
            ) from error
        removed.append(path)
    return removed


def partial(target: Path) -> Path:
    """Where a download of `target` grows until it is whole and checked."""
    return target.with_name(f"{target.name}.part")


def _folder(text: str | None) -> Path | None:
    """A folder from a variable or with `~`; None for nothing, or where there is no home."""
    if not text:
        return None
    expanded = os.path.expanduser(text)  # noqa: PTH111  # pathlib's raises where there is no home
    return None if expanded.startswith("~") else Path(expanded)


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
