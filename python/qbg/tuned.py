"""What `qbg tune` found fastest, kept for `qbg remove` and `qbg bench`. Must not measure.

One JSON file in qbg's own folder, an entry per CPU, number of CPUs, model file and versions. An entry of
another CPU, file or version is none at all; one whose int8 file has changed, or a file that can't be read, is
passed over with a note: a memory that fails costs speed and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qbg.errors import OutputError, QbgError

FILE = "tuned.json"
FORMAT = 1
DISTRIBUTIONS = ("qbg", "onnxruntime", "openvino")
AGAIN = "`qbg tune` measures again"
KEPT = 200
"""Entries; the oldest are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a model is run.

    Attributes:
        engine, precision, threads: as `qbg.Remover` takes them.
        int8_digest: SHA-256 of the quantized file, where that is what was measured.
    """

    engine: str
    precision: str
    threads: int
    int8_digest: str | None = None

    @property
    def words(self) -> str:
        """For a line."""
        more = f", {self.threads} threads per worker" if self.threads > 1 else ""
        return f"{self.engine}, {self.precision}{more}"


def place() -> Path:
    """The file.

    Raises:
        ModelError: there is no home folder.
    """
    from qbg.models.files import home

    return home() / FILE


def circumstances(digest: str, name: str | None = None) -> dict[str, Any]:
    """What a choice holds for: this CPU, as many of them, this file, fed this way, these versions."""
    from qbg import _native
    from qbg.bench.system import cpu_flags
    from qbg.models.registry import further
    from qbg.versions import installed

    machine = _native.system()
    return {
        "cpu": machine["cpu"],
        "flags": sorted(cpu_flags()),
        "cpus": int(machine["default_workers"]),
        "model": " ".join(filter(None, (digest, further(name)))),
        "versions": installed(DISTRIBUTIONS),
    }


def recall(model: str | None) -> tuple[Choice | None, str | None]:
    """The choice for a model by name or path, and a note that the user should see. Never raises for a memory
    that can't be used; what is wrong with the model itself is left to who loads it."""
    from qbg.models import locate
    from qbg.models.files import digest

    try:
        path = place()
        if not path.exists():
            return None, None
        here = circumstances(digest(locate(model)), model)
    except (QbgError, OSError, ValueError):
        return None, None
    try:
        entries = _read(path)
        if not entries:
            return None, None
        entry = next((item for item in reversed(entries) if item["here"] == here), None)
        if entry is None:
            return None, _stale(entries, here)
        choice = _choice(entry["choice"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, f"{path} can't be read and is ignored; {AGAIN}"
    if choice.precision == "int8" and choice.int8_digest is not None:
        return _with_its_file(choice, model)
    return choice, None


def remember(digest: str, choice: Choice, name: str | None = None) -> Path:
    """Keeps a choice for a file, and for the model of that name, in the place of an older one.

    Raises:
        OutputError: it can't be written.
        ModelError: there is no home folder.
    """
    path, here = place(), circumstances(digest, name)
    entry = {"here": here, "choice": asdict(choice)}
    _change(path, lambda entries: [*(item for item in entries if item.get("here") != here), entry][-KEPT:])
    return path


def forget() -> Path | None:
    """Throws all of it away. The file that was removed, or None.

    Raises:
        OutputError: it can't be removed.
        ModelError: there is no home folder.
    """
    path = place()
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(str(error.strerror), stage="write", path=str(path)) from error
    return path


def _choice(data: dict[str, Any]) -> Choice:
    """Checked: what is read here is handed to engines.

    Raises:
        ValueError, TypeError: it is no choice.
    """
    choice = Choice(**data)
    words = (choice.engine, choice.precision, choice.int8_digest or "")
    if not all(isinstance(word, str) for word in words) or type(choice.threads) is not int:
        raise TypeError("wrong types")
    from qbg.engine import NAMES, PRECISIONS

    if choice.engine not in NAMES or choice.precision not in PRECISIONS or not 1 <= choice.threads <= 4096:
        raise ValueError("unknown words")
    return choice


def _with_its_file(choice: Choice, model: str | None) -> tuple[Choice | None, str | None]:
    """The choice, if the quantized file is still the one that was measured."""
    from qbg.models import resolve
    from qbg.models.sibling import quantized

    try:
        same = quantized(resolve(model)).network.digest == choice.int8_digest
    except QbgError:
        same = False
    return (choice, None) if same else (None, f"the int8 file that was tuned has changed or gone; {AGAIN}")


def _stale(entries: list[dict[str, Any]], here: dict[str, Any]) -> str | None:
    """A note if the same model was tuned on the same CPU, but with other versions."""
    for entry in entries:
        then = entry["here"]
        if all(then[name] == here[name] for name in ("cpu", "flags", "cpus", "model")):
            return f"what was tuned with other versions of qbg or an engine is ignored; {AGAIN}"
    return None


def _read(path: Path) -> list[dict[str, Any]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["format"] != FORMAT:
        raise ValueError("another format")
    entries = list(data["entries"])
    if not all(isinstance(item, dict) for item in entries):
        raise TypeError("an entry is no object")
    return entries


def _change(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    try:
        before = _read(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        before = []  # absent, or unreadable: begun anew
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, "entries": change(before)}, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(str(error.strerror), stage="write", path=str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
