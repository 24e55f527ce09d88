"""One run of one case, in a process of its own: a crash costs one case, and memory is that of the case
alone.

    python -m qbg.bench.child SPEC.json

Reads what to do from the file, prints a JSON line of progress a few times a second, and writes the
outcome beside the file. Must not know other cases, nor draw conclusions. Only `qbg.bench.run` starts it.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qbg.errors import QbgError
from qbg.report.record import Case

POLL_S = 0.05
TELL_S = 0.25
MOST_TURNS = 1 << 40
"""More pictures than any run by time gets through."""

LEAST_PER_WORKER = 8
"""Pictures that each worker should end in a window given by time; it is stretched for them."""

STRETCH = 4.0
"""But at most to so many times its length."""

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
    before_bytes = system.rss_bytes()
    with _Subject(spec, scratch) as subject:
        observer = watch.Watch().start()
        began = time.monotonic()
        batch = subject.start()
        stop_s = _follow(batch, spec, observer, began)
        seen = observer.stop()
        memory = watch.memory(
            seen, before_bytes=before_bytes, loaded_bytes=None, slots_bytes=subject.slots_bytes
        )
        return _outcome(spec, batch, seen, memory, stop_s)


def _load_libraries() -> None:
    """What every run loads, so that memory before the model is that of the libraries."""
    import numpy as np

    from qbg import _native
    from qbg.engine.onnx import load_onnxruntime

    load_onnxruntime()
    np.asarray(_native.SAMPLE_COLUMNS)


class _Subject:
    """The workers of a case, and how their batch is started."""

    def __init__(self, spec: Spec, scratch: Path) -> None:
        self._spec = spec
        self._scratch = scratch

    def __enter__(self) -> _Subject:
        from qbg.remover import Remover

        case = self._spec.case
        off = set(case.off)
        root = "/"
        if case.kind == "simulated":
            root = str(self._scratch / "imitation")
        simulated = f"simulated:{case.service_s}" if case.service_s is not None else None
        self._remover = Remover(
            self._spec.model,
            engine=simulated or case.engine or self._spec.engine,
            workers=case.workers,
            pin="off" if "pin" in off else "auto",
            simd="scalar" if "simd" in off else "auto",
            share_weights=not off & {"shared_weights"},
            root=root,
            only_mask=self._spec.only_mask,
        )
        return self
