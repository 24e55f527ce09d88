"""qbg beside rembg: the same pictures, model and CPUs, in turns, each in a fresh process, start-up included.

    rembg p -m u2netp IN OUT
    qbg remove -m u2netp IN OUT

A turn is what a user waits for: from the shell's command to the last output. Both write cut-outs as PNG with
their own defaults. Left out: making IN, looking at and deleting OUT, the first turns of each (cold caches).
After every turn each picture's alpha is held against the other program's; unlike ones are no comparison.
Must not know how the result is shown. rembg is only run here, never imported, and finds its weights: nothing
is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qbg.errors import QbgError
from qbg.models import COMPARED, resolve
from qbg.report import record

MODEL = COMPARED
"""Built in here, and one of rembg's: the same file."""

ALIKE_LEVELS = 1.0
"""Largest mean difference of a picture's alpha, in levels of 255. Rounding makes about 0.1, the bundled
pictures and rembg 2.0.86; another network or a mirrored picture makes tens."""

QBG = (sys.executable, "-P", "-m", "qbg")
HINT = "pip install 'rembg[cpu,cli]' into an environment of its own, then give --rembg-python ENV/bin/python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rembg:
    """An installed rembg.

    Attributes:
        program: its command, as a path.
        version: as it says itself, such as `2.0.86`.
    """

    program: str
    version: str


def find_rembg(python: str | os.PathLike[str] | None = None) -> Rembg:
    """The rembg beside that interpreter; without one, beside this interpreter or on PATH.

    Raises:
        QbgError: it isn't there, or doesn't start; says what to install.
    """
    name = "rembg.exe" if os.name == "nt" else "rembg"
    beside = Path(sys.executable if python is None else python).with_name(name)
    program = str(beside) if beside.is_file() else None
    if program is None and python is None:
        program = shutil.which("rembg")
    if program is None:
        where = "is not installed here" if python is None else f"there is no {beside}"
        raise QbgError(where, stage="rembg", hint=HINT)
    try:
        done = _run([program, "--version"], environment=_rembg_environment(None))
    except OSError as error:
        raise QbgError(f"does not start: {error}", stage="rembg", path=program, hint=HINT) from error
    words = done.stdout.split()
    if done.returncode != 0 or not words:
        raise QbgError(f"does not start: {_last(done.stderr)}", stage="rembg", path=program, hint=HINT)
    return Rembg(program=program, version=words[-1])


def compare(
    rembg: Rembg,
    photos: Sequence[Path],
    *,
    rounds: int = 5,
    warm_up: int = 1,
    workers: int | None = None,
    cpus: Sequence[int] | None = None,
    on_turn: Callable[[str, float], object] | None = None,
) -> record.Rival:
    """Both programs on the photos, A B A B.

    Args:
        rembg: from `find_rembg`.
        photos: files that both can read.
        rounds: turns of each that are kept.
        warm_up: turns of each before them.
        workers: of qbg; None: its own default.
        cpus: that both may use; None: those that this process may.
        on_turn: called after each turn, warm-up too, with the program's name and its seconds.

    Raises:
        QbgError: a program failed, left pictures out, or the two don't cut out alike.
    """
    if not photos:
        raise QbgError("there are no photos", stage="compare")
    options = ["--model", MODEL] + ([] if workers is None else ["--workers", str(workers)])
    with tempfile.TemporaryDirectory(prefix="qbg-compare-") as work:
        source, targets = Path(work) / "in", {name: Path(work) / name for name in ("qbg", "rembg")}
        numbered(photos, source)

        off: list[float] = []

        def ours() -> float:
            return float(run_qbg(source, targets["qbg"], *options, cpus=cpus)["wall_s"])

        def theirs() -> float:
            seconds = run_rembg(rembg, source, targets["rembg"], home=Path(work) / "home", cpus=cpus)
            off[:] = check_alike(photos, targets["qbg"], targets["rembg"])
            return seconds

        times = interleave({"qbg": ours, "rembg": theirs}, rounds, warm_up, on_turn)
    return record.Rival(
        name="rembg",
        version=rembg.version,
        pictures=len(photos),
        qbg_s=tuple(times["qbg"]),
        rival_s=tuple(times["rembg"]),
        alpha_off_levels=tuple(off),
    )


def numbered(photos: Sequence[Path], folder: Path) -> None:
    """The photos in a new folder as 00000.jpg, .. (links or copies): no two outputs then have one name."""
    folder.mkdir()
    for number, photo in enumerate(photos):
        place = folder / f"{number:05}{photo.suffix.lower()}"
        try:
            os.link(photo.resolve(), place)
        except OSError:
            shutil.copyfile(photo, place)


def run_qbg(source: Path, target: Path, *options: str, cpus: Sequence[int] | None = None) -> dict[str, Any]:
    """`qbg remove` in a fresh process, into an empty folder.

    Returns:
        Its JSON summary, and `wall_s`: seconds of the whole process.

    Raises:
        QbgError: it failed, or not all pictures were done.
    """
    shutil.rmtree(target, ignore_errors=True)
    command = [*QBG, "remove", str(source), str(target), "--json", "--quiet", *options]
    begin = time.perf_counter()
    done = _run(command, cpus=cpus)
    wall_s = time.perf_counter() - begin
    if done.returncode != 0:
        raise QbgError(f"ended with {done.returncode}: {_last(done.stderr)}", stage="qbg")
    summary: dict[str, Any] = json.loads(done.stdout)
    if summary["done"] != summary["images"]:
        raise QbgError(f"did {summary['done']} of {summary['images']} pictures", stage="qbg")
    return summary | {"wall_s": wall_s}


def run_rembg(
    rembg: Rembg, source: Path, target: Path, *, home: Path, cpus: Sequence[int] | None = None
) -> float:
    """Seconds of `rembg p -m u2netp` in a fresh process, into an empty folder.

    Args:
        rembg: from `find_rembg`.
        source, target: folders.
        home: folder for its weights; they are put there if they aren't yet.
        cpus: that it may use; None: those that this process may.

    Raises:
        QbgError: it failed, or left pictures out.
    """
    _put_weights(home)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    command = [rembg.program, "p", "-m", MODEL, str(source), str(target)]
    begin = time.perf_counter()
    done = _run(command, cpus=cpus, environment=_rembg_environment(home))
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        message = f"ended with {done.returncode}: {_last(done.stderr)}"
        raise QbgError(message, stage="rembg", path=rembg.program)
    expected, made = len(list(source.iterdir())), len(list(target.iterdir()))
    if made != expected:
        raise QbgError(f"did {made} of {expected} pictures", stage="rembg", path=rembg.program)
    return seconds


def alpha_off_levels(one: Path, other: Path) -> float:
    """Mean absolute difference of two cut-outs' alpha, in levels of 255.

    Raises:
        QbgError: they differ in size.
        OSError: one isn't there, or is no picture.
    """
    from PIL import Image

    planes = []
    for path in (one, other):
        with Image.open(path) as image:
            planes.append(np.asarray(image.convert("RGBA"), np.float32)[:, :, 3])
    if planes[0].shape != planes[1].shape:
        raise QbgError(f"{planes[0].shape} and {planes[1].shape} pixels", stage="compare", path=str(one))
    return float(np.abs(planes[0] - planes[1]).mean())


def check_alike(photos: Sequence[Path], ours: Path, theirs: Path) -> list[float]:
    """`alpha_off_levels` of each photo's two cut-outs, which bear its number.

    Raises:
        QbgError: a cut-out isn't there or can't be read, or the two differ by more than `ALIKE_LEVELS`.
    """
    off = []
    for number, photo in enumerate(photos):
        name = f"{number:05}.png"
        try:
            off.append(alpha_off_levels(ours / name, theirs / name))
        except OSError as error:
            raise QbgError(f"no cut-out: {error}", stage="compare", path=str(photo)) from error
        if off[-1] > ALIKE_LEVELS:
            message = f"the two cut-outs' alpha differs by {off[-1]:.1f} levels, allowed are {ALIKE_LEVELS:g}"
            raise QbgError(message, stage="compare", path=str(photo))
    return off


def interleave(
    contestants: dict[str, Callable[[], float]],
    rounds: int,
    warm_up: int = 1,
    on_turn: Callable[[str, float], object] | None = None,
) -> dict[str, list[float]]:
    """Each contestant's own measure, in turns: A B C, A B C, ... Warm-up rounds are run and not kept."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, measure in contestants.items():
            value = measure()
            if on_turn is not None:
                on_turn(name, value)
            if turn >= warm_up:
                times[name].append(value)
    return times


def _put_weights(home: Path) -> None:
    """Where rembg looks: the newer layout, and the flat one of before. Its download is then left out."""
    weights = Path(resolve(MODEL).network.path)
    for place in (home / "models" / MODEL / f"{MODEL}.onnx", home / f"{MODEL}.onnx"):
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, place)


def _rembg_environment(home: Path | None) -> dict[str, str]:
    """As out of the box: OMP_NUM_THREADS would hold it back, PYTHONPATH may be for another Python."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "PYTHONPATH")
    }
    return kept if home is None else kept | {"U2NET_HOME": str(home)}


def _run(
    command: Sequence[str], *, cpus: Sequence[int] | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A process to its end, on those CPUs where the system can bind one."""
    with _bound(cpus):
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )


@contextlib.contextmanager
def _bound(cpus: Sequence[int] | None) -> Iterator[None]:
    """Binds this thread for a while: a process that it starts meanwhile is bound for good."""
    if cpus is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _last(text: str) -> str:
    """The last line that says something: of a traceback, the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"
