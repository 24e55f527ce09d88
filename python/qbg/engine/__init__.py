"""Engines by name. Must not load any framework before one is asked for.

`onnxruntime` is the real one. `null` and `simulated:SECONDS` run no network: they show what
everything around it costs.
"""

from __future__ import annotations

from collections.abc import Callable

from qbg.engine.base import Engine, Infer
from qbg.network import Network

__all__ = ["DEFAULT", "NAMES", "Engine", "Infer", "make"]

DEFAULT = "onnxruntime"


def _onnxruntime(network: Network, argument: str, threads: int) -> Engine:
    from qbg.engine.onnx import OnnxEngine

    if argument:
        raise ValueError("engine `onnxruntime` takes no argument")
    return OnnxEngine(network, threads=threads)


def _null(network: Network, argument: str, threads: int) -> Engine:
    from qbg.engine.simulated import SimulatedEngine

    if argument:
        raise ValueError("engine `null` takes no argument; `simulated:SECONDS` does")
    return SimulatedEngine(network, seconds=None)


def _simulated(network: Network, argument: str, threads: int) -> Engine:
    from qbg.engine.simulated import SimulatedEngine

    try:
        seconds = float(argument)
    except ValueError:
        raise ValueError("engine `simulated` needs its seconds, as in `simulated:0.02`") from None
    return SimulatedEngine(network, seconds=seconds)


_MAKERS: dict[str, Callable[[Network, str, int], Engine]] = {
    "onnxruntime": _onnxruntime,
    "null": _null,
    "simulated": _simulated,
}

NAMES = tuple(_MAKERS)


def make(name: str, network: Network, *, threads: int = 1) -> Engine:
    """The engine called `name` for one network.

    Args:
        name: one of `NAMES`; `simulated` takes its seconds after a colon.
        network: what it shall run.
        threads: that one worker's inference may use.

    Raises:
        ValueError: no engine of that name, or a wrong argument.
        EngineError: the engine isn't installed or doesn't load.
    """
    word, _, argument = name.partition(":")
    if word not in _MAKERS:
        raise ValueError(f"no engine `{word}`; there are: {', '.join(NAMES)}")
    if threads < 1:
        raise ValueError(f"threads per worker must be at least 1, not {threads}")
    return _MAKERS[word](network, argument, threads)
