"""The network that qbg writes equals the official one, in every form of the graph.

Oracle: logits of the official module, in tests/vectors/inspyrenet, for weights and pictures by seed.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from inspyrenet_cases import CASES, SWIN_CASES, VECTORS, Case, picture, sample
from qbg.engine.onnx import load_onnxruntime
from qbg.models.build import graph_of, parameters, tensors_of
from qbg.models.graphs.builder import Array
from qbg.models.graphs.layers import FAST, PLAIN, Form
from qbg.models.graphs.swin import SHIFT, WINDOW, apart, windows
from qbg.models.graphs.weights import random_weights

NAME = "inspyrenet-fast"
TOLERANCE = 1e-5
"""Of logits, relative to their range. What is promised is 1e-4; measured is about 2e-6."""

STEPS = [field.name for field in fields(Form)]
SMALL = CASES[0]
QUICK = CASES[:4]
"""Three seeds at 128 and one at 256; the others take seconds each."""


SWIN = "inspyrenet-swin"


@cache
def weights(seed: int) -> dict[str, Array]:
    return random_weights(tensors_of(NAME), seed)


@cache
def swin_weights(seed: int) -> dict[str, Array]:
    return random_weights(tensors_of(SWIN), seed)


def run(model: onnx.ModelProto, size: int, seed: int) -> npt.NDArray[np.float32]:
    session = load_onnxruntime().InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": picture(size, seed)})[0]


def error(case: Case, logits: npt.NDArray[np.float32]) -> float:
    """The largest difference from the official module's logits, as a part of their range."""
    with np.load(VECTORS / f"{case.name}.npz") as wanted:
        got = sample(logits)
        assert sorted(got) == sorted(wanted)
        low, high = wanted["range"]
        return max(float(np.abs(got[key] - wanted[key]).max() / (high - low)) for key in got)


@pytest.mark.parametrize("form", [PLAIN, FAST], ids=["plain", "fast"])
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case not in QUICK else ()) for case in CASES],
    ids=lambda case: case.name,
)
def test_equals_the_official_module(case: Case, form: Form) -> None:
    logits = run(graph_of(NAME, weights(case.seed), case.size, form), case.size, case.seed)
    assert logits.shape == (1, 1, case.size, case.size)
    assert error(case, logits) < TOLERANCE


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.size > 128 else ()) for case in SWIN_CASES],
    ids=lambda case: case.name,
)
def test_on_swin_equals_the_official_module(case: Case) -> None:
    logits = run(graph_of(SWIN, swin_weights(case.seed), case.size, FAST), case.size, case.seed)
    assert error(case, logits) < TOLERANCE


@pytest.mark.parametrize("shift", [0, SHIFT])
@pytest.mark.parametrize(("height", "width"), [(12, 12), (32, 32), (24, 36), (8, 40), (96, 96)])
def test_windows_hold_each_patch_once(height: int, width: int, shift: int) -> None:
    there, back, corners = windows(height, width, shift)
    assert len(there) == len(corners) * WINDOW * WINDOW
    assert np.array_equal(there[back], np.arange(height * width))
    outside = np.delete(there, back)
    assert (outside == height * width).all()
    # The first window begins `shift` patches down and to the right.
    assert there[0] == shift * width + shift
    rows = -(-height // WINDOW)
    assert corners.reshape(rows, -1)[-1, -1] == 3
    assert (corners >= 2).sum() * rows == len(corners)


def test_shifted_windows_keep_apart_what_the_shift_joined() -> None:
    """By an independent way: patches of a 24x24 map are apart if the shift moved just one of them around."""
    size = 24
    there, _, corners = windows(size, size, SHIFT)
    row, column = np.divmod(there.reshape(-1, WINDOW * WINDOW), size)
    around = np.stack([row < SHIFT, column < SHIFT])
    for window, kind in enumerate(corners):
        moved = around[:, window]
        same = (moved[:, :, None] == moved[:, None, :]).all(0)
        assert np.array_equal(apart()[kind] == 0, same)


@pytest.mark.parametrize("step", STEPS)
def test_each_rewriting_alone_keeps_the_function(step: str) -> None:
    form = replace(PLAIN, **{step: True})
    model = graph_of(NAME, weights(SMALL.seed), SMALL.size, form)
    assert error(SMALL, run(model, SMALL.size, SMALL.seed)) < TOLERANCE
    plain = graph_of(NAME, weights(SMALL.seed), SMALL.size, PLAIN)
    assert [node.op_type for node in model.graph.node] != [node.op_type for node in plain.graph.node]


def test_the_vectors_tell_networks_apart() -> None:
    tensors = dict(weights(SMALL.seed))
    name = "backbone.layer4.2.convs.2.weight"
    tensors[name] = tensors[name] * np.float32(1.01)
    logits = run(graph_of(NAME, tensors, SMALL.size, PLAIN), SMALL.size, SMALL.seed)
    assert error(SMALL, logits) > 3 * TOLERANCE


def test_has_the_published_number_of_parameters() -> None:
    shapes = tensors_of(NAME)
    assert parameters(shapes) == 28_104_339
    assert shapes["backbone.conv1.0.weight"] == (32, 3, 3, 3)
    assert shapes["attention0.lthreshold"] == (1,)
    assert "attention2.lthreshold" not in shapes
    assert parameters(tensors_of(SWIN)) == parameters(tensors_of("inspyrenet-base")) == 90_721_443


@pytest.mark.parametrize("form", [PLAIN, FAST], ids=["plain", "fast"])
def test_is_plain_onnx(form: Form) -> None:
    model = graph_of(NAME, weights(1), 64, form)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    names = {"Conv", "MatMul", "Resize"}
    assert names < {node.op_type for node in model.graph.node}
    assert ("BatchNormalization" in {node.op_type for node in model.graph.node}) is (form == PLAIN)
