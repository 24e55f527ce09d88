"""Weights to 8-bit integers: the step of each output channel, and which way each weight is rounded.

Formats differ in what the CPU's kernels do with them. AVX2 without VNNI multiplies unsigned by signed bytes
and adds neighbors in 16 bits (vpmaddubsw), where two products of 255 x 127 don't fit: `paired` chooses steps
such that no two weights that meet there can overflow, at a fraction of a bit; `narrow` (7 bits) costs a whole
bit, `full` lets it happen, `unsigned` takes the slower kernel for unsigned by unsigned bytes. With VNNI
`full` is right.

Rounding: to nearest, or with feedback: the error of each weight is made good by those not yet rounded, by the
covariance of the inputs (GPTQ, Frantar et al. 2023; here with inputs from the quantized network and without
the mean, which the bias corrects). Must not know graphs.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Weights = npt.NDArray[np.int8]

FORMATS = ("full", "paired", "narrow", "unsigned")
TOP = {"full": 127, "paired": 127, "narrow": 63, "unsigned": 127}

PAIR = 128
"""255 x 128 = 32640 <= 32767: what two weights of one sign may sum up to."""

BLOCK = 1152
"""Inputs whose covariance is looked at together: 128 channels of 3x3."""

LAZY = 64
"""Inputs after which errors are passed on to all that follow: one product of matrices beats many."""

DAMPING = 0.01
"""Of the covariance's mean diagonal, added to it."""


def format_for(flags: Collection[str]) -> str:
    """The best format for a CPU with these flags, as Linux names them."""
    exact = {"avx512_vnni", "avx_vnni", "amx_int8", "avx_vnni_int8", "asimddp"}
    return "full" if exact & set(flags) else "paired"


def to_rows(weight: npt.NDArray[np.float32]) -> Doubles:
    """(O, I, kh, kw) as (O, kh kw I): the order in which kernels walk through the inputs."""
    return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(np.float64)


def from_rows(rows: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """The inverse of `to_rows`."""
    out, entries, height, width = shape
    return np.ascontiguousarray(rows.reshape(out, height, width, entries).transpose(0, 3, 1, 2))


def steps(rows: Doubles, form: str) -> Doubles:
    """(O,) step of each output channel's row (O, K): the smallest with which all its weights fit."""
    step = np.abs(rows).max(axis=1) / TOP[form]
    if form == "paired":
        first, second = _pairs(rows)
        for sign in (1.0, -1.0):
            sums = np.maximum(sign * first, 0.0) + np.maximum(sign * second, 0.0)
            # One below: each of both may be rounded up by half a step.
            step = np.maximum(step, sums.max(axis=1) / (PAIR - 1))
    return np.where(step > 1e-30, step, 1.0)


def nearest(rows: Doubles, step: Doubles, form: str) -> Weights:
    """(O, K) rounded to nearest."""
    levels = np.rint(rows / step[:, None])
    return _fitted(levels, form)


def feedback(rows: Doubles, step: Doubles, form: str, inputs: npt.NDArray[np.float32]) -> Weights:
    """(O, K) rounded one input after the other, errors passed on to the inputs that follow.

    Args:
        rows: weights (O, K).
        step: (O,).
        form: of `FORMATS`.
        inputs: (N, K) samples of what the weights are multiplied by.
    """
    levels = np.empty_like(rows)
    for begin in range(0, rows.shape[1], BLOCK):
        part = slice(begin, min(begin + BLOCK, rows.shape[1]))
        centered = inputs[:, part] - inputs[:, part].mean(axis=0)
        covariance = (centered.T @ centered).astype(np.float64) / len(centered)
        levels[:, part] = _feedback(rows[:, part], step, form, covariance)
    return _fitted(levels, form)


def _feedback(rows: Doubles, step: Doubles, form: str, covariance: Doubles) -> Doubles:
    size = rows.shape[1]
    diagonal = np.diag(covariance)
    damping = DAMPING * float(diagonal.mean()) + 1e-12
    upper = np.linalg.cholesky(np.linalg.inv(covariance + damping * np.eye(size))).T
    left = rows / step[:, None]
    levels = np.empty_like(left)
    top = float(TOP[form])
    for begin in range(0, size, LAZY):
        end = min(begin + LAZY, size)
        errors = np.empty((len(left), end - begin))
        for column in range(begin, end):
            levels[:, column] = _rounded(left, levels, column, top, form)
            error = (left[:, column] - levels[:, column]) / upper[column, column]
            left[:, column + 1 : end] -= error[:, None] * upper[column, column + 1 : end]
            errors[:, column - begin] = error
        left[:, end:] -= errors @ upper[begin:end, end:]
    return levels


def _rounded(left: Doubles, levels: Doubles, column: int, top: float, form: str) -> Doubles:
    """A column to the nearest levels that its neighbor leaves it."""
    high, low = np.full(len(left), top), np.full(len(left), -top)
    if form == "paired" and column % 2:
        before = levels[:, column - 1]
        high = np.minimum(high, PAIR - np.maximum(before, 0.0))
        low = np.maximum(low, -PAIR - np.minimum(before, 0.0))
    found: Doubles = np.clip(np.rint(left[:, column]), low, high)
    return found


def _pairs(rows: npt.NDArray[np.generic]) -> tuple[Doubles, Doubles]:
    """First and second of each two neighbors; a lone last one meets 0."""
    even = np.asarray(rows, np.float64)
    if even.shape[1] % 2:
        even = np.pad(even, ((0, 0), (0, 1)))
    return even[:, 0::2], even[:, 1::2]


def _fitted(levels: Doubles, form: str) -> Weights:
    """Within the format's range; where two neighbors still overflow, the larger gives way."""
    levels = np.clip(levels, -TOP[form], TOP[form])
    if form == "paired":
        first, second = (half.copy() for half in _pairs(levels))
        over = np.sign(first + second) * np.maximum(np.abs(first + second) - PAIR, 0.0)
        over[np.sign(first) * np.sign(second) < 0] = 0.0
        larger = np.abs(first) >= np.abs(second)
        first -= np.where(larger, over, 0.0)
        second -= np.where(larger, 0.0, over)
        levels = np.stack([first, second], axis=2).reshape(len(levels), -1)[:, : levels.shape[1]]
    return levels.astype(np.int8)
