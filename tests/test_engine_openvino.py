"""OpenVINO against NumPy and ONNX Runtime; without the package only what is said in its place."""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import graphs
from engines import a_slot, brightness, facts
from qbg.engine import make, precision_of
from qbg.errors import EngineError, ModelError
from qbg.network import Network

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="SKIPPED: OpenVINO isn't installed: pip install 'qbg[openvino]' runs these",
)

TOLERANCE = 1e-4
"""Of logits between the two engines in fp32, absolute: a hundredth of what moves a mask by a level."""


def test_absent_openvino_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match=r"pip install 'qbg\[openvino\]'"):
        make("openvino", facts())


def test_precisions_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="auto, fp32, bf16, int8"):
        make("onnxruntime", facts(), precision="fp8")
    with pytest.raises(EngineError, match="openvino"):
        make("onnxruntime", facts(), precision="bf16")
    with pytest.raises(EngineError, match="is fp32"):
        make("onnxruntime", facts(), precision="int8")
    with pytest.raises(EngineError, match="is int8"):
        make("onnxruntime", facts(precision="int8"), precision="fp32")
    with pytest.raises(EngineError, match="no network"):
        make("null", facts(), precision="fp32")
    assert precision_of("null", facts()) == "none"
    assert precision_of("onnxruntime", facts(precision="int8")) == "int8"


@needs_openvino
@pytest.mark.parametrize(("threads", "workers", "compiled"), [(1, 3, 2), (2, 3, 3)])
def test_reads_and_writes_the_slots_memory(
    threads: int, workers: int, compiled: int, quick_model: Path
) -> None:
    engine = make("openvino", facts(quick_model), threads=threads, workers=workers)
    slots = [a_slot(), a_slot(), a_slot(node=1)]
    infers = [engine.make_worker(slot) for slot in slots]  # type: ignore[arg-type]
    random = np.random.default_rng(3)
    for _ in range(2):
        for slot in slots:
            slot.input.array[:] = random.normal(size=slot.input.shape)
        for infer in infers:
            infer()
        for slot in slots:
            np.testing.assert_allclose(slot.output.array, brightness(slot.input.array), atol=1e-5)
    assert engine.describe()["compiled"] >= compiled


@needs_openvino
def test_same_logits_as_onnxruntime_without_the_outputs_that_nobody_reads(tmp_path: Path) -> None:
    path = graphs.random_network(tmp_path / "r.onnx", 32, seed=5, outputs=3)
    pixels = np.random.default_rng(4).normal(size=(1, 3, 32, 32))
    found = []
    for name in ("onnxruntime", "openvino"):
        slot = a_slot()
        slot.input.array[:] = pixels
        make(name, facts(path)).make_worker(slot)()  # type: ignore[arg-type]
        found.append(slot.output.array)
    np.testing.assert_allclose(found[1], found[0], atol=TOLERANCE)
    assert np.ptp(found[0]) > 100 * TOLERANCE


@needs_openvino
def test_half_outputs_become_whole_ones(tmp_path: Path) -> None:
    whole, half = (
        graphs.random_network(tmp_path / f"{half}.onnx", 32, seed=5, half=half) for half in (False, True)
    )
    found = []
    for path in (whole, half):
        slot = a_slot()
        slot.input.array[:] = np.random.default_rng(4).normal(size=slot.input.shape)
        make("openvino", facts(path)).make_worker(slot)()  # type: ignore[arg-type]
        found.append(slot.output.array)
    np.testing.assert_allclose(found[1], found[0], atol=5e-3)


def left_open(model: Path, path: Path) -> Path:
    """The same network for pictures of any size."""
    graph = onnx.load(model)
    for tensor in (graph.graph.input[0], graph.graph.output[0]):
        for number, name in ((2, "height"), (3, "width")):
            tensor.type.tensor_type.shape.dim[number].dim_param = name
    onnx.save(graph, path)
    return path


@needs_openvino
def test_an_open_size_is_compiled_for_the_recipes(quick_model: Path, tmp_path: Path) -> None:
    engine: Any = make("openvino", facts(left_open(quick_model, tmp_path / "open.onnx")))
    slot = a_slot()
    slot.input.array[:] = np.random.default_rng(4).normal(size=slot.input.shape)
    engine.make_worker(slot)()
    np.testing.assert_allclose(slot.output.array, brightness(slot.input.array), atol=1e-5)
    ((compiled, _left),) = engine._compiled.values()
    assert tuple(compiled.input(0).shape) == slot.input.shape, (
        "static: asking an open one for its shape raises"
    )


@needs_openvino
def test_dynamic_worker_takes_each_size(quick_model: Path, tmp_path: Path) -> None:
    network: Network = facts(left_open(quick_model, tmp_path / "open.onnx"), side=0)
    slot = a_slot(dynamic=True)
    infer: Any = make("openvino", network).make_worker(slot)  # type: ignore[arg-type]
    random = np.random.default_rng(4)
    for height, width in [(8, 12), (32, 32), (8, 12), *((n, 3) for n in range(1, 12))]:
        pixels = random.normal(size=(1, 3, height, width)).astype(np.float32)
        slot.input.array.reshape(-1)[: pixels.size] = pixels.reshape(-1)
        infer(height, width)
        got = slot.output.array.reshape(-1)[: height * width].reshape(1, 1, height, width)
        np.testing.assert_allclose(got, brightness(pixels), atol=1e-5)


@needs_openvino
def test_wrong_files_are_told_in_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="can't load") as caught:
        make("openvino", facts(bad)).make_worker(a_slot())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value.args[0])
    assert not str(caught.value.args[0]).startswith("Exception")


@needs_openvino
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="SKIPPED: needs two CPUs that threads can be kept on",
)
def test_its_threads_are_not_kept_on_the_cpu_of_the_worker_that_compiles(quick_model: Path) -> None:
    allowed = os.sched_getaffinity(0)
    engine = make("openvino", facts(quick_model), workers=2)
    before = {task.name for task in Path("/proc/self/task").iterdir()}

    def pinned() -> set[int]:
        os.sched_setaffinity(0, {min(allowed)})
        infer = engine.make_worker(a_slot())  # type: ignore[arg-type]
        infer()
        return os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as pool:
        own = pool.submit(pinned).result()
        made = {task for task in Path("/proc/self/task").iterdir() if task.name not in before}
        widths = sorted(len(os.sched_getaffinity(int(task.name))) for task in made)
    assert own == {min(allowed)}, "the worker itself stays where it was"
    assert widths.count(1) == 1, f"only the worker is kept on one CPU: {widths}"
