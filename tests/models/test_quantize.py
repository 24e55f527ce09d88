"""Quantizing: integer arithmetic against NumPy, bias correction, placement, search, gate, errors."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import int8_graphs
import qbg as package
from conftest import SAMPLES, Outcome, needs_u2netp
from qbg.engine.onnx import load_onnxruntime, open_session
from qbg.errors import ModelError, OutputError
from qbg.models import resolve
from qbg.models.int8 import equalize, gate, graph, measure, photos, place, search, walk, write
from qbg.models.int8.session import open_bytes
from qbg.models.int8.walk import Method
from qbg.models.quantize import cpu_flags, quantize
from qbg.network import Network
from qbg.recipe import Recipe

RECIPE = Recipe(height=int8_graphs.SIDE, width=int8_graphs.SIDE, filter="bilinear")
PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos"


def loaded(path: Path, shape: tuple[int, int, int, int] | None = None) -> graph.Graph:
    """The float graph of a file, whatever its channels."""
    model = onnx.load(path)
    entry = model.graph.input[0]
    sizes = shape or tuple(item.dim_value for item in entry.type.tensor_type.shape.dim)
    nodes = list(model.graph.node)
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    shapes = {entry.name: sizes}
    for item in onnx.shape_inference.infer_shapes(model).graph.value_info:
        shapes[item.name] = tuple(size.dim_value for size in item.type.tensor_type.shape.dim)
    found = open_bytes(model).run(None, {entry.name: np.zeros(sizes, np.float32)})[0]
    shapes[model.graph.output[0].name] = found.shape
    return graph.Graph(nodes, constants, shapes, entry.name, model.graph.output[0].name, 17, {})


def prepared(path: Path) -> graph.Graph:
    """As `quantize` prepares it."""
    return graph.load(resolve(path, RECIPE).network, int8_graphs.SIDE, int8_graphs.SIDE)


def pictures(count: int = 6, channels: int = 3, size: tuple[int, int] = (32, 32)) -> list[np.ndarray]:
    """Smooth random tensors (1, C, H, W) with a mean that isn't 0."""
    random = np.random.default_rng(11)
    coarse = random.uniform(-1.0, 2.5, (count, channels, 5, 5))
    rows, columns = (np.linspace(0, 4, side).astype(int) for side in size)
    fine = coarse[:, :, rows][:, :, :, columns] + random.normal(0, 0.1, (count, channels, *size))
    return [item[None].astype(np.float32) for item in fine]


def lone_layer(tmp_path: Path, method: Method, **shape: Any) -> tuple[Any, ...]:
    """One quantized convolution: (graph, placement, layer, tensors, float weight)."""
    random = np.random.default_rng(2)
    group, size = shape.get("group", 1), shape.pop("size", (9, 11))
    weight = random.normal(0, 1, (6, 8 // group, 3, 3)).astype(np.float32)
    bias = random.normal(0, 1, 6).astype(np.float32)
    path = int8_graphs.lone(tmp_path / "lone.onnx", weight, bias, size=size, **shape)
    network = loaded(path)
    tensors = pictures(4, 8, size)
    spreads = measure.measure(network, tensors)
    placement = place.place(network, spreads)
    walked = walk.walk(network, placement, spreads, tensors, method)
    return network, placement, walked["lone"], tensors, weight


SHAPES: list[dict[str, Any]] = [
    {},
    {"strides": (2, 2)},
    {"dilations": (2, 2), "pads": (2, 2, 2, 2)},
    {"group": 2},
    {"pads": (0, 1, 2, 0), "strides": (1, 2)},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_integer_kernel_equals_numpy(tmp_path: Path, shape: dict[str, Any]) -> None:
    network, placement, layer, tensors, _weight = lone_layer(tmp_path, Method(), **shape)
    model, inputs, outputs = write.Writer(network, placement, {"lone": layer}).alone(placement.steps[0])
    session = open_bytes(model)
    scale, zero = placement.scales["input"]
    out_scale, out_zero = placement.scales["result"]
    for tensor in tensors:
        levels = np.clip(np.rint(tensor / np.float32(scale)) + zero, 0, 255).astype(np.uint8)
        found = session.run(outputs, {inputs[0]: levels})[0][0].astype(int)
        sums = int8_graphs.convolved(
            levels[0].astype(np.int64) - zero, layer.weight.astype(np.int64), **shape
        )
        size = np.float32(scale) * layer.step.astype(np.float32)
        sums += np.rint(layer.bias / size).astype(np.int64)[:, None, None]
        value = sums * (size.astype(np.float64) / out_scale)[:, None, None] + out_zero
        # Half a level of rounding, and what float32 factors leave.
        assert np.abs(found - np.clip(value, 0, 255)).max() < 0.51


@pytest.mark.parametrize("correction", ["local", "empirical"])
@pytest.mark.parametrize("shape", SHAPES)
def test_correction_makes_the_means_equal(tmp_path: Path, shape: dict[str, Any], correction: str) -> None:
    """`local` against float weights on the quantized input, `empirical` against the whole float layer."""
    method = Method(form="narrow", correction=correction)
    network, placement, layer, tensors, weight = lone_layer(tmp_path, method, **shape)
    scale, zero = placement.scales["input"]
    integers = layer.weight * layer.step[:, None, None, None]
    bias = network.constants["b"].astype(np.float64)
    true, found = [], []
    for tensor in tensors:
        levels = np.clip(np.rint(tensor / np.float32(scale)) + zero, 0, 255)
        value = (levels[0] - zero) * scale
        seen = value if correction == "local" else tensor[0].astype(np.float64)
        true.append(int8_graphs.convolved(seen, weight, **shape).mean(axis=(1, 2)) + bias)
        found.append(int8_graphs.convolved(value, integers, **shape).mean(axis=(1, 2)) + layer.bias)
    assert np.abs(np.mean(found, axis=0) - np.mean(true, axis=0)).max() < 1e-4


def test_each_correction_lessens_the_mean_error(tmp_path: Path) -> None:
    network = prepared(int8_graphs.unet(tmp_path / "unet.onnx"))
    tensors = pictures(8)
    spreads = measure.measure(network, tensors)
    placement = place.place(network, spreads, {network.nodes[-1].name})
    wanted = [step for step in placement.steps if step.integer and step.kind == "Conv"]
    names = [step.outputs[0] for step in wanted]
    errors = {}
    for correction in walk.CORRECTIONS:
        method = Method(form="narrow", correction=correction, feedback=False)
        layers = walk.walk(network, placement, spreads, tensors, method)
        model = write.Writer(network, placement, layers).whole({})
        shown = [write.levels_of(name) for name in names]
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in shown
        )
        session, floats = open_bytes(model), open_bytes(network.model(names))
        off = []
        for name, place_of in zip(names, shown, strict=True):
            scale, zero = placement.scales[name]
            feeds = [{network.input: tensor} for tensor in tensors]
            found = np.mean(
                [(session.run([place_of], feed)[0].astype(float) - zero) * scale for feed in feeds], axis=0
            )
            true = np.mean([floats.run([name], feed)[0] for feed in feeds], axis=0)
            off.append(np.abs((found - true).mean(axis=(0, 2, 3))).mean() / scale)
        errors[correction] = np.mean(off)
    for correction in walk.CORRECTIONS[1:]:
        assert errors[correction] < 0.5 * errors["none"], correction


def test_paired_weights_are_exact_where_full_ones_overflow(tmp_path: Path) -> None:
    """All inputs at 255 and all weights at their top: 255 x 127 x 2 doesn't fit into 16 bits."""
    weight = np.full((4, 8, 1, 1), 1.0, np.float32)
    path = int8_graphs.lone(
        tmp_path / "lone.onnx", weight, np.zeros(4, np.float32), size=(4, 4), pads=(0, 0, 0, 0)
    )
    network = loaded(path)
    tensors = [np.full((1, 8, 4, 4), 2.0, np.float32)]
    spreads = measure.measure(network, tensors)
    placement = place.place(network, spreads)
    found = {}
    for form in ("full", "paired", "narrow", "unsigned"):
        method = Method(form=form, correction="none", feedback=False)
        layers = walk.walk(network, placement, spreads, tensors, method)
        session = open_bytes(write.Writer(network, placement, layers).whole({}))
        found[form] = session.run(None, {"input": tensors[0]})[0]
    for form in ("paired", "narrow", "unsigned"):
        assert np.abs(found[form] - 16.0).max() < 0.07, form
    if "avx2" in cpu_flags() and not {"avx_vnni", "avx512_vnni"} & cpu_flags():
        assert found["full"].max() < 9.0


def test_equalizing_changes_no_function_and_evens_channels(tmp_path: Path) -> None:
    network = prepared(int8_graphs.unet(tmp_path / "unet.onnx"))
    tensors = pictures()
    spreads = measure.measure(network, tensors)
    other, scaled = equalize.equalize(network, spreads)
    again = measure.measure(other, tensors)
    for name, spread in again.items():
        assert np.allclose(spread.high, scaled[name].high, rtol=1e-3, atol=1e-4), name
        assert np.allclose(spread.mean, scaled[name].mean, rtol=1e-3, atol=1e-4), name
    first, second = open_bytes(network.model()), open_bytes(other.model())
    for tensor in tensors:
        feed = {network.input: tensor}
        assert np.abs(first.run(None, feed)[0] - second.run(None, feed)[0]).max() < 1e-5

    def unevenness(found: dict[str, measure.Spread], name: str) -> float:
        reach = found[name].reach
        return float(reach.max() / np.median(reach[reach > 0]))

    assert unevenness(again, "low.r") < unevenness(spreads, "low.r")


def test_placement_carries_integers_through(tmp_path: Path) -> None:
    network = prepared(int8_graphs.unet(tmp_path / "unet.onnx"))
    spreads = measure.measure(network, pictures())
    assert place.tail(network) == {"map"}
    placement = place.place(network, spreads, place.tail(network))
    kinds = {step.name or step.kind: step for step in placement.steps}
    floats = [step.kind for step in placement.steps if not step.integer]
    assert floats == ["Conv", "Sigmoid"]
    assert kinds["first"].relu is not None
    assert placement.scales[kinds["first"].outputs[0]][1] == 0
    assert "Relu" not in {step.kind for step in placement.steps}
    pool = next(step for step in placement.steps if step.kind == "MaxPool")
    assert placement.scales[pool.inputs[0]] == placement.scales[pool.outputs[0]]
    kept = place.place(network, spreads, {"low", *place.tail(network)})
    assert next(step.name for step in kept.steps if not step.integer) == "low"


def test_borders_of_zeros_become_the_convolutions(tmp_path: Path) -> None:
    path = int8_graphs.bordered(tmp_path / "bordered.onnx")
    network = prepared(path)
    assert "Pad" not in {node.op_type for node in network.nodes}
    for tensor in pictures():
        wanted = onnxruntime.InferenceSession(path).run(None, {"input": tensor})[0]
        found = open_bytes(network.model()).run(None, {"input": tensor})[0]
        assert np.abs(found - wanted).max() < 1e-6


@pytest.mark.parametrize("other", [{"value": 1.0}, {"shown": True}])
def test_other_borders_stay(tmp_path: Path, other: dict[str, Any]) -> None:
    network = prepared(int8_graphs.bordered(tmp_path / "bordered.onnx", **other))
    assert [node.op_type for node in network.nodes].count("Pad") == 1


def test_a_border_around_a_kernel_is_no_border_of_the_picture() -> None:
    nodes = [
        helper.make_node("Pad", ["kernel", "around"], ["padded"], name="border"),
        helper.make_node("Conv", ["input", "padded"], ["result"], name="by computed weights"),
    ]
    around = {"around": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    network = graph.Graph(nodes, around, {}, "input", "result", 17, {})
    assert graph.without_pads(network).nodes == nodes


NARROW_SHAPES: list[dict[str, Any]] = [
    {"pads": (0, 0, 0, 0)},
    {},
    {"pads": (2, 1, 0, 3)},
    {"dilations": (2, 2), "pads": (2, 2, 2, 2)},
]


@pytest.mark.parametrize("out", [1, 4])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("shape", NARROW_SHAPES)
def test_a_narrow_convolution_as_a_product_equals_numpy(
    tmp_path: Path, shape: dict[str, Any], side: int, out: int
) -> None:
    random = np.random.default_rng(4)
    weight = random.normal(0, 1, (out, write.WIDE, side, side)).astype(np.float32)
    bias = random.normal(0, 1, out).astype(np.float32)
    network = loaded(int8_graphs.lone(tmp_path / "lone.onnx", weight, bias, size=(9, 11), **shape))
    step = place.Step(network.nodes[0], ["input"], ["result"], False)
    placement = place.Placement([step], {"input": (0.02, 100)})
    model, inputs, outputs = write.Writer(network, placement, {}).alone(step)
    assert "Conv" not in {node.op_type for node in model.graph.node}
    levels = random.integers(0, 256, (1, write.WIDE, 9, 11)).astype(np.uint8)
    found = open_bytes(model).run(outputs, {inputs[0]: levels})[0][0]
    wanted = int8_graphs.convolved((levels[0].astype(np.float64) - 100) * 0.02, weight, **shape)
    assert np.abs(found - wanted - bias[:, None, None]).max() < 1e-4


def test_a_rounded_map_keeps_its_levels_and_lays_its_channels_last(tmp_path: Path) -> None:
    """`low` stays float and is enlarged for a layer on integers: rounded while it is small."""
    network = prepared(int8_graphs.unet(tmp_path / "unet.onnx"))
    spreads = measure.measure(network, pictures())
    placement = place.place(network, spreads, {"low", *place.tail(network)})
    steps = {step.name or step.kind: step for step in placement.steps}
    resize = next(step for step in placement.steps if step.kind == "Resize")
    assert resize.integer
    assert placement.scales[resize.inputs[0]] == placement.scales[resize.outputs[0]]
    relu = next(step for step in placement.steps if step.outputs == resize.inputs)
    assert not relu.integer
    for reader in (relu, steps["low"]):
        model, inputs, outputs = write.Writer(network, placement, {}).alone(reader)
        tensor = np.random.default_rng(8).normal(0, 2, network.shapes[reader.inputs[0]])
        given = {inputs[0]: np.clip(tensor * 50 + 100, 0, 255).astype(np.uint8)}
        if inputs == reader.inputs:
            given = {inputs[0]: tensor.astype(np.float32)}
        found = dict(zip(outputs, open_bytes(model).run(outputs, given), strict=True))
        name = reader.outputs[0]
        if name in placement.scales:
            scale, zero = placement.scales[name]
            assert (found[write.levels_of(name)] == walk.levels(found[name], scale, zero)).all()
    assert resize.inputs[0] in placement.scales


def test_the_session_runs_integer_kernels(tmp_path: Path) -> None:
    made = quantize(
        int8_graphs.unet(tmp_path / "unet.onnx"),
        SAMPLES,
        tmp_path / "int8.onnx",
        recipe=RECIPE,
        weights="paired",
        search=False,
    )
    assert made.path is not None
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(made.path, options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert kinds["QLinearConv"] == 3
    assert kinds["QLinearAdd"] == kinds["QLinearConcat"] == 1
    assert kinds["Conv"] + kinds["FusedConv"] == 1  # the map itself


@pytest.mark.parametrize("opset", [11, 17, 20])
def test_a_quantized_network_says_so_and_passes(tmp_path: Path, opset: int) -> None:
    carried = {"qbg.recipe": "{}", "other": "kept"}
    path = int8_graphs.unet(tmp_path / "unet.onnx", opset=opset, metadata=carried)
    told: list[str] = []
    made = quantize(
        path,
        SAMPLES,
        tmp_path / "int8.onnx",
        recipe=RECIPE,
        on_progress=lambda what, _d, _n: told.append(what),
    )
    assert made.verdict is not None
    assert made.verdict.passed
    assert (made.photos, made.verdict.photos) == (5, 5)
    assert set(told) >= {"photos", "ranges", "layers", "gate, float", "gate, int8"}
    found = resolve(made.path, RECIPE)
    assert found.network.precision == "int8"
    assert found.network.output_shape == (1, 32, 32)
    model = onnx.load(tmp_path / "int8.onnx")
    onnx.checker.check_model(model)
    metadata = {item.key: item.value for item in model.metadata_props}
    facts = json.loads(metadata["qbg.quantized"])
    assert facts["from"] == resolve(path, RECIPE).network.digest
    assert facts["photos"] == 5
    assert facts["gate"]["iou"] == round(made.verdict.iou, 5)
    assert facts["gate"]["passed"] is True
    assert metadata["other"] == "kept"
    fields = json.loads(metadata["qbg.recipe"])
    assert Recipe(**{key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}) == RECIPE
    assert [item.name for item in model.graph.output] == ["alpha"]


def test_the_gate_refuses_ruined_masks(tmp_path: Path) -> None:
    path, out = int8_graphs.canceling(tmp_path / "canceling.onnx"), tmp_path / "int8.onnx"
    made = quantize(path, SAMPLES, out, recipe=RECIPE, search=False)
    assert made.verdict is not None
    assert not made.verdict.passed
    assert made.path is None
    assert not out.exists()
    forced = quantize(path, SAMPLES, out, recipe=RECIPE, search=False, force=True)
    assert forced.path == str(out)
    metadata = {item.key: item.value for item in onnx.load(out).metadata_props}
    assert "refused" in metadata["qbg.note"]
    assert json.loads(metadata["qbg.quantized"])["gate"]["passed"] is False


def test_the_search_finds_the_layer_that_must_stay_float(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a network of three layers each one is a large share.
    monkeypatch.setattr("qbg.models.int8.search.BUDGET", 0.98)
    monkeypatch.setattr("qbg.models.int8.search.CHEAP", 1.0)
    path = int8_graphs.canceling(tmp_path / "canceling.onnx")
    made = quantize(path, SAMPLES, tmp_path / "int8.onnx", recipe=RECIPE)
    assert made.verdict is not None
    assert made.verdict.iou > 0.98
    assert made.islands[0].layer == "second"
    assert {"first", "second"} <= set(made.islands[0].nodes)
    assert made.islands[0].after.iou > made.islands[0].before.iou + 0.1


def test_the_first_layers_may_stay_float_together(tmp_path: Path) -> None:
    found = prepared(int8_graphs.unet(tmp_path / "unet.onnx"))
    (one, first), (two, both), (three, more), *_rest = search.beginnings(found)
    assert (one, two, three) == ("first", "low", "join")
    assert first < both < more
    assert len(first) == 1
    order = [node.name for node in found.nodes]
    for name, nodes in search.beginnings(found):
        assert nodes == set(order[: order.index(name) + 1]), "all that feeds it, and nothing behind it"


def test_random_weights_are_not_judged(tmp_path: Path) -> None:
    metadata = {"qbg.weights": "random, seed 0", "qbg.note": "random weights: its masks mean nothing"}
    path = int8_graphs.unet(tmp_path / "unet.onnx", metadata=metadata)
    made = quantize(path, SAMPLES, tmp_path / "int8.onnx", recipe=RECIPE)
    assert made.verdict is None
    assert made.path is not None
    kept = {item.key: item.value for item in onnx.load(made.path).metadata_props}
    assert kept["qbg.note"] == metadata["qbg.note"]
    assert "not measured" in kept["qbg.quantized"]


def test_verdict_counts_as_numpy_does() -> None:
    one = np.zeros((4, 4), np.uint8)
    one[:2] = 255
    other = one.copy()
    other[1] = 100
    verdict = gate.compare([one, one], [one, other])
    assert verdict.iou == pytest.approx((1.0 + 0.5) / 2)
    assert verdict.worst == 0.5
    assert verdict.difference == pytest.approx((4 * 155 / 255 / 16) / 2)
    empty = np.zeros((4, 4), np.uint8)
    assert gate.compare([empty], [empty]).iou == 1.0


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        call()
    assert caught.value.hint
    return str(caught.value)


def test_bad_input(tmp_path: Path) -> None:
    good, out = int8_graphs.unet(tmp_path / "unet.onnx"), tmp_path / "out.onnx"
    empty, broken, single = (tmp_path / name for name in ("empty", "broken", "single"))
    for folder in (empty, broken, single):
        folder.mkdir()
    (empty / "notes.txt").write_text("no picture")
    for name in ("a.jpg", "b.jpg"):
        (broken / name).write_bytes(b"\xff\xd8\xff no more than this")
    (single / "one.jpg").write_bytes((SAMPLES / "cap.jpg").read_bytes())
    rubbish = tmp_path / "rubbish.onnx"
    rubbish.write_bytes(b"not a graph")
    assert "no picture" in _refusal(lambda: quantize(good, empty, out, recipe=RECIPE))
    assert "no such folder" in _refusal(lambda: quantize(good, tmp_path / "absent", out, recipe=RECIPE))
    assert "can be decoded" in _refusal(lambda: quantize(good, broken, out, recipe=RECIPE))
    assert "--gate" in _refusal(lambda: quantize(good, single, out, recipe=RECIPE))
    assert "not an ONNX file" in _refusal(lambda: quantize(rubbish, SAMPLES, out, recipe=RECIPE))
    made = quantize(good, SAMPLES, tmp_path / "int8.onnx", recipe=RECIPE, search=False)
    assert "already" in _refusal(lambda: quantize(made.path, SAMPLES, out, recipe=RECIPE))
    varying = Recipe(fit="long", side=32, multiple=8)
    dynamic = Network(
        path=str(good),
        digest="",
        input_name="input",
        input_shape=(1, 3, 0, 0),
        output_name="alpha",
        output_shape=(1, 0, 0),
    )
    assert dynamic.precision == "fp32"
    assert "size" in _refusal(lambda: quantize(good, SAMPLES, out, recipe=varying))
    with pytest.raises(ValueError, match="weights"):
        quantize(good, SAMPLES, out, recipe=RECIPE, weights="int4")
    with pytest.raises(ValueError, match="photos"):
        quantize(good, SAMPLES, out, recipe=RECIPE, photos=0)
    assert not out.exists()


def test_nothing_half_written(tmp_path: Path) -> None:
    path = int8_graphs.unet(tmp_path / "unet.onnx")
    place_of = tmp_path / "folder"
    place_of.mkdir()
    with pytest.raises(OutputError):
        quantize(path, SAMPLES, place_of, recipe=RECIPE, search=False)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "unet.onnx"]


def test_without_the_onnx_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "qbg[models]" in _refusal(lambda: quantize(None, SAMPLES, tmp_path / "out.onnx"))


def test_command_line(tmp_path: Path, qbg: Callable[..., Outcome]) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('height = 32\nwidth = 32\nfilter = "bilinear"\n')
    out = tmp_path / "int8.onnx"
    common = ["models", "quantize", "--photos", "3", "--calibrate", SAMPLES, "--recipe", recipe, "--out", out]
    good = qbg(*common, int8_graphs.unet(tmp_path / "unet.onnx"))
    assert good.code == 0, good.err
    assert "gate passed" in good.out
    out.unlink()
    ruined = qbg(*common, "--no-search", "--quiet", int8_graphs.canceling(tmp_path / "canceling.onnx"))
    assert ruined.code == 4
    assert "gate REFUSED" in ruined.out
    assert "hint:" in ruined.err
    assert not out.exists()
    none = qbg("models", "quantize", "--calibrate", tmp_path / "absent", "--out", out, "qbg-base")
    assert none.code == 3
    wrong = qbg(*common, "--weights", "int4", tmp_path / "unet.onnx")
    assert wrong.code == 2


@needs_u2netp
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_u2netp_passes_the_gate(tmp_path: Path) -> None:
    if not PHOTOS.is_dir():
        pytest.skip(f"SKIPPED: {PHOTOS} isn't here: photos to calibrate on")
    made = quantize("u2netp", PHOTOS, tmp_path / "u2netp-int8.onnx", photos=16)
    assert made.verdict is not None
    assert made.verdict.passed
    assert made.integer > 0.9
    assert made.bytes < 2_000_000


@pytest.mark.parametrize("refine", [False, True])
def test_the_gate_looks_at_the_masks_of_use(refine: bool) -> None:
    """Edges and all: what a float session gives is what `qbg.Remover` gives."""
    resolved = resolve(None)
    recipe = replace(resolved.recipe, refine=refine)
    [photo] = photos.read([SAMPLES / "coat.jpg"], recipe)
    session = open_session(load_onnxruntime(), resolved.network.path)
    output = session.run(None, {resolved.network.input_name: photo.tensor})[0]
    with package.Remover(recipe=recipe) as remover:
        expected = np.asarray(remover.mask(SAMPLES / "coat.jpg"))
    np.testing.assert_array_equal(photos.alpha(output, recipe, photo), expected)
