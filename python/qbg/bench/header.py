"""The head of a record: machine, software, and what is worked on. Must not run anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from qbg.bench import machine, plan
from qbg.bench.pictures import Pictures
from qbg.models import Resolved
from qbg.report.record import Case, Record, Subject


def host(workers: int | None = None) -> plan.Host:
    """What a plan depends on, read from this machine.

    Args:
        workers: more or fewer than the machine keeps busy.
    """
    from qbg import _native

    facts = _native.system()
    return plan.Host(
        workers=workers or max(1, int(facts["default_workers"])),
        nodes=max(1, len(facts["nodes"])),
        simd=str(facts["simd"]),
    )


def subject(
    resolved: Resolved, engine: str, precision: str, pictures: Pictures, *, only_mask: bool
) -> Subject:
    """What is worked on."""
    _one, _three, height, width = resolved.network.input_shape
    return Subject(
        model=_name(resolved),
        model_digest=resolved.network.digest,
        model_bytes=Path(resolved.network.path).stat().st_size,
        engine=engine,
        precision=precision,
        input_height_px=height,
        input_width_px=width,
        images=pictures.name,
        distinct=len(pictures.paths),
        images_bytes=pictures.total_bytes,
        mean_pixels=pictures.mean_pixels,
        images_digest=pictures.digest,
        output="mask png" if only_mask else "cut-out png",
    )


def _name(resolved: Resolved) -> str:
    """The model's name; of a file without its folder, and with what it says of itself."""
    said = resolved.network.declared
    facts = [said[key] for key in ("qbg.network", "qbg.weights") if key in said]
    name = Path(resolved.name).name
    return f"{name} ({', '.join(facts)})" if facts else name


def blank(
    title: str,
    command: Sequence[str],
    cases: tuple[Case, ...],
    worked_on: Subject,
    *,
    price_per_hour: float | None = None,
    watts: float | None = None,
) -> Record:
    """A record without outcomes. Paths in the command line are cut to their last part."""
    return Record(
        command=" ".join(_without_folders(word) for word in command),
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        title=title,
        machine=machine.machine(),
        software=machine.software(),
        subject=worked_on,
        cases=cases,
        price_per_hour=price_per_hour,
        price_source="--price-per-hour" if price_per_hour is not None else None,
        watts=watts,
    )


def _without_folders(word: str) -> str:
    """Records are shown to others; where somebody's files lie is nobody's business."""
    name, equals, value = word.partition("=")
    if equals and name.startswith("--"):
        return f"{name}={_without_folders(value)}"
    return Path(word).name or word if "/" in word or "\\" in word else word
