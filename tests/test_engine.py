"""Engines on tiny graphs, with tensors of NumPy's in the place of the core's."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from engines import SIDE, a_slot, brightness, facts
from qbg.bench.batches import Slot
from qbg.engine import NAMES, make
from qbg.engine.onnx import OnnxEngine, first_line
from qbg.engine.simulated import SimulatedEngine
from qbg.errors import EngineError, ModelError
from qbg.network import Network


def worker(engine: Any, slot: Slot) -> Any:
    return engine.make_worker(slot)


def test_onnxruntime_reads_and_writes_the_slots_memory(quick_model: Path) -> None:
    engine = make("onnxruntime", facts(quick_model))
    slots = [a_slot(), a_slot(), a_slot(node=1)]
    infers = [worker(engine, slot) for slot in slots]
    generator = np.random.default_rng(3)
    for _ in range(2):
        for slot in slots:
            slot.input.array[:] = generator.normal(size=slot.input.shape)
        for infer in infers:
            assert infer() is None
        for slot in slots:
            np.testing.assert_allclose(slot.output.array, brightness(slot.input.array), rtol=1e-5)
    assert engine.describe()["sessions"] == 2, "one per NUMA node"


def open_graph(path: Path, quick_model: Path) -> Path:
    """The quick model with its sizes left open."""
    model = onnx.load(quick_model)
    for tensor in (model.graph.input[0], model.graph.output[0]):
        for number, name in ((2, "height"), (3, "width")):
            tensor.type.tensor_type.shape.dim[number].dim_param = name
    onnx.save(model, path)
    return path


def test_dynamic_worker_binds_each_size(quick_model: Path, tmp_path: Path) -> None:
    path = open_graph(tmp_path / "open.onnx", quick_model)
    network = Network(
        path=str(path),
        digest="",
        input_name="input",
        input_shape=(1, 3, 0, 0),
        output_name="alpha",
        output_shape=(1, 0, 0),
    )
    slot = a_slot(dynamic=True)
    infer = worker(make("onnxruntime", network), slot)
    generator = np.random.default_rng(4)
    for height, width in [(8, 12), (32, 32), (8, 12), *((n, 3) for n in range(1, 12))]:
        pixels = generator.normal(size=(1, 3, height, width)).astype(np.float32)
        slot.input.array.reshape(-1)[: pixels.size] = pixels.reshape(-1)
        infer(height, width)
        got = slot.output.array.reshape(-1)[: height * width].reshape(1, 1, height, width)
        np.testing.assert_allclose(got, brightness(pixels), rtol=1e-5)


def test_infer_keeps_the_slot_alive(quick_model: Path) -> None:
    slot = a_slot()
    alive = weakref.ref(slot)
    infer = worker(make("onnxruntime", facts(quick_model)), slot)
    del slot
    gc.collect()
    assert alive() is not None
    del infer
    gc.collect()
    assert alive() is None


def test_wrong_files_and_shapes(tmp_path: Path, quick_model: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="can't load"):
        worker(make("onnxruntime", facts(bad)), a_slot())
    infer = worker(make("onnxruntime", facts(quick_model)), a_slot(side=16))
    with pytest.raises(Exception, match="32"):
        infer()


def test_null_and_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    for name in ("null", "simulated:0.25"):
        engine = make(name, facts())
        slot = a_slot()
        worker(engine, slot)()
        plane = slot.output.array[0, 0]
        assert plane[SIDE // 2, SIDE // 2] > 0 > plane[0, 0]
        assert 0.3 < (plane > 0).mean() < 0.7
        assert engine.name == name
    assert slept == [0.25]
    slot = a_slot(dynamic=True)
    worker(make("null", facts()), slot)(10, 20)
    plane = slot.output.array.reshape(-1)[:200].reshape(10, 20)
    assert plane[5, 10] > 0 > plane[0, 0]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("tensorrt", ", ".join(NAMES)),
        ("simulated", "seconds"),
        ("simulated:x", "seconds"),
        ("simulated:-1", "0 to 3600"),
        ("null:3", "no argument"),
    ],
)
def test_wrong_names(name: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make(name, facts())
    with pytest.raises(ValueError, match="threads"):
        make("null", facts(), threads=0)


def test_absent_onnxruntime_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(EngineError, match="pip install onnxruntime"):
        make("onnxruntime", facts())


def test_first_line_of_onnxruntimes_errors() -> None:
    error = RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load failed:Protobuf: parsing\nmore")
    assert first_line(error) == "Load failed:Protobuf: parsing"
    source = "/src/core/model.cc:256 onnx::Model::Model(onnx::Proto&&, const Path&) "
    error = RuntimeError(
        f"[ONNXRuntimeError] : 1 : FAIL : Load model from /a b/x.onnx failed:{source}Unsupported IR: 99"
    )
    assert first_line(error) == "Unsupported IR: 99"
    assert first_line(ValueError()) == "ValueError"


@pytest.mark.parametrize(("sessions", "expected"), [("node", 2), ("one", 1), ("worker", 3)])
def test_who_shares_a_session(sessions: str, expected: int, quick_model: Path) -> None:
    engine = OnnxEngine(facts(quick_model), sessions=sessions)
    slots = [a_slot(node=node, index=index) for index, node in enumerate((0, 0, 1))]
    for slot in slots:
        engine.make_worker(slot)
    assert engine.describe()["sessions"] == expected


def test_an_unknown_way_to_share_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="node, one, worker"):
        OnnxEngine(facts(), sessions="none")


def test_drawn_times_are_all_used_in_an_order_of_the_workers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("qbg.engine.simulated.time.sleep", slept.append)
    times = tuple(number / 100 for number in range(8))
    orders = []
    for index in (0, 1, 0):
        slot = a_slot(index=index)
        infer = SimulatedEngine(facts(), seconds=0.5, times=times).make_worker(slot)
        slept.clear()
        for _turn in range(16):
            infer()
        assert sorted(slept[:8]) == sorted(slept[8:]) == list(times)
        orders.append(tuple(slept))
    assert orders[0] == orders[2] != orders[1]
    with pytest.raises(ValueError, match="0 to 3600"):
        SimulatedEngine(facts(), seconds=None, times=(-1.0,))


def test_threads_are_each_workers_own(quick_model: Path) -> None:
    engine = OnnxEngine(facts(quick_model), threads=2)
    slots = [a_slot(index=index) for index in range(2)]
    for index, slot in enumerate(slots):
        slot.input.array[:] = index
        engine.make_worker(slot)()
        np.testing.assert_allclose(slot.output.array, brightness(slot.input.array), rtol=1e-5)
    assert engine.describe()["sessions"] == 2
