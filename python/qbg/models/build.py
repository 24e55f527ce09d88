"""Builds the networks that qbg can write itself, and their files. Must not know how a graph is made.

A file carries what its reader needs: the recipe, where its weights came from, and a note when
they are random. `qbg.models` reads that back, so that the file runs without further options.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg.errors import ModelError
from qbg.models.declared import NETWORK, NOTE, RECIPE, WEIGHTS
from qbg.options import whole
from qbg.recipe import Recipe
from qbg.whole import write_whole

if TYPE_CHECKING:
    from qbg.models.graphs.layers import Form
    from qbg.models.graphs.weights import Shapes

RANDOM = "random"
STRIDE = 32
"""A network's sizes are multiples of it."""

LARGEST = 2048
INPUT, OUTPUT = "input", "logits"

INSPYRENET = Recipe(
    fit="squash",
    height=384,
    width=384,
    filter="bilinear",
    activation="sigmoid",
    min_max=True,
    rounding="truncate",
    output_filter="bilinear",
)
"""As transparent-background 1.3.4 does it. One departure: it resizes the map as floats and by
corner centers; qbg resizes the 8-bit map as Pillow does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildable:
    """A network that can be built.

    Attributes:
        description: one line.
        backbone: `res2net50` or `swin_b`.
        base: height and width of the pictures that its checkpoints were trained on.
        recipe: how to feed and read it at that size.
    """

    description: str
    backbone: str
    base: int
    recipe: Recipe


BUILDABLE = {
    "inspyrenet-fast": Buildable(
        description="InSPyReNet on Res2Net-50, 384x384", backbone="res2net50", base=384, recipe=INSPYRENET
    ),
    "inspyrenet-swin": Buildable(
        description="InSPyReNet on Swin-B, 384x384: `fast` of transparent-background",
        backbone="swin_b",
        base=384,
        recipe=INSPYRENET,
    ),
    "inspyrenet-base": Buildable(
        description="InSPyReNet on Swin-B, 1024x1024: `base` of transparent-background",
        backbone="swin_b",
        base=1024,
        recipe=INSPYRENET,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written.

    Attributes:
        path: the file.
        bytes: its size.
        parameters: learned numbers, statistics of norms not counted.
        side: height and width of the picture.
    """

    path: str
    bytes: int
    parameters: int
    side: int


def build(
    name: str,
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: int | None = None,
    seed: int = 0,
    plain: bool = False,
) -> Built:
    """Writes a network's ONNX file, whole or not at all.

    Args:
        name: of `BUILDABLE`.
        weights: `random`, or the path of a checkpoint (.pth or .safetensors).
        out: the file.
        size: height and width of the picture; None for the size of the network's training.
        seed: of random weights.
        plain: the graph as the authors draw it, without the rewritings for CPUs.

    Raises:
        ModelError: no such network, the onnx package isn't there, or the checkpoint doesn't fit.
        OutputError: the file can't be written.
        ValueError: a size that the network doesn't take.
    """
    network = BUILDABLE.get(name)
    if network is None:
        known = ", ".join(BUILDABLE)
        raise ModelError("can't be built", stage="model", path=name, hint=f"qbg can build: {known}")
    side = network.base if size is None else size
    whole("option", "size", side, 2 * STRIDE, LARGEST)
    if side % STRIDE:
        raise ValueError(f"size must be a multiple of {STRIDE}, not {side}")
    whole("option", "seed", seed, 0, 2**32 - 1)
    _require_onnx()
    from qbg.models.graphs.layers import FAST, PLAIN
    from qbg.models.graphs.weights import checked, random_weights

    shapes = tensors_of(name)
    metadata = {NETWORK: name, RECIPE: json.dumps(asdict(replace(network.recipe, height=side, width=side)))}
    if os.fspath(weights) == RANDOM:
        tensors = random_weights(shapes, seed)
        metadata |= {WEIGHTS: f"random, seed {seed}", NOTE: "random weights: its masks mean nothing"}
    else:
        from qbg.models.checkpoint import read_checkpoint
        from qbg.models.files import digest

        path = Path(weights)
        tensors = checked(read_checkpoint(path), shapes, str(path))
        metadata |= {WEIGHTS: f"{path.name}, sha256 {digest(path)}"}
    model = graph_of(name, tensors, side, PLAIN if plain else FAST, metadata)
    data = model.SerializeToString(deterministic=True)
    write_whole(Path(out), data)
    return Built(path=os.fspath(out), bytes=len(data), parameters=parameters(shapes), side=side)


def tensors_of(name: str) -> Shapes:
    """The shapes of a network's tensors, by their names in its checkpoints."""
    from qbg.models.graphs.layers import PLAIN
    from qbg.models.graphs.weights import Listed

    listed = Listed()
    _write(name, listed, BUILDABLE[name].base, PLAIN)
    return listed.shapes


def parameters(shapes: Shapes) -> int:
    """How many numbers are learned."""
    from math import prod

    return sum(prod(shape) for name, shape in shapes.items() if ".running_" not in name)


def graph_of(name: str, tensors: Any, side: int, form: Form, metadata: dict[str, str] | None = None) -> Any:
    """The ONNX model of a network.

    Args:
        name: of `BUILDABLE`.
        tensors: float32 arrays by name, exactly those of `tensors_of`.
        side: height and width of the picture.
        form: how to write it.
        metadata: text that travels in the file.
    """
    from qbg.models.graphs.weights import Given

    graph, output = _write(name, Given(tensors), side, form)
    return graph.model(output, OUTPUT, metadata or {})


def _write(name: str, weights: Any, side: int, form: Form) -> tuple[Any, Any]:
    from qbg.models.graphs.builder import Builder
    from qbg.models.graphs.inspyrenet import inspyrenet
    from qbg.models.graphs.layers import Layers
    from qbg.models.graphs.res2net import res2net50
    from qbg.models.graphs.swin import swin_b

    network = BUILDABLE[name]
    backbone = {"res2net50": res2net50, "swin_b": swin_b}[network.backbone]
    graph = Builder(name)
    picture = graph.input(INPUT, (1, 3, side, side))
    return graph, inspyrenet(Layers(graph, weights, form), picture, network.base, backbone)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "building needs the onnx package, which isn't installed",
            stage="model",
            hint="pip install 'qbg[models]'",
        ) from error
