"""What a batch came to, as one frozen record. Must not know how it is printed or how it was run.

Times are seconds, sizes bytes; names carry the unit. `to_json` gives the same fields to machines.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One image that could not be done.

    Attributes:
        file: the input's path, or the output's for the stage `write`.
        stage: where it happened: discover, map, decode, preprocess, infer, mask, composite, encode, write.
        message: what happened.
        hint: what can be done about it; None where nothing is known.
    """

    file: str
    stage: str
    message: str
    hint: str | None = None

    @property
    def line(self) -> str:
        """`stage path: what happened`, on one line whatever the path holds."""
        return f"{self.stage} {readable(self.file)}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a batch is.

    Attributes:
        done: images written.
        skipped: images whose output was up to date.
        failed: images that failed.
        total: images in all; None until they have been counted.
        seconds: since the batch began.
    """

    done: int
    skipped: int
    failed: int
    total: int | None
    seconds: float

    @property
    def over(self) -> int:
        """Images that need no more work."""
        return self.done + self.skipped + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a batch came to.

    Attributes:
        images: inputs met; `done`, `skipped` and `failed` add up to it unless the batch was cancelled.
        done: images cut out and written.
        skipped: images whose output was whole and newer, made with the same model and options.
        failed: one `Failure` per image that failed, in the order in which they happened.
        warnings: one line each, as when only an animation's first frame was taken.
        cancelled: whether the batch was stopped before its end.
        stopped: why, where it stopped by itself: no room for outputs, a journal that can't be written.
        seconds: wall-clock time from the first look at the inputs to the last output; no model loading.
        images_per_s: `done` / `seconds`; 0 when nothing was done.
        stage_seconds: by stage, summed over the workers: it exceeds `seconds` when several work.
        service_s: percentiles of one image's time from picked up to written: p50, p90, p95, p99, max.
            Empty when nothing was done.
        steals: where workers found their images: own, injector, local (same NUMA node), remote.
        idle_seconds: time that workers waited for work, summed.
        pixels: of the inputs that were done.
        bytes_in: of those inputs' files.
        bytes_out: of the outputs written.
        peak_rss_bytes: the process's largest resident memory up to the end; 0 where unknown.
        model: name or path of the model.
        model_digest: SHA-256 of its file, in hex.
        engine: what ran the network.
        precision: of its arithmetic, as in `fp32`.
        workers: threads that each took whole images.
        unpinned: workers that were to stay on a CPU or node, and which the system wouldn't pin.
    """

    images: int
    done: int
    skipped: int
    failed: tuple[Failure, ...]
    warnings: tuple[str, ...]
    cancelled: bool
    seconds: float
    images_per_s: float
    stage_seconds: dict[str, float]
    service_s: dict[str, float]
    steals: dict[str, int]
    idle_seconds: float
    pixels: int
    bytes_in: int
    bytes_out: int
    peak_rss_bytes: int
    model: str
    model_digest: str
    engine: str
    precision: str
    workers: int
    unpinned: int = 0
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as what `json.dumps` takes; paths that aren't valid UTF-8 are escaped."""
        values = asdict(self)
        values["failed"] = [{**failure, "file": printable(failure["file"])} for failure in values["failed"]]
        values["warnings"] = list(self.warnings)
        return values


def printable(text: str) -> str:
    """The text with bytes that were no UTF-8 as `\\xNN`, so that it can be printed and stored."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def readable(path: str) -> str:
    """The path on one line: plain where it can be, quoted and escaped where it must be."""
    text = printable(path)
    return text if text == path and path.isprintable() else repr(text).replace("\\\\x", "\\x")
