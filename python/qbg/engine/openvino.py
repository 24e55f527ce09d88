"""OpenVINO on the CPU, from the extra `qbg[openvino]`: packs of workers share a compiled network.

OpenVINO runs a synchronous call on the thread that makes it, on a graph of its own per stream, so that a
worker's picture stays on the worker's CPU. The weights belong to the compiled network; the first worker of a
pack compiles it, on a thread of its node and thereby in its node's memory. OpenVINO pins nothing itself, and
each call has one thread unless more are asked for. Its threads inherit the CPUs of the thread that compiles:
a worker that is pinned to one CPU therefore leaves it for the whole node meanwhile. The worker's tensors are
bound once: a call copies nothing. Must not know recipes or what stands before and after the network.

Source: OpenVINO's documentation, `CPU device` and `High-level performance hints`. Left out: throughput by
OpenVINO's own queue of streams, since qbg's workers are that queue; its cache of compiled networks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from qbg.engine.onnx import BINDINGS_KEPT, first_line
from qbg.errors import EngineError, ModelError
from qbg.network import Network

if TYPE_CHECKING:
    from qbg._native import Slot
    from qbg.engine.base import Infer

HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's inference precision by ours. What isn't quantized in an int8 file is computed in fp32: left to
itself OpenVINO takes bf16 where the CPU has it."""

PACK = 8
"""Workers of one node that share a compiled network at most. OpenVINO makes a graph for each when it
compiles, used or not; what a pack saves is a copy of the weights per worker."""


class OpenvinoEngine:
    """Runs one ONNX file on many workers.

    Args:
        network: the file and its shapes.
        precision: `fp32`, `bf16` or `int8`; the last one only says that the file is quantized.
        threads: of each call. With more than 1 each worker compiles a network of its own.
        workers: in all, where that is known: no pack is larger.

    Raises:
        EngineError: OpenVINO isn't installed or doesn't load, or this CPU lacks the precision.
    """

    def __init__(
        self, network: Network, *, precision: str = "fp32", threads: int = 1, workers: int | None = None
    ) -> None:
        from qbg import _native

        self._ov = load_openvino()
        # Here and not on a worker's thread: OpenVINO sees those CPUs that its first thread may use.
        self._core = self._ov.Core()
        if precision not in precisions(self._core, network):
            raise EngineError(
                f"OpenVINO has no {precision} on this CPU for this file",
                stage="engine",
                hint=f"--precision {network.precision}",
            )
        self._network = network
        self._precision = precision
        self._threads = threads
        self._pack = 1 if threads > 1 else min(PACK, workers or PACK)
        # A worker that is pinned sees its own CPU only.
        system = _native.system()
        self._cpus: dict[int | None, list[int]] = system["cpus_by_node"]
        self._allowed: list[int] = system["cpus_allowed"]
        self._lock = threading.Lock()
        self._compiled: dict[int | None, tuple[Any, int]] = {}
        self._made = 0

    @property
    def name(self) -> str:
        return "openvino"

    @property
    def precision(self) -> str:
        return self._precision

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return self._network.input_shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        return self._network.output_shape

    def make_worker(self, slot: Slot) -> Infer:
        """A bound call on the compiled network of the worker's pack."""
        try:
            request = self._place(slot.node).create_infer_request()
            if slot.dynamic:
                return _Dynamic(self._ov, request, self._network, slot)
            _bind(self._ov, request, _views(slot, slot.input.shape, slot.output.shape))
        except ModelError:
            raise
        except Exception as error:
            raise EngineError(f"OpenVINO: {_reason(error)}", stage="engine") from error
        infer = functools.partial(_c_infer(request), request, {}, True, False)
        infer.keep = slot  # type: ignore[attr-defined]
        return infer

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": str(self._ov.__version__),
            "precision": self.precision,
            "threads_per_worker": self._threads,
            "compiled": self._made,
        }

    def _place(self, node: int | None) -> Any:
        """A compiled network of that node with a stream to spare."""
        with self._lock:
            compiled, left = self._compiled.get(node, (None, 0))
            if left == 0:
                with at_large(self._cpus.get(node) or self._allowed):
                    compiled = self._compile()
                # Never more streams than CPUs, whatever was asked for.
                left = max(1, int(compiled.get_property("NUM_STREAMS")))
                self._made += 1
            self._compiled[node] = (compiled, left - 1)
            return compiled

    def _compile(self) -> Any:
        network = self._network
        try:
            model = self._core.read_model(network.path)
            # Without the outputs that nobody reads; float16 ones become float32 on their way out.
            wanted = model.output(network.output_name)
            model = self._ov.Model([wanted], model.get_parameters(), "qbg")
            steps = self._ov.preprocess.PrePostProcessor(model)
            steps.output(0).tensor().set_element_type(self._ov.Type.f32)
            model = steps.build()
            if all(network.input_shape):
                # A graph that leaves the size open is compiled for this one: memory and kernels are planned.
                model.reshape(list(network.input_shape))
        except Exception as error:
            raise ModelError(
                f"OpenVINO can't load it: {_reason(error)}",
                stage="model",
                path=network.path,
                hint="--engine onnxruntime",
            ) from error
        return self._core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": self._pack,
                "INFERENCE_NUM_THREADS": self._pack * self._threads,
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": HINTS[self._precision],
            },
        )


@contextlib.contextmanager
def at_large(cpus: Collection[int]) -> Iterator[None]:
    """Lets the calling thread, and those that it makes meanwhile, run on these CPUs.

    Nothing happens without any, or where threads have no CPUs, as on macOS.
    """
    if not cpus or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    # CPUs may have been taken away since they were counted: then all stays as it is.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Dynamic:
    """`infer(height, width)` for pictures of many sizes in one worker's memory."""

    def __init__(self, ov: Any, request: Any, network: Network, slot: Slot) -> None:
        self._ov = ov
        self._request = request
        self._network = network
        self._slot = slot
        self._infer = _c_infer(request)
        self._tensors: dict[tuple[int, int], tuple[Any, Any]] = {}

    def __call__(self, height: int, width: int) -> None:
        tensors = self._tensors.get((height, width))
        if tensors is None:
            if len(self._tensors) >= BINDINGS_KEPT:
                self._tensors.pop(next(iter(self._tensors)))
            channels, rows, columns = self._network.output_shape
            shape_out = (1, channels, rows or height, columns or width)
            views = _views(self._slot, (1, 3, height, width), shape_out)
            tensors = self._tensors[(height, width)] = _tensors(self._ov, views)
        self._request.set_input_tensor(0, tensors[0])
        self._request.set_output_tensor(0, tensors[1])
        self._infer(self._request, {}, True, False)


def _views(slot: Slot, shape_in: tuple[int, ...], shape_out: tuple[int, ...]) -> tuple[Any, Any]:
    """NumPy views of the front of the slot's memory."""
    import math

    import numpy as np

    pairs = ((slot.input, shape_in), (slot.output, shape_out))
    whole = [(np.asarray(tensor).reshape(-1), shape) for tensor, shape in pairs]
    one, two = (flat[: math.prod(shape)].reshape(shape) for flat, shape in whole)
    return one, two


def _tensors(ov: Any, views: tuple[Any, Any]) -> tuple[Any, Any]:
    return ov.Tensor(views[0], shared_memory=True), ov.Tensor(views[1], shared_memory=True)


def _bind(ov: Any, request: Any, views: tuple[Any, Any]) -> None:
    entry, result = _tensors(ov, views)
    request.set_input_tensor(0, entry)
    request.set_output_tensor(0, result)


def _c_infer(request: Any) -> Callable[..., Any]:
    """The C method: the public wrapper sorts inputs and copies outputs in Python."""
    kind = next(kind for kind in type(request).__mro__ if kind.__module__.endswith("_pyopenvino"))
    method: Callable[..., Any] = vars(kind)["infer"]
    return method


def precisions(core: Any, network: Network) -> tuple[str, ...]:
    """What OpenVINO computes this file in on this CPU."""
    if network.precision == "int8":
        return ("int8",)
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16") if "BF16" in able else ("fp32",)


def load_openvino() -> Any:
    """The module.

    Raises:
        EngineError: it isn't installed or doesn't load.
    """
    try:
        import openvino
        import openvino.preprocess
    except ImportError as error:
        raise EngineError(
            f"OpenVINO doesn't load: {first_line(error)}",
            stage="engine",
            hint="pip install 'qbg[openvino]'",
        ) from error
    return openvino


def _reason(error: BaseException) -> str:
    """The line that tells something: OpenVINO begins with where in its source it complains."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '", "src/"))]
    return (telling or lines or [type(error).__name__])[0]
