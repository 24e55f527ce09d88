"""One run of one case, in a process of its own: a crash costs one case, and memory is that of the case
alone.

    python -m qbg.bench.child SPEC.json

Reads what to do from the file, prints a JSON line of progress a few times a second, and writes the
outcome beside the file. Must not know other cases, nor draw conclusions. Only `qbg.bench.run` starts it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg.bench.window import WARM_UP_PICTURES, Window, asked_share, measure
from qbg.errors import InputError, QbgError
from qbg.report.record import Case, Memory

if TYPE_CHECKING:
    from qbg.batch import Batch
    from qbg.bench.watch import Seen, Watch
    from qbg.engine import Engine
    from qbg.network import Network
    from qbg.summary import Progress, Summary

TELL_S = 0.25
MOST_PICTURES = 100_000_000
"""More pictures than any run by time gets through."""

LEAST_PER_WORKER, LEAST = 8, 24
"""Pictures that each worker, and all together, should end in a window given by time: it is stretched for
them. A window of fewer says too little to be valid."""

STRETCH = 4.0
"""But at most to so many times its length."""

TIMES_KEPT = 4000

SEED = 251


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a child is told.

    Attributes:
        case, repeat: what to run.
        model: name or path; None: the built-in one.
        engine: for cases that name none.
        images: folder of the pictures.
        output: folder for the outputs; not yet there.
        only_mask: write masks instead of cut-outs.
        keep_every: see `qbg.trial.Trial`.
        service_s: measured service times that a simulation draws from; empty: a fixed time.
        precision, threads: see `qbg.Remover`; threads are those of a worker.
        stretch: a window given by time grows at most to so many times its length for its pictures.
    """

    case: Case
    repeat: int
    model: str | None
    engine: str
    images: str
    output: str
    only_mask: bool
    keep_every: int
    service_s: tuple[float, ...] = ()
    precision: str = "auto"
    threads: int = 1
    stretch: float = STRETCH

    def save(self, path: Path) -> None:
        """Writes it for the child to read."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Spec:
        """Reads it back."""
        data = json.loads(path.read_text(encoding="utf-8"))
        case = {item.name: data["case"][item.name] for item in fields(Case)}
        case["off"] = tuple(case["off"])
        data |= {"case": Case(**case), "service_s": tuple(data["service_s"])}
        return cls(**data)


def main(arguments: list[str]) -> int:
    """Runs the case of the spec file; the outcome goes to the same name with `.out`. 0, 1 or 130."""
    place = Path(arguments[0])
    spec = Spec.load(place)
    try:
        outcome = run(spec, place.parent)
    except QbgError as error:
        answer: dict[str, Any] = {"error": str(error), "kind": type(error).__name__}
    except ValueError as error:
        answer = {"error": str(error), "kind": "ValueError"}
    except KeyboardInterrupt:
        return 130
    else:
        answer = {"outcome": outcome}
    place.with_suffix(".out").write_text(json.dumps(answer), encoding="utf-8")
    return 0 if "outcome" in answer else 1


def run(spec: Spec, scratch: Path) -> dict[str, Any]:
    """The outcome as plain values, without `began_s`, which the parent knows.

    Raises:
        QbgError: model, engine or pictures can't be used, or the run was too short to say anything.
    """
    from qbg.bench import system, watch

    _load_libraries()
    if spec.case.kind == "simulated":
        _end_waits_on_time()
    before_bytes = system.rss_bytes()
    with _Subject(spec, scratch) as subject:
        observer = watch.Watch().start()
        began = time.monotonic()
        batch = subject.start()
        summary, stop_s = _follow(batch, spec, observer, began)
        seen = observer.stop()
        memory = watch.memory(
            seen, before_bytes=before_bytes, loaded_bytes=None, slots_bytes=subject.slots_bytes
        )
        samples = batch.samples()
        window = measure(samples, workers=spec.case.workers, stop_s=stop_s)
        early_s = began - seen.began_s
        outcome = _outcome(spec.case, spec.repeat, summary, window, seen, memory, early_s)
        if spec.case.service_s is not None and window is not None:
            outcome["asked_share"] = asked_share(samples, window, _asked_s(spec))
        return outcome


def _load_libraries() -> None:
    """What every run loads, so that memory before the model is that of the libraries."""
    import numpy as np

    from qbg import _native
    from qbg.engine.onnx import load_onnxruntime

    load_onnxruntime()
    np.asarray(_native.SAMPLE_COLUMNS)


PR_SET_TIMERSLACK = 29


def _end_waits_on_time() -> None:
    """Linux lets a wait end up to 50 microseconds late to save wake-ups, which 384 workers would be charged
    for. Threads take the setting over from the one that makes them."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)


class _Subject:
    """The workers of a case, and how their batch is started."""

    def __init__(self, spec: Spec, scratch: Path) -> None:
        from qbg.remover import Remover

        case, off = spec.case, set(spec.case.off)
        simulated = case.kind == "simulated"
        self._spec = spec
        self._remover = Remover(
            spec.model,
            engine=_engine(spec),
            precision=spec.precision if (case.engine or spec.engine) == spec.engine else "auto",
            threads_per_worker=spec.threads,
            workers=case.workers,
            pin="off" if "pin" in off else "auto",
            simd="scalar" if "simd" in off else "auto",
            root=str(scratch / "imitation") if simulated else "/",
            only_mask=spec.only_mask,
        )

    def __enter__(self) -> _Subject:
        return self

    def __exit__(self, *raised: object) -> None:
        self._remover.close()

    @property
    def slots_bytes(self) -> int:
        """Of all workers' tensors, by their shapes."""
        return self._remover.tensor_bytes * self._spec.case.workers

    def start(self) -> Batch:
        """Starts the batch."""
        from qbg.options import FolderOptions
        from qbg.trial import Trial

        spec, off = self._spec, set(self._spec.case.off)
        pixels = spec.case.kind != "simulated"
        arrivals = arrivals_ns(spec.case)
        trial = Trial(
            count=spec.case.count or (MOST_PICTURES if arrivals is None else None),
            keep_every=spec.keep_every,
            arrivals_ns=arrivals,
            pixels=pixels,
            stealing="stealing" not in off,
            lock_free="lock_free" not in off,
            ring="ring" not in off,
            reuse="reuse" not in off,
            mmap="mmap" not in off,
        )
        inputs = [spec.images] if pixels else []
        # The separator says that a folder is meant: it isn't there yet.
        output = os.path.join(spec.output, "") if pixels else None
        return self._remover.start(inputs, output, FolderOptions(overwrite=True), trial=trial)


def _asked_s(spec: Spec) -> list[Sequence[float]]:
    """By worker, what a simulation's calls wait."""
    from qbg.engine.simulated import order

    case = spec.case
    if not spec.service_s:
        return [(case.service_s or 0.0,)] * case.workers
    return [order(spec.service_s, worker) for worker in range(case.workers)]


def _engine(spec: Spec) -> str | Callable[[Network], Engine]:
    """The case's engine: by name, or made so that a part of it is switched off."""
    case, off = spec.case, set(spec.case.off)
    if case.kind == "simulated":
        from qbg.engine.simulated import SimulatedEngine

        return partial(SimulatedEngine, seconds=case.service_s, times=spec.service_s)
    name = case.engine or spec.engine
    if name == "onnxruntime" and off & {"shared_weights", "numa"}:
        from qbg.engine.onnx import OnnxEngine

        return partial(OnnxEngine, sessions="worker" if "shared_weights" in off else "one")
    return name


def arrivals_ns(case: Case) -> tuple[int, ...] | None:
    """A Poisson process of the case's rate, nanoseconds after the start; None for a closed loop.

    The same for each repeat, so that repeats differ by the machine alone.
    """
    if case.rate_per_s is None:
        return None
    import numpy as np

    count = max(1, round(case.rate_per_s * (case.seconds or 0.0)))
    gaps = np.random.default_rng(SEED).exponential(1e9 / case.rate_per_s, count)
    return tuple(np.cumsum(gaps).astype(np.int64).tolist())


def _follow(batch: Batch, spec: Spec, observer: Watch, began: float) -> tuple[Summary, float | None]:
    """Waits until the case has run long enough. What it came to, and when it was stopped, seconds since its
    start; None if it ended by itself."""
    case = spec.case
    warm, least = WARM_UP_PICTURES * case.workers, max(LEAST_PER_WORKER * case.workers, LEAST)
    by_time = case.count is None and case.rate_per_s is None
    warm_s: float | None = None
    stop_s: float | None = None
    told = began

    def look(progress: Progress) -> None:
        nonlocal told, warm_s, stop_s
        observer.tick()
        now = time.monotonic()
        if now - told >= TELL_S:
            told = now
            _tell(progress.over, case.count, now - began)
        if warm_s is None and progress.over >= warm:
            warm_s = now
        if by_time and stop_s is None and warm_s is not None and case.seconds is not None:
            long_enough = now - warm_s >= case.seconds and progress.over - warm >= least
            if long_enough or now - warm_s >= spec.stretch * case.seconds:
                batch.cancel()
                stop_s = now - began

    return batch.wait(look), stop_s


def _tell(done: int, total: int | None, seconds: float) -> None:
    try:
        sys.stdout.write(json.dumps({"done": done, "total": total, "seconds": seconds}) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The parent is gone: nobody wants the outcome.
        raise KeyboardInterrupt from None


def _outcome(
    case: Case,
    repeat: int,
    summary: Summary,
    window: Window | None,
    seen: Seen,
    memory: Memory,
    early_s: float,
) -> dict[str, Any]:
    """The outcome as plain values, without `began_s`. The watch began `early_s` before the batch."""
    if window is None:
        first = summary.failed[0] if summary.failed else None
        if first is not None and not summary.done:
            raise InputError(first.message, stage=first.stage, path=first.file, hint=first.hint)
        raise InputError(
            f"too short: {summary.done} pictures leave nothing after {WARM_UP_PICTURES} of warm-up for each "
            f"of {case.workers} workers",
            stage="bench",
            hint="raise --count or --seconds, or use fewer --workers",
        )
    workers_s = summary.seconds * case.workers
    return {
        "case": case.name,
        "repeat": repeat,
        "warm_up_s": window.start_s,
        "warm_up_images": window.warm_up_images,
        "window_s": window.length_s,
        "images": window.images,
        "failed": len(summary.failed),
        "images_per_s": window.images_per_s,
        "concurrency": window.concurrency,
        "wall_s": summary.seconds,
        "wall_images": summary.done,
        "service_s": _kept(window.service_s, case),
        "response_s": window.response_s,
        "stage_s": window.stage_s,
        "steals": summary.steals,
        "idle_share": summary.idle_seconds / workers_s if workers_s > 0 else 0.0,
        "cpu_s": seen.cpu_s,
        "switches_voluntary": seen.switches_voluntary,
        "switches_involuntary": seen.switches_involuntary,
        "unpinned": summary.unpinned,
        "energy_j": seen.energy_between(window.start_s + early_s, window.end_s + early_s),
        "memory": asdict(memory),
        "quiet": asdict(seen.quiet),
        "asked_share": None,
    }


def _kept(times: tuple[float, ...], case: Case) -> tuple[float, ...]:
    """All of a network's times. Without a network a second holds thousands: some, evenly, tell as much."""
    if case.engine is None:
        return times
    return times[:: -(-len(times) // TIMES_KEPT)] if times else times


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
