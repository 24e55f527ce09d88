"""Runs a plan, case by case, each in a process of its own, and keeps the record. Prints nothing.

What happens is told to a listener. After each case the record so far is saved where the caller asked, so
that a crash loses one case at most; `resume` goes on from such a record. Must not know how a report
looks.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from qbg.bench import imitation, plan
from qbg.bench.child import Spec
from qbg.bench.pictures import Pictures
from qbg.errors import EngineError, InputError, ModelError, QbgError
from qbg.models import Resolved, resolve
from qbg.models.declared import declared_origin
from qbg.models.registry import by_checksum
from qbg.report import record as records
from qbg.report.record import Case, Gate, Outcome, Record

REAL_ENGINE_KINDS = (plan.MASSIVE, plan.SCALING)
"""Kinds whose outputs can be held to the reference."""

TRIAD_BYTES, TRIAD_REPEATS = 256 << 20, 7
"""Each of three arrays: several times the largest caches."""

KERNEL_PHOTOS = 4

DRAWN_FROM = 2000
"""Measured service times that a simulation gets."""


class Listener(Protocol):
    """Who is told what happens, on the thread that runs the bench."""

    def begins(self, case: Case, repeat: int, left: int) -> None:
        """A run begins; `left` runs come after it."""

    def goes_on(self, done: int, total: int | None, seconds: float) -> None:
        """A few times a second during a run: pictures done, in all where known, seconds since its start."""

    def ends(self, outcome: Outcome) -> None:
        """A run is over."""

    def says(self, line: str) -> None:
        """Something worth a line: what is being prepared or checked, what failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What stays the same over all cases.

    Attributes:
        resolved: the float model, which masks are held to.
        model: as the caller named it; None: the built-in one.
        engine: for cases that name none.
        precision: of that engine: see `qbg.Remover`.
        pictures: see there.
        only_mask: write masks instead of cut-outs.
        work: folder for outputs; None: a temporary one, removed at the end.
        save: where the record is kept after each case; None: nowhere.
    """

    resolved: Resolved
    model: str | None
    engine: str
    precision: str
    pictures: Pictures
    only_mask: bool
    work: Path | None
    save: Path | None


class CaseError(QbgError):
    """A case's process didn't give an outcome."""


class Bench:
    """A plan that is being run.

    Args:
        setting: see there.
        planned: see `qbg.bench.plan.Plan`.
        blank: the record's header, without outcomes; or a partial record to go on from.
        listener: see there.
    """

    def __init__(self, setting: Setting, planned: plan.Plan, blank: Record, listener: Listener) -> None:
        self._setting = setting
        self._plan = planned
        self._record = blank
        self._listener = listener
        self._spent_s = blank.seconds
        self._began = time.monotonic()

    def run(self) -> Record:
        """Runs what isn't in the record yet.

        Raises:
            QbgError: model, engine or pictures can't be used.
            KeyboardInterrupt: after the partial record has been saved.
        """
        with work_folder(self._setting.work) as work:
            turns = [
                (case, repeat)
                for case, repeat in self._plan.turns()
                if all(outcome.repeat != repeat for outcome in self._record.of(case.name))
            ]
            for number, (case, repeat) in enumerate(turns):
                self._listener.begins(case, repeat, len(turns) - number - 1)
                outcome = self._one(case, repeat, work)
                self._keep(replace(self._record, outcomes=(*self._record.outcomes, outcome)))
                self._listener.ends(outcome)
        self._measure_memory()
        self._measure_kernels()
        self._keep(replace(self._record, finished=True))
        return self._record

    def _measure_memory(self) -> None:
        """What memory can give, with one thread and with as many as the widest case had workers."""
        if self._record.bandwidth_bytes_per_s or not self._plan.cases:
            return
        from qbg import _native

        self._listener.says("measuring memory bandwidth")
        size = min(TRIAD_BYTES, self._record.machine.memory_bytes // 32)
        widest = min(max(case.workers for case in self._plan.cases), self._record.machine.cpus_allowed)
        found = {
            str(threads): tuple(_native.triad(threads, size, TRIAD_REPEATS))
            for threads in sorted({1, widest})
        }
        self._keep(replace(self._record, bandwidth_bytes_per_s=found))

    def _measure_kernels(self) -> None:
        if self._plan.kernels and not self._record.kernels:
            from qbg.bench import kernels

            self._listener.says("measuring kernels")
            paths = self._setting.pictures.paths
            photos = paths[:: max(1, len(paths) // KERNEL_PHOTOS)][:KERNEL_PHOTOS]
            self._keep(replace(self._record, kernels=kernels.measure(photos)))

    def _keep(self, record: Record) -> None:
        seconds = self._spent_s + time.monotonic() - self._began
        self._record = replace(record, seconds=seconds)
        if self._setting.save is not None:
            records.save(self._record, self._setting.save)

    def _one(self, case: Case, repeat: int, work: Path) -> Outcome:
        setting = self._setting
        checked = self._is_checked(case)
        output = work / "out"
        shutil.rmtree(output, ignore_errors=True)
        spec = Spec(
            case=self._filled(case),
            repeat=repeat,
            model=setting.model,
            engine=setting.engine,
            images=str(setting.pictures.folder),
            output=str(output),
            only_mask=setting.only_mask,
            keep_every=self._keep_every(case) if checked else 0,
            service_s=self._service_s(case),
            precision=setting.precision,
        )
        if case.kind == plan.SIMULATED and not (work / "imitation").exists():
            imitation.build(work / "imitation")
        began_s = self._spent_s + time.monotonic() - self._began
        try:
            answer = in_child(spec, self._listener)
            outcome = records.outcome({"began_s": began_s, **answer})
            if checked:
                self._check(case, output)
        finally:
            shutil.rmtree(output, ignore_errors=True)
        return outcome

    def _is_checked(self, case: Case) -> bool:
        """The widest run with the real engine, once."""
        if self._record.gate is not None or case.kind not in REAL_ENGINE_KINDS or case.engine is not None:
            return False
        if self._setting.engine.partition(":")[0] in ("null", "simulated"):
            return False
        widest = max(other.workers for other in self._plan.cases if other.kind == case.kind)
        return case.workers == widest

    def _keep_every(self, case: Case) -> int:
        """Of a run's outputs each n-th is kept: enough to check, few enough for the disk."""
        from qbg.bench.gate import SAMPLES

        # By time, a worker gets through about 8 or more. By count, twice as many as are needed: some may
        # be of bad pictures.
        step = case.workers // 8 if case.count is None else case.count // (2 * SAMPLES)
        step = max(1, step)
        # A step that shares no factor with the folder's size meets other pictures in every round.
        while math.gcd(step, len(self._setting.pictures.paths)) > 1:
            step -= 1
        return step

    def _check(self, case: Case, output: Path) -> None:
        from qbg.bench import gate

        setting = self._setting
        pairs = gate.pairs(setting.pictures, output, gate.SAMPLES)
        reference = original(setting.resolved)
        self._listener.says(f"checking {len(pairs)} masks against the reference")
        checked: Gate = gate.check(
            case.name,
            pairs,
            (reference or setting.resolved).network,
            setting.resolved.recipe,
            self._record.subject.precision,
            threads=case.workers,
        )
        if reference is None:
            said = f"{checked.reference}; the float network that this one was made of isn't at hand"
            checked = replace(checked, reference=said)
        self._keep(replace(self._record, gate=checked))

    def _filled(self, case: Case) -> Case:
        """An open loop without a rate gets a share of the measured throughput, and enough time."""
        if case.kind != plan.OPEN_LOOP or case.rate_per_s is not None:
            return case
        measured = [
            outcome.images_per_s
            for other in self._plan.cases
            if other.kind == plan.SCALING and other.workers == case.workers
            for outcome in self._record.of(other.name)
        ]
        if not measured:
            raise CaseError("no throughput was measured to take the arrival rate from", stage="bench")
        measured.sort()
        rate = plan.OPEN_LOOP_SHARE * measured[len(measured) // 2]
        filled = replace(
            case, rate_per_s=rate, seconds=max(case.seconds or 0.0, plan.OPEN_LOOP_PICTURES / rate)
        )
        cases = tuple(filled if other.name == case.name else other for other in self._record.cases)
        self._record = replace(self._record, cases=cases)
        return filled

    def _service_s(self, case: Case) -> tuple[float, ...]:
        """Measured times for a simulation, scaled to the mean that its case names."""
        if case.service_s is None:
            return ()
        names = [other.name for other in self._plan.cases if other.kind == plan.SCALING]
        times = [value for name in names for outcome in self._record.of(name) for value in outcome.service_s]
        if not times:
            return ()
        step = max(1, len(times) // DRAWN_FROM)
        times = times[::step]
        mean = sum(times) / len(times)
        return tuple(value / mean * case.service_s for value in times)


def original(resolved: Resolved) -> Resolved | None:
    """The float network that masks are held to: the model itself, or what an int8 file was made of.

    None if that isn't on this machine: then the file can only be held to itself.
    """
    if resolved.network.precision == "fp32":
        return resolved
    source = declared_origin(resolved.network.declared)
    model = by_checksum(source) if source is not None else None
    if model is None:
        return None
    try:
        # By another recipe, as at another size, its masks would be others.
        return resolve(model.name, None if resolved.recipe == model.recipe else resolved.recipe)
    except ModelError:
        return None


def in_child(spec: Spec, listener: Listener) -> dict[str, Any]:
    """Runs one case in its own process and gives what it found.

    What both tell each other lies in the system's temporary folder: the pictures' disk may be full.

    Raises:
        QbgError: of the kind that the child met, or CaseError if it ended without a word.
        KeyboardInterrupt: the child was interrupted too.
    """
    with tempfile.TemporaryDirectory(prefix="qbg-bench-case-") as folder:
        return _told(spec, Path(folder), listener)


def _told(spec: Spec, work: Path, listener: Listener) -> dict[str, Any]:
    place = work / "case.json"
    answer = place.with_suffix(".out")
    spec.save(place)
    command = [sys.executable, "-m", "qbg.bench.child", str(place)]
    with (
        (work / "case.err").open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told = json.loads(line)
                listener.goes_on(told["done"], told["total"], told["seconds"])
            process.wait()
        except BaseException:
            _end(process)
            raise
        errors.seek(0)
        complaint = errors.read()
    if answer.exists():
        try:
            told = json.loads(answer.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CaseError(
                f"what the process of case {spec.case.name} wrote was cut off",
                stage="bench",
                path=tempfile.gettempdir(),
                hint="make room there if that disk is full, then run it again with --resume",
            ) from error
        if "outcome" in told:
            return dict(told["outcome"])
        raise _KINDS.get(told["kind"], CaseError)(told["error"], stage="bench")
    if process.returncode == 130 or process.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    lines = complaint.strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    raise CaseError(
        f"the process of case {spec.case.name} ended with {process.returncode}{last}",
        stage="bench",
        hint="run it again with --resume; with fewer --workers if memory was short",
    )


_KINDS: dict[str, type[QbgError]] = {
    "ModelError": ModelError,
    "EngineError": EngineError,
    "InputError": InputError,
}


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a child: as Ctrl-C does first, then for good."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(stop)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """A folder of our own, removed at the end, below the given one if there is one."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qbg-bench-", dir=given) as folder:
        yield Path(folder)
