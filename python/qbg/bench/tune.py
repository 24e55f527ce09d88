"""Finds how this machine runs a model fastest: engine, precision and threads per worker. Prints nothing.

Each candidate runs the whole way from file to file, in a process of its own, as `qbg bench` does. All run
once; those whose masks stray from the float reference are refused; those near the fastest go on in turns
until the time is over. The simplest candidate that loses at most `WORTH` against the fastest wins: so small a
difference is no reason to leave the defaults.

Two pictures a call are measured of the network alone (`batches.py`), and told: workers take one picture each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from qbg.bench import batches, gate, plan
from qbg.bench.child import Spec
from qbg.bench.pictures import Pictures
from qbg.bench.reference import Levels, Reference
from qbg.bench.run import Listener, in_child, work_folder
from qbg.bench.statistics import Interval, median, paired_ratio
from qbg.engine import DEFAULT
from qbg.errors import EngineError, QbgError
from qbg.models import Resolved
from qbg.models.declared import declared_gate, random_weights
from qbg.models.sibling import quantized
from qbg.report import record as records
from qbg.report.record import Case, GateSample
from qbg.tuned import Choice

BUDGET_S = 45.0
"""No round begins later; checking masks and the last round come on top, together about a minute."""

WINDOW_S = 2.5
ROUNDS = (3, 7)
"""Of the candidates near the fastest: at least and at most."""

NEAR, FAR = 0.85, 0.6
"""Shares of the fastest rate so far: below the first by the best of two runs, or below the second by the only
one, a candidate goes on no further. Others on the machine make a run slower, hardly ever faster."""

WORTH = 0.02

PHOTOS = 12
"""That masks are checked on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A way to run the model. `workers` x `threads` is the number of CPUs, or a little less."""

    engine: str
    precision: str
    threads: int
    workers: int

    @property
    def name(self) -> str:
        """For progress and errors."""
        return f"{self.engine}-{self.precision}-{self.workers}x{self.threads}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Masks of one engine and precision against the reference, over `photos` pictures.

    Attributes:
        iou: mean, of masks cut at half.
        mean_levels: mean absolute difference, in levels of 255.
        refused: why they don't pass; None when they do.
    """

    photos: int
    iou: float
    mean_levels: float
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found of a candidate.

    Attributes:
        rates: images per second of each run, in order.
        rounds: in which round each of them ran.
        checked: its masks; None where they weren't looked at, as when it failed.
        failed: why it couldn't run; None when it could.
    """

    candidate: Candidate
    rates: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()
    checked: Checked | None = None
    failed: str | None = None

    @property
    def able(self) -> bool:
        """Whether it may win."""
        return bool(self.rates) and self.failed is None and (self.checked is None or not self.checked.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The end of it.

    Attributes:
        results: of all candidates, the defaults first.
        winner: one of them.
        seconds: that it took.
        pairs: two pictures a call, of the engines and precisions that are near the fastest.
        notes: what wasn't tried and why; doubts.
    """

    results: tuple[Result, ...]
    winner: Candidate
    seconds: float
    pairs: tuple[batches.Pair, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def rate(self, candidate: Candidate) -> Interval:
        """Median images per second."""
        return median(self._of(candidate).rates)

    def gain(self, candidate: Candidate) -> Interval | None:
        """Over the first candidate, run by run in turns; None where either didn't run."""
        return gain(self.results, candidate)

    def _of(self, candidate: Candidate) -> Result:
        return next(result for result in self.results if result.candidate == candidate)


def candidates(cpus: int, ways: Sequence[tuple[str, str]]) -> tuple[Candidate, ...]:
    """All of (engine, precision) with 1, 2 and all CPUs per worker, one thread each first."""
    threads = sorted({count for count in (1, 2, cpus) if count <= cpus})
    return tuple(
        Candidate(engine=engine, precision=precision, threads=count, workers=cpus // count)
        for count in threads
        for engine, precision in ways
    )


def ways(resolved: Resolved) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The (engine, precision) that are there for a model, the default first, and notes on others."""
    found = [(DEFAULT, resolved.network.precision)]
    notes: list[str] = []
    small: Resolved | None = None
    if resolved.network.precision != "int8":
        try:
            small = quantized(resolved)
        except QbgError as error:
            notes.append(f"int8 was not tried: {error.args[0]} ({error.hint})")
    if small is not None:
        found.append((DEFAULT, "int8"))
        if not (declared_gate(small.network.declared) or {"passed": True}).get("passed"):
            notes.append(
                "the int8 file was refused where it was made, and written all the same: its masks are judged "
                f"here on {PHOTOS} photos"
            )
    try:
        from qbg.engine.openvino import load_openvino, precisions

        core = load_openvino().Core()
    except EngineError as error:
        notes.append(f"openvino was not tried: {error.args[0]} ({error.hint})")
    else:
        here = precisions(core, resolved.network)
        found += [("openvino", precision) for precision in here]
        if "fp32" in here and "bf16" not in here:
            notes.append("bf16 was not tried: this CPU hasn't got it")
        if small is not None:
            found.append(("openvino", "int8"))
    if random_weights(resolved.network.declared):
        notes.append("the weights are random: what masks say of a precision means nothing for trained ones")
    return tuple(found), tuple(notes)


class Tuner:
    """One tuning.

    Args:
        resolved: the model, float where there is a float file.
        model: as the caller named it.
        pictures: that it is measured on.
        cpus: to keep busy.
        listener: who is told what happens.
    """

    def __init__(
        self, resolved: Resolved, model: str | None, pictures: Pictures, cpus: int, listener: Listener
    ) -> None:
        self._resolved = resolved
        self._model = model
        self._pictures = pictures
        self._listener = listener
        self._ways, self._notes = ways(resolved)
        self._results = {item: Result(candidate=item) for item in candidates(cpus, self._ways)}
        self._began = time.monotonic()

    def run(self, budget_s: float = BUDGET_S, window_s: float = WINDOW_S) -> Tuning:
        """Measures and chooses.

        Raises:
            QbgError: pictures or model can't be used, or no candidate ran.
        """
        with work_folder(None) as work:
            self._round(list(self._results), 0, window_s, work)
            self._check_masks()
            for number in range(1, ROUNDS[1]):
                if number >= ROUNDS[0] and time.monotonic() - self._began > budget_s:
                    break
                self._round(near(tuple(self._results.values())), number, window_s, work)
            results = tuple(self._results.values())
            pairs = tuple(self._pair(way, work) for way in contenders(results))
        return Tuning(
            results=results,
            pairs=pairs,
            winner=choose(results),
            seconds=time.monotonic() - self._began,
            notes=self._notes,
        )

    def _pair(self, way: tuple[str, str], work: Path) -> batches.Pair:
        engine, precision = way
        self._listener.says(f"two pictures a call: {engine}, {precision}")
        found = quantized(self._resolved) if precision == "int8" else self._resolved
        recipe = found.recipe
        size = (recipe.height, recipe.width)
        if recipe.dynamic:
            size = (max(recipe.multiple, recipe.side // recipe.multiple * recipe.multiple),) * 2
        return batches.pair(found.network, size, engine, precision, work)

    def _round(self, turn: Sequence[Candidate], number: int, window_s: float, work: Path) -> None:
        for place, candidate in enumerate(turn):
            case = Case(
                name=candidate.name,
                kind=plan.SCALING,
                workers=candidate.workers,
                seconds=window_s,
                engine=candidate.engine,
            )
            self._listener.begins(case, number, len(turn) - place - 1)
            spec = Spec(
                case=case,
                repeat=number,
                model=self._model,
                engine=candidate.engine,
                images=str(self._pictures.folder),
                output=str(work / "out"),
                only_mask=False,
                keep_every=0,
                precision=candidate.precision,
                threads=candidate.threads,
                stretch=1.0,
            )
            result = self._results[candidate]
            try:
                outcome = records.outcome({"began_s": 0.0, **in_child(spec, self._listener)})
            except QbgError as error:
                self._listener.says(f"{candidate.name}: {error.args[0]}")
                self._results[candidate] = replace(result, failed=str(error.args[0]))
                continue
            self._listener.ends(outcome)
            self._results[candidate] = replace(
                result, rates=(*result.rates, outcome.images_per_s), rounds=(*result.rounds, number)
            )

    def _check_masks(self) -> None:
        """Of each engine and precision once: threads don't change them."""
        photos = spread(self._pictures.paths, PHOTOS)
        expected: dict[Path, Levels] = {}
        for engine, precision in self._ways:
            alike = [
                result
                for result in self._results.values()
                if (result.candidate.engine, result.candidate.precision) == (engine, precision)
            ]
            if all(result.failed is not None for result in alike):
                continue
            self._listener.says(f"checking masks of {engine}, {precision}")
            if not expected:
                expected = dict(self._expected(photos))
            checked = check(self._model, engine, precision, expected)
            for result in alike:
                self._results[result.candidate] = replace(result, checked=checked)

    def _expected(self, photos: Sequence[Path]) -> Iterator[tuple[Path, Levels]]:
        reference = Reference(self._resolved.network, self._resolved.recipe)
        workers = max(result.candidate.workers for result in self._results.values())
        with ThreadPoolExecutor(min(workers, len(photos))) as pool:
            for photo, made in zip(
                photos, pool.map(lambda path: _alpha(reference, path), photos), strict=True
            ):
                if made is not None:
                    yield photo, made


def check(model: str | None, engine: str, precision: str, expected: dict[Path, Levels]) -> Checked:
    """The masks that a way of running makes, against those of the reference."""
    import numpy as np

    from qbg.remover import Remover

    samples: list[GateSample] = []
    refused: str | None = None
    try:
        with Remover(model, engine=engine, precision=precision, only_mask=True) as remover:
            for path, found in zip(expected, remover.cutout_many(list(expected)), strict=True):
                samples.append(gate.compare(path.name, np.asarray(found), expected[path]))
    except QbgError as error:
        refused = str(error.args[0])
    refused = refused or gate.judge(samples, exact=precision == "fp32")
    count = max(1, len(samples))
    return Checked(
        photos=len(samples),
        iou=sum(sample.iou for sample in samples) / count,
        mean_levels=sum(sample.mean_levels for sample in samples) / count,
        refused=refused,
    )


def near(results: Sequence[Result]) -> list[Candidate]:
    """Those that go on: near the fastest, and the default, which all are compared with."""
    return [
        result.candidate
        for result, share in _shares(results)
        if result is results[0] or share >= (FAR if len(result.rates) == 1 else NEAR)
    ]


def contenders(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Engines and precisions that are near the fastest, each once."""
    found = [result.candidate for result, share in _shares(results) if share >= NEAR]
    return list(dict.fromkeys((candidate.engine, candidate.precision) for candidate in found))


def _shares(results: Sequence[Result]) -> list[tuple[Result, float]]:
    """Those that may win, each with its best rate over the best of all."""
    able = [result for result in results if result.able]
    best = max((max(result.rates) for result in able), default=0.0)
    return [(result, max(result.rates) / best if best else 1.0) for result in able]


def choose(results: Sequence[Result]) -> Candidate:
    """The first, and so the simplest, of those that lose next to nothing against the fastest; the default if
    no run in turns shows that the fastest is faster than it.

    Raises:
        EngineError: none may win.
    """
    able = [(result.candidate, median(result.rates).value) for result in results if result.able]
    if not able:
        reasons = [
            result.failed or (result.checked.refused if result.checked else None) for result in results
        ]
        why = next((reason for reason in reasons if reason), "nothing ran")
        raise EngineError(f"no way to run the model is left: {why}", stage="tune")
    best = max(rate for _candidate, rate in able)
    found = next(candidate for candidate, rate in able if rate >= (1 - WORTH) * best)
    gained = gain(results, found)
    return results[0].candidate if results[0].able and gained is not None and gained.low <= 1.0 else found


def gain(results: Sequence[Result], candidate: Candidate) -> Interval | None:
    """Of a candidate over the first one, by runs of the same rounds; None where there are none."""
    found = next(result for result in results if result.candidate == candidate)
    runs, first = (dict(zip(result.rounds, result.rates, strict=True)) for result in (found, results[0]))
    shared = [number for number in runs if number in first]
    if not shared:
        return None
    return paired_ratio([runs[number] for number in shared], [first[number] for number in shared])


def choice(tuning: Tuning, resolved: Resolved) -> Choice:
    """What is remembered of it."""
    winner = tuning.winner
    digest = quantized(resolved).network.digest if winner.precision == "int8" else None
    return Choice(
        engine=winner.engine,
        precision=winner.precision,
        threads=winner.threads,
        int8_digest=digest,
    )


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, evenly from the whole."""
    step = max(1, len(paths) // most)
    return list(paths[::step][:most])


def _alpha(reference: Reference, path: Path) -> Levels | None:
    """None for a picture that can't be read: bad input is no matter of masks."""
    try:
        return reference.alpha(path)
    except (OSError, ValueError, SyntaxError):
        return None
