"""Scores all pairs, some at once, and sums them up by group. Must not print or draw.

A picture whose truth is empty has no subject to find: it counts in `empty`, by its mean alpha, and in nothing
else. A pair that fails is kept with its reason and stops nobody.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qbg.errors import InputError, QbgError
from qbg.evaluate import metrics
from qbg.evaluate.figures import HALF
from qbg.evaluate.metrics import Plane, Scores
from qbg.evaluate.pairs import Pair, fitted, read
from qbg.summary import Failure

AHEAD = 4
"""Pairs per thread that are read ahead: bounds memory."""

AVERAGED = ("mae", "f_adaptive", "f_weighted", "s", "e_adaptive", "boundary_iou", "sad", "gradient")

Masks = Callable[[Sequence[Path]], Iterator[Plane | QbgError]]
"""Makes a mask of each photo, in order: a model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A pair's result.

    Attributes:
        pair: of which.
        scores: None where the truth is empty.
        alpha: the mask's mean, 0 to 1.
        resized: whether the mask had another size than the truth.
    """

    pair: Pair
    scores: Scores | None
    alpha: float
    resized: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A group's figures: means over its pictures, the curves' best and mean.

    Attributes:
        group: its name.
        pictures: with a subject.
        empty: without one.
        alpha: mean alpha of those without; None where there are none.
        values: by name: `iou`, `iou_median`, `iou_worst`, `mae`, `f_max`, `f_adaptive`, `f_weighted`, `s`,
            `e_max`, `e_mean`, `e_adaptive`, `boundary_iou`, `sad`, `gradient`; empty without pictures that
            have a subject.
    """

    group: str
    pictures: int
    empty: int
    alpha: float | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The whole.

    Attributes:
        scored: in the order of names.
        failures: pairs that couldn't be scored.
        rows: by group, where there are several, and `all` last.
    """

    scored: tuple[Scored, ...]
    failures: tuple[Failure, ...] = ()
    rows: tuple[Row, ...] = field(default=())


def evaluate(
    pairs: Sequence[Pair],
    groups: Mapping[str, str],
    *,
    masks: Masks | None = None,
    threads: int | None = None,
    on_pair: Callable[[int, int], object] | None = None,
) -> Evaluation:
    """Scores them.

    Args:
        pairs: see there.
        groups: by name.
        masks: makes masks of `found`, which are photos then; None: `found` are masks or cut-outs.
        threads: pairs scored at once; None: one per CPU.
        on_pair: called with (done, all).
    """
    scored: list[Scored] = []
    failures: list[Failure] = []
    for number, result in enumerate(_each(pairs, masks, threads or os.cpu_count() or 1)):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            scored.append(result)
        if on_pair is not None:
            on_pair(number + 1, len(pairs))
    return Evaluation(scored=tuple(scored), failures=tuple(failures), rows=tuple(_rows(scored, groups)))


def _each(pairs: Sequence[Pair], masks: Masks | None, threads: int) -> Iterator[Scored | Failure]:
    there = [pair for pair in pairs if pair.found is not None]
    made = None if masks is None else masks([pair.found for pair in there if pair.found is not None])
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Scored | Failure]] = deque()
        for pair in pairs:
            if pair.found is None:
                mask: Plane | QbgError | None = InputError(
                    "has no mask to compare with", stage="evaluate", path=str(pair.truth)
                )
            else:
                mask = None if made is None else next(made)
            waiting.append(pool.submit(_one, pair, mask))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _one(pair: Pair, mask: Plane | QbgError | None) -> Scored | Failure:
    try:
        if isinstance(mask, QbgError):
            raise mask
        truth = read(pair.truth)
        if mask is None:
            assert pair.found is not None
            mask = read(pair.found)
        resized = mask.shape != truth.shape
        plane = fitted(mask, truth.shape)
        scores = metrics.score(plane, truth) if (truth >= HALF).any() else None
        return Scored(pair=pair, scores=scores, alpha=float(plane.mean()) / 255.0, resized=resized)
    except QbgError as error:
        return Failure(
            file=error.path or str(pair.truth),
            stage=error.stage or "evaluate",
            message=str(error.args[0]),
            hint=error.hint,
        )


def _rows(scored: Iterable[Scored], groups: Mapping[str, str]) -> Iterator[Row]:
    by_group: dict[str, list[Scored]] = {}
    everything = list(scored)
    for item in everything:
        by_group.setdefault(groups.get(item.pair.name, ""), []).append(item)
    if len(by_group) > 1:
        for group, members in sorted(by_group.items()):
            yield row(group or "(none)", members)
    yield row("all", everything)


def row(group: str, members: Sequence[Scored]) -> Row:
    """A group's means."""
    scores = [item.scores for item in members if item.scores is not None]
    empty = [item.alpha for item in members if item.scores is None]
    values = means(scores) if scores else {}
    return Row(
        group=group,
        pictures=len(scores),
        empty=len(empty),
        alpha=float(np.mean(empty)) if empty else None,
        values=values,
    )


def means(scores: Sequence[Scores]) -> dict[str, float]:
    """Over pictures with a subject, of which there is one at least: `Row.values`."""
    ious = [item.iou for item in scores]
    f_curve = np.mean([item.f_curve for item in scores], axis=0)
    e_curve = np.mean([item.e_curve for item in scores], axis=0)
    return {
        "iou": float(np.mean(ious)),
        "iou_median": float(np.median(ious)),
        "iou_worst": min(ious),
        **{name: float(np.mean([getattr(item, name) for item in scores])) for name in AVERAGED},
        "f_max": float(f_curve.max()),
        "e_max": float(e_curve.max()),
        "e_mean": float(e_curve.mean()),
    }
