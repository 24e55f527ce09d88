"""Two pictures a call: graphs that can be written for two, graphs that can't, and what is said of each."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import graphs
from qbg import models
from qbg.bench import batches
from qbg.errors import EngineError, ModelError
from qbg.network import Network

SIDE = 64
SIZE = (SIDE, SIDE)


def network(path: Path) -> Network:
    return models.resolve(path).network


def with_end(path: Path, *nodes: onnx.NodeProto, **constants: list[int]) -> Network:
    """The random network with more nodes, from `first` to `last`, at its end."""
    model = onnx.load(graphs.random_network(path, SIDE, seed=3))
    output = model.graph.output[0].name
    maker = next(node for node in model.graph.node if output in node.output)
    maker.output[list(maker.output).index(output)] = "first"
    model.graph.node.extend(nodes)
    model.graph.node[-1].output[0] = output
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(values, np.int64), name) for name, values in constants.items()
    )
    onnx.save(model, path)
    return network(path)


def test_two_calls_are_compared_with_one_of_two(tmp_path: Path) -> None:
    found = network(graphs.random_network(tmp_path / "m.onnx", SIDE, seed=1))
    pair = batches.pair(found, SIZE, "onnxruntime", "fp32", tmp_path)
    assert pair.why is None
    assert pair.gain is not None
    assert 0 < pair.gain.low <= pair.gain.value <= pair.gain.high
    assert batches.ROUNDS[0] <= pair.gain.count <= batches.ROUNDS[1]


def test_a_batch_that_a_reshape_holds_is_two_as_well(tmp_path: Path) -> None:
    found = with_end(
        tmp_path / "m.onnx",
        helper.make_node("Reshape", ["first", "row"], ["flat"]),
        helper.make_node("Reshape", ["flat", "map"], ["last"]),
        row=[1, SIDE * SIDE],
        map=[1, 1, SIDE, SIDE],
    )
    pair = batches.pair(found, SIZE, "onnxruntime", "fp32", tmp_path)
    assert pair.gain is not None, pair.why


def test_a_graph_of_one_picture_is_told_and_not_timed(tmp_path: Path) -> None:
    found = with_end(
        tmp_path / "m.onnx",
        helper.make_node("Reshape", ["first", "row"], ["flat"]),
        helper.make_node("Reshape", ["flat", "map"], ["last"]),
        row=[SIDE, SIDE],
        map=[1, 1, SIDE, SIDE],
    )
    pair = batches.pair(found, SIZE, "onnxruntime", "fp32", tmp_path)
    assert pair.gain is None
    assert pair.why == batches.OF_ONE


def test_a_graph_that_mixes_pictures_is_told_and_not_timed(tmp_path: Path) -> None:
    found = with_end(
        tmp_path / "m.onnx",
        helper.make_node("ReduceMean", ["first"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["first", "mean"], ["apart"]),
        helper.make_node("Add", ["apart", "first"], ["last"]),
    )
    pair = batches.pair(found, SIZE, "onnxruntime", "fp32", tmp_path)
    assert pair.gain is None
    assert "mixes" in str(pair.why)


def test_without_the_package_that_writes_graphs_its_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = network(graphs.random_network(tmp_path / "m.onnx", SIDE, seed=1))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EngineError, match=r"qbg\[models\]"):
        batches.of_two(found.path)
    pair = batches.pair(found, SIZE, "onnxruntime", "fp32", tmp_path)
    assert "qbg[models]" in str(pair.why)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="can't be read"):
        batches.of_two(str(path))
