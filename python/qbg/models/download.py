"""Brings a model's file to this machine: from the first source that delivers the right bytes, or not at all.

The file grows beside its place as NAME.part and is renamed once size and checksum are right, so that whoever
finds NAME finds it whole. What a cut connection left stays and is continued next time; what turned out wrong,
or what filled the disk, is removed. One process at a time downloads a file; another waits and then uses it.
Must not print: `listen` hears what happens.

Sources: those that the user names (`mirrors`, else QBG_MIRROR) and no others; else the registry's address
and its mirrors. QBG_OFFLINE forbids all of it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from qbg.errors import ModelDownloadError, ModelError, ModelNotFoundError
from qbg.models.content import refuse_strangers
from qbg.models.files import checksum, fault, get_it, own_path, partial, present
from qbg.models.lock import only_one
from qbg.models.registry import Model
from qbg.models.transfer import StorageError, TransferError, out_of_space, shown, sync, transfer

ATTEMPTS = 4
"""At one source in a row without a new byte."""

PAUSE_S = 1.0
"""Before the second attempt; doubled before each further one."""


class Listener(Protocol):
    """Hears what a download does."""

    def say(self, line: str) -> None:
        """Something that a person should know."""

    def tick(self, here: int, whole: int | None) -> None:
        """So many bytes are here, of so many where that is known. Called for each block."""


class Silence:
    """A listener for nobody."""

    def say(self, line: str) -> None: ...

    def tick(self, here: int, whole: int | None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One address. `given`: by the user, who may name plain http."""

    url: str
    given: bool


def offline() -> bool:
    """Whether QBG_OFFLINE forbids downloads."""
    return os.environ.get("QBG_OFFLINE", "") not in ("", "0")


def sources(model: Model, mirrors: Sequence[str] = ()) -> list[Source]:
    """Where the file may come from, in the order of trial.

    A mirror is the address of a folder that holds the registry's files by their names in qbg
    (`qbg models info`), or of the file itself.
    """
    bases = list(mirrors) or os.environ.get("QBG_MIRROR", "").split()
    if bases:
        return [Source(url=_in_folder(base, model.file), given=True) for base in bases]
    return [Source(url=url, given=False) for url in (model.url, *model.mirrors) if url]


def download(
    model: Model, *, mirrors: Sequence[str] = (), listener: Listener | None = None, force: bool = False
) -> Path:
    """The model's file on this machine, downloaded if it isn't there yet.

    Args:
        model: of the registry.
        mirrors: sources to use instead of the registry's.
        listener: hears about progress.
        force: download it into qbg's folder even if a good file is here.

    Returns:
        The file, checked: qbg's own, or where rembg keeps it.

    Raises:
        ModelNotFoundError: it has to be built; the hint says how.
        ModelDownloadError: no source delivered the right bytes, downloads are forbidden, or the disk is full.
    """
    listener = listener or Silence()
    if model.builtin:
        return present(model)[0]
    if not force:
        for path in present(model):
            complaint = fault(model, path)
            if complaint is None:
                return path
            listener.say(f"{path} is not the file of `{model.name}`: {complaint}")
    if model.url is None:
        raise ModelNotFoundError(
            "there is nothing to download: it is built on this machine",
            stage="model",
            path=model.name,
            hint=get_it(model),
        )
    if offline():
        raise ModelDownloadError(
            "not downloaded: QBG_OFFLINE is set",
            stage="model",
            path=model.name,
            hint=f"unset it, or put the file there yourself: {own_path(model)}",
        )
    target = own_path(model)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_one(
            target.with_name(f".{target.name}.lock"),
            lambda: listener.say(f"another process is downloading {model.file}: waiting for it"),
        ):
            if force or not _is_good(model, target):
                _fetch(model, target, sources(model, mirrors), listener)
    except StorageError as error:
        raise _unwritable(model, target, error.__cause__) from error
    except OSError as error:
        if isinstance(error, ModelError):
            raise
        raise _unwritable(model, target, error) from error
    return target


def _fetch(model: Model, target: Path, chain: list[Source], listener: Listener) -> None:
    """From the first source that delivers. Holds the lock."""
    part = partial(target)
    if not _can_continue(model):
        part.unlink(missing_ok=True)
    complaints: list[str] = []
    hint = None
    for source in chain:
        listener.say(f"{model.file} from {shown(source.url)}")
        try:
            _ask_for_space(model, part)
            _from(model, source, part, listener)
            sync(part)
            part.replace(target)
        except TransferError as error:
            complaints.append(f"{shown(source.url)}: {error}")
            hint = error.hint or hint
            listener.say(complaints[-1])
        except StorageError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        else:
            return
    kept = f" ({part.stat().st_size:,} bytes are kept and continued next time)" if part.exists() else ""
    raise ModelDownloadError(
        f"couldn't be downloaded: {'; '.join(complaints)}{kept}",
        stage="model",
        path=model.name,
        hint=hint or f"try again later, name another source with --mirror, or save the file as {target}",
    )


def _from(model: Model, source: Source, part: Path, listener: Listener) -> None:
    """One source, again while that helps; then once more from the start if a continued file is wrong.

    Raises:
        TransferError: it has no right bytes to give; nothing wrong is left.
    """
    continued = part.exists() and part.stat().st_size > 0
    while True:
        _patiently(model, source, part, listener)
        complaint = _wrong(model, part)
        if complaint is None:
            return
        part.unlink()
        if not continued:
            raise TransferError(f"it sent other bytes: {complaint}")
        # The beginning may have been another file's, or another source's.
        listener.say(f"what was continued is wrong, so it starts anew: {complaint}")
        continued = False


def _patiently(model: Model, source: Source, part: Path, listener: Listener) -> None:
    failures, before = 0, -1
    while True:
        try:
            transfer(source.url, part, size=model.bytes, any_scheme=source.given, tick=listener.tick)
        except TransferError as error:
            here = part.stat().st_size if part.exists() else 0
            failures = 1 if here > before >= 0 else failures + 1
            before = here
            if not error.again or failures >= ATTEMPTS or (here and not _can_continue(model)):
                raise
            listener.say(f"{error}: trying again")
            time.sleep(PAUSE_S * 2 ** (failures - 1))
        else:
            return


def _can_continue(model: Model) -> bool:
    """Whether a checksum will tell if two halves belong together."""
    return model.sha256 is not None or model.md5 is not None


def _wrong(model: Model, part: Path) -> str | None:
    """What is wrong with the bytes. A web page or the like is named as what it is."""
    complaint = fault(model, part)
    if complaint is None:
        return None
    try:
        refuse_strangers(part)
    except ModelError as error:
        return f"{error.args[0]}; {complaint}"
    return complaint


def _ask_for_space(model: Model, part: Path) -> None:
    """Raises StorageError now rather than after an hour."""
    if model.bytes is None:
        return
    missing = model.bytes - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        import errno

        raise StorageError from OSError(errno.ENOSPC, f"{missing:,} bytes are to come, {free:,} are free")


def _is_good(model: Model, target: Path) -> bool:
    return target.is_file() and fault(model, target) is None


def _in_folder(base: str, file: str) -> str:
    return base if urlsplit(base).path.endswith(".onnx") else f"{base.rstrip('/')}/{file}"


def _unwritable(model: Model, target: Path, cause: BaseException | None) -> ModelDownloadError:
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    full = isinstance(cause, OSError) and out_of_space(cause)
    return ModelDownloadError(
        f"{target.parent} is full: {words}" if full else f"{target} can't be written: {words}",
        stage="model",
        path=model.name,
        hint="make room, or set QBG_HOME to another folder" if full else "set QBG_HOME to another folder",
    )


def describe(model: Model, path: Path) -> str:
    """What is known of a file that passed, in words."""
    if not model.evidence.verified:
        return f"{model.evidence}; SHA-256 {checksum(path, 'sha256')}"
    return str(model.evidence)
