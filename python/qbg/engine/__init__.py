"""Engines by name. Must not load any framework before one is asked for.

`onnxruntime` is the default; `openvino` comes with the extra `qbg[openvino]`. `null` and `simulated:SECONDS`
run no network: they show what everything around it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qbg.engine.base import Engine, Infer
from qbg.errors import EngineError
from qbg.network import Network

__all__ = ["AUTO", "DEFAULT", "NAMES", "PRECISIONS", "Engine", "Infer", "make", "precision_of"]

DEFAULT = "onnxruntime"

AUTO = "auto"
"""The precision of the file: fp32, or int8 where it is quantized."""

PRECISIONS = (AUTO, "fp32", "bf16", "int8")

WITHOUT_NETWORK = ("null", "simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """How the network shall be run: see `make`."""

    argument: str
    threads: int
    precision: str
    workers: int | None


def _onnxruntime(network: Network, wish: _Wish) -> Engine:
    from qbg.engine.onnx import OnnxEngine

    if wish.argument:
        raise ValueError("engine `onnxruntime` takes no argument")
    if wish.precision == "bf16":
        raise EngineError(
            "ONNX Runtime computes in fp32 or int8 on CPUs, not in bf16",
            stage="engine",
            hint="--engine openvino, on a CPU that has bf16",
        )
    return OnnxEngine(network, threads=wish.threads)


def _openvino(network: Network, wish: _Wish) -> Engine:
    from qbg.engine.openvino import OpenvinoEngine

    if wish.argument:
        raise ValueError("engine `openvino` takes no argument")
    return OpenvinoEngine(network, precision=wish.precision, threads=wish.threads, workers=wish.workers)


def _null(network: Network, wish: _Wish) -> Engine:
    from qbg.engine.simulated import SimulatedEngine

    if wish.argument:
        raise ValueError("engine `null` takes no argument; `simulated:SECONDS` does")
    return SimulatedEngine(network, seconds=None)


def _simulated(network: Network, wish: _Wish) -> Engine:
    from qbg.engine.simulated import SimulatedEngine

    try:
        seconds = float(wish.argument)
    except ValueError:
        raise ValueError("engine `simulated` needs its seconds, as in `simulated:0.02`") from None
    return SimulatedEngine(network, seconds=seconds)


_MAKERS: dict[str, Callable[[Network, _Wish], Engine]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "null": _null,
    "simulated": _simulated,
}

NAMES = tuple(_MAKERS)


def make(
    name: str, network: Network, *, threads: int = 1, precision: str = AUTO, workers: int | None = None
) -> Engine:
    """The engine called `name` for one network.

    Args:
        name: one of `NAMES`; `simulated` takes its seconds after a colon.
        network: what it shall run.
        threads: that one worker's inference may use.
        precision: one of `PRECISIONS`. A float file isn't quantized here: `int8` needs a quantized one.
        workers: that will be made, where that is known.

    Raises:
        ValueError: no engine or precision of that name, or a wrong argument.
        EngineError: the engine isn't installed or doesn't load, or it, this CPU or the file can't do the
            precision.
    """
    word, _, argument = name.partition(":")
    if threads < 1:
        raise ValueError(f"threads per worker must be at least 1, not {threads}")
    chosen = precision_of(name, network, precision)  # and whether there is such an engine
    wish = _Wish(argument=argument, threads=threads, precision=chosen, workers=workers)
    return _MAKERS[word](network, wish)


def precision_of(name: str, network: Network, precision: str = AUTO) -> str:
    """What the network would be computed in; `none` for engines that run no network.

    Raises:
        ValueError: no engine or precision of that name.
        EngineError: the file and the precision contradict each other.
    """
    word = name.partition(":")[0]
    if word not in _MAKERS:
        raise ValueError(f"no engine `{word}`; there are: {', '.join(NAMES)}")
    if precision not in PRECISIONS:
        raise ValueError(f"no precision `{precision}`; there are: {', '.join(PRECISIONS)}")
    if word in WITHOUT_NETWORK:
        if precision != AUTO:
            raise EngineError(
                f"engine `{name}` runs no network and has no precision",
                stage="engine",
                hint="leave out --precision",
            )
        return "none"
    if precision == AUTO:
        return network.precision
    if (precision == "int8") != (network.precision == "int8"):
        raise EngineError(
            f"{network.path} is {network.precision}, which can't be run as {precision}",
            stage="engine",
            hint=f"--precision {network.precision}, or name another file",
        )
    return precision
