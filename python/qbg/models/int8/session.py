"""ONNX Runtime sessions of models in memory: the same settings as the engine's, so the same kernels."""

from __future__ import annotations

from typing import Any

import onnx

from qbg.engine.onnx import first_line, load_onnxruntime, open_session
from qbg.errors import ModelError


def open_bytes(model: onnx.ModelProto | bytes, threads: int = 1) -> Any:
    """A session; one thread and full optimization, as a worker has.

    Raises:
        ModelError: ONNX Runtime doesn't take it.
    """
    data = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        return open_session(load_onnxruntime(), data, threads=threads)  # type: ignore[arg-type]
    except ModelError as error:
        cause = error.__cause__ or error
        raise ModelError(f"ONNX Runtime can't load the graph: {first_line(cause)}", stage="model") from error
