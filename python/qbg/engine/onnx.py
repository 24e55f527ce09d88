"""ONNX Runtime on the CPU: one shared session per NUMA node, one IO binding per worker.

A worker's binding points at the worker's tensors in Rust's memory, so that a call copies nothing
and makes no Python object: `infer` is the C method `run_with_iobinding` with its binding. One
thread per call and no spinning: the workers are the parallelism. A session is made by the first
worker of its node, on that worker's pinned thread, so that the weights lie in that node's memory.
Must not know recipes or what stands before and after the network.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import TYPE_CHECKING, Any

from qbg.errors import EngineError, ModelError, QbgError
from qbg.network import Network
from qbg.options import one_of

if TYPE_CHECKING:
    from qbg._native import Slot
    from qbg.engine.base import Infer

ERROR_SEVERITY = 3
"""ONNX Runtime's log level that leaves warnings out: they speak to who made the graph."""

SESSIONS = ("node", "one", "worker")

NOISE = (r"^Load model from .* failed:(?=\S)", r"^/\S+:\d+ .*?\) (?=[A-Z])")
"""Before the words that count: the path, which is told anyway, and the C++ function that complains."""

AGAIN = "the file may be incomplete or of a newer format; get it again"
NEWER = "update onnxruntime, or export the network with an older opset"
HINTS = (
    ("opset", NEWER),
    ("IR version", NEWER),
    ("No Op registered", "export the network with the standard operators of ONNX"),
    ("invalid model", "export the network again; onnx.checker tells what is wrong with it"),
    ("xternal data", "keep the file with the weights beside it, or export the network as one file"),
)

BINDINGS_KEPT = 8
"""Per worker of a dynamic network: bindings of that many sizes are kept."""


class OnnxEngine:
    """Runs one ONNX file on many workers.

    Args:
        network: the file and its shapes.
        threads: intra-op threads of each call. More than 1 only helps when there are fewer images
            than cores. A session's threads serve all its callers, so each worker then has its own.
        sessions: `node`: workers of a NUMA node share one. To measure what that gives, `one` for all
            nodes, or one for each `worker`.

    Raises:
        EngineError: ONNX Runtime isn't installed or doesn't load.
        ValueError: no such word for `sessions`.
    """

    def __init__(self, network: Network, *, threads: int = 1, sessions: str = "node") -> None:
        one_of("sessions", sessions, SESSIONS)
        self._ort = load_onnxruntime()
        self._network = network
        self._threads = threads
        self._lock = threading.Lock()
        self._share = "worker" if threads > 1 else sessions
        self._sessions: dict[int | None, Any] = {}

    @property
    def name(self) -> str:
        return "onnxruntime"

    @property
    def precision(self) -> str:
        return self._network.precision

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return self._network.input_shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        return self._network.output_shape

    def make_worker(self, slot: Slot) -> Infer:
        """A bound call on the session of the slot's node."""
        try:
            session = self._session(self._sharers(slot))
            if slot.dynamic:
                return _Dynamic(session, self._network, slot)
            if self._network.output_type != "float32":
                return _Widened(session, self._network, slot)
            binding = bind(session, self._network, slot, slot.input.shape, slot.output.shape)
        except QbgError:
            raise
        except Exception as error:
            raise EngineError(f"ONNX Runtime: {first_line(error)}", stage="engine") from error
        # `session._sess` is the C object: the public wrapper adds a Python frame to each call.
        # The partial's attribute keeps the tensors' memory alive as long as the call can be made.
        infer = functools.partial(_c_session(session).run_with_iobinding, binding, None)
        infer.keep = (session, slot)  # type: ignore[attr-defined]
        return infer

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": str(self._ort.__version__),
            "providers": list(self._ort.get_available_providers()),
            "precision": self.precision,
            "threads_per_worker": self._threads,
            "sessions": len(self._sessions),
        }

    def _sharers(self, slot: Slot) -> int | None:
        """The number of the group of workers that this one shares a session with."""
        if self._share == "worker":
            return slot.index
        return slot.node if self._share == "node" else None

    def _session(self, group: int | None) -> Any:
        # One at a time, also across nodes: making a session takes a core and twice its memory.
        with self._lock:
            if group not in self._sessions:
                self._sessions[group] = open_session(self._ort, self._network.path, threads=self._threads)
            return self._sessions[group]


class _Widened:
    """`infer` of a graph whose output is float16: it is copied to the slot, which holds float32.

    A copy and two more Python calls per image, which such heavy networks don't notice.
    """

    def __init__(self, session: Any, network: Network, slot: Slot) -> None:
        import numpy as np

        self._full = np.asarray(slot.output)
        self._half = np.empty(slot.output.shape, np.float16)
        self._copy = np.copyto
        self._keep = (session, slot)
        binding = session.io_binding()
        binding.bind_input(network.input_name, "cpu", 0, np.float32, slot.input.shape, slot.input.address)
        binding.bind_output(
            network.output_name, "cpu", 0, np.float16, slot.output.shape, self._half.ctypes.data
        )
        self._binding = binding._iobinding
        self._run = _c_session(session).run_with_iobinding

    def __call__(self) -> None:
        self._run(self._binding, None)
        self._copy(self._full, self._half)


class _Dynamic:
    """`infer(height, width)` for pictures of many sizes in one worker's memory."""

    def __init__(self, session: Any, network: Network, slot: Slot) -> None:
        self._session = session
        self._network = network
        self._slot = slot
        self._run = _c_session(session).run_with_iobinding
        self._bindings: dict[tuple[int, int], Any] = {}

    def __call__(self, height: int, width: int) -> None:
        binding = self._bindings.get((height, width))
        if binding is None:
            if len(self._bindings) >= BINDINGS_KEPT:
                self._bindings.pop(next(iter(self._bindings)))
            channels, rows, columns = self._network.output_shape
            shape_in = (1, 3, height, width)
            shape_out = (1, channels, rows or height, columns or width)
            binding = bind(self._session, self._network, self._slot, shape_in, shape_out)
            self._bindings[(height, width)] = binding
        self._run(binding, None)


def bind(
    session: Any, network: Network, slot: Slot, shape_in: tuple[int, ...], shape_out: tuple[int, ...]
) -> Any:
    """A C binding of the slot's memory to the graph's input and output."""
    import numpy as np

    binding = session.io_binding()
    binding.bind_input(network.input_name, "cpu", 0, np.float32, shape_in, slot.input.address)
    binding.bind_output(network.output_name, "cpu", 0, np.float32, shape_out, slot.output.address)
    return binding._iobinding


def open_session(ort: Any, path: str, *, threads: int = 1, optimize: bool = True) -> Any:
    """A CPU session that neither spins nor pins: the caller's thread is where it belongs already.

    Raises:
        ModelError: the file is absent or isn't a graph that ONNX Runtime takes.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A plan of all tensors in one block would give each caller the whole block; taken one by one they share
    # the arena. Measured at 384x384: 134 in place of 228 MiB per further worker, the same time. No arena at
    # all is slower and takes more; growing by what is asked for makes no difference.
    options.enable_mem_pattern = False
    options.log_severity_level = ERROR_SEVERITY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its exceptions share no base class of their own.
        line = first_line(error)
        hint = next((hint for word, hint in HINTS if word in line), AGAIN)
        raise ModelError(
            f"ONNX Runtime can't load it: {line}", stage="model", path=path, hint=hint
        ) from error


def load_onnxruntime() -> Any:
    """The module.

    Raises:
        EngineError: it isn't installed or doesn't load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime doesn't load: {first_line(error)}",
            stage="engine",
            hint="pip install onnxruntime",
        ) from error
    # Before a session exists: otherwise each one warns about CPUs that a container hides.
    onnxruntime.set_default_logger_severity(ERROR_SEVERITY)
    return onnxruntime


def first_line(error: BaseException) -> str:
    """An exception's first line, without what ONNX Runtime puts before it: code, path, its own source."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    if not line.startswith("[ONNXRuntimeError]"):
        return line
    line = line.split(" : ", 3)[-1]
    for noise in NOISE:
        line = re.sub(noise, "", line, count=1)
    opset = re.search(r"Opset (\d+) is under development.* is till opset (\d+)", line)
    return f"it is opset {opset[1]}, and this one knows those up to {opset[2]}" if opset else line


def _c_session(session: Any) -> Any:
    return session._sess
