"""Which engine, precision, workers and threads a command runs with: what was asked for, else what `qbg tune`
found, else the defaults. Must not run anything.

One picture alone gets all cores, since no other picture waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from qbg import engine as engines
from qbg.cli.exits import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says; None where it says nothing.

    Attributes:
        model: name or path; None: the built-in one.
        engine, precision, workers: see `qbg.Remover`.
        latency: all cores on one picture.
    """

    model: str | None
    engine: str | None = None
    precision: str | None = None
    workers: int | None = None
    latency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How it is run; `notes` are lines for the user."""

    engine: str
    precision: str
    workers: int | None
    threads: int
    notes: tuple[str, ...] = ()


def choose(asked: Asked, pictures: int | None = None) -> Chosen:
    """Sorts it out.

    Args:
        asked: see there.
        pictures: at most so many; None where only a walk can tell.

    Raises:
        UsageError: --latency and --workers contradict each other.
    """
    from qbg import _native

    if asked.latency and asked.workers not in (None, 1):
        raise UsageError("--latency puts all cores on one picture", hint="leave out --workers")
    chosen = _engine(asked)
    cpus = max(1, int(_native.system()["default_workers"]))
    if asked.latency or (pictures == 1 and asked.workers is None):
        return replace(chosen, workers=1, threads=cpus)
    if asked.workers is not None:
        return replace(chosen, workers=asked.workers, threads=1)
    workers = max(1, cpus // chosen.threads)
    # No more than there are pictures: each costs memory and time to start.
    return replace(chosen, workers=workers if pictures is None else max(1, min(workers, pictures)))


def _engine(asked: Asked) -> Chosen:
    """Engine, precision and threads. Naming an engine or a precision passes over what was tuned."""
    default = Chosen(
        engine=asked.engine or engines.DEFAULT,
        precision=asked.precision or engines.AUTO,
        workers=None,
        threads=1,
    )
    if asked.engine is not None or asked.precision is not None:
        return default
    from qbg.tuned import recall

    found, note = recall(asked.model)
    if found is None:
        return replace(default, notes=(note,) if note else ())
    line = f"as `qbg tune` found fastest: {found.words}; --engine or --precision overrides"
    return replace(
        default, engine=found.engine, precision=found.precision, threads=found.threads, notes=(line,)
    )
