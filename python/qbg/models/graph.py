"""Opens an ONNX file to learn what it takes and gives, and guesses a recipe from that.

The graph's declared shapes are taken where they are fixed. Where they aren't, or when the recipe
must be guessed, the network runs once on noise: only that tells the output's size and whether its
numbers are levels (0..1) already or logits. Must not know any model by name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qbg.engine.onnx import first_line, load_onnxruntime, open_session
from qbg.errors import ModelError
from qbg.models.declared import declared_precision
from qbg.network import Network
from qbg.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

# Hints: what can be done about a graph that doesn't fit.
ONE_PICTURE = (
    "choose a segmentation network that takes one picture, or export this one without its other inputs"
)
LAYOUT = "export the network with one RGB picture as its input: batch 1, 3 channels, then height and width"
FLOAT = "export the network with float32 input and output"
NO_MAP = "a classifier or detector can't be used: choose a network whose first output is a map of the subject"
SIZE = "give the network's size with --recipe FILE.toml: `height` and `width`"
FIXED = "use fit = 'squash' or 'letterbox' in the recipe"

OUTPUT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}

OPEN_SIDE = 512
"""Height and width that are guessed when the graph leaves them open: a multiple of every common stride."""


def inspect(path: Path, digest: str, output: int = 0) -> Network:
    """The graph's facts, from its declaration alone. `output` is the index of the one with the subject.

    Raises:
        ModelError: the file can't be loaded, or isn't a network with one picture as its input.
    """
    session = open_session(load_onnxruntime(), str(path), optimize=False)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs)
        raise _unfit(
            path, f"the graph has {len(inputs)} inputs ({names}); qbg runs networks with one", ONE_PICTURE
        )
    if not outputs:
        raise _unfit(path, "the graph has no output", ONE_PICTURE)
    if output >= len(outputs):
        raise _unfit(path, f"output {output} is wanted, but the graph has {len(outputs)}", NO_MAP)
    entry, result = inputs[0], outputs[output]
    shape = entry.shape
    if len(shape) != 4:
        raise _unfit(
            path, f"input `{entry.name}` is {_words(shape)}; qbg needs (1, 3, height, width)", LAYOUT
        )
    for item, types in ((entry, ("tensor(float)",)), (result, OUTPUT_TYPES)):
        if item.type not in types:
            raise _unfit(path, f"`{item.name}` is {item.type}; qbg needs float32, tensor(float)", FLOAT)
    batch, channels, height, width = (_fixed(value) for value in shape)
    if channels not in (0, 3) or batch not in (0, 1):
        raise _unfit(
            path, f"input `{entry.name}` is {_words(shape)}; qbg needs (1, 3, height, width)", LAYOUT
        )
    declared = [_fixed(value) for value in result.shape or []]
    if declared and len(declared) not in (3, 4):
        raise _unfit(
            path,
            f"output `{result.name}` is {_words(result.shape)}; qbg needs (1, C, height, width)",
            NO_MAP,
        )
    fixed = bool(declared) and all(declared[1:])
    metadata = session.get_modelmeta().custom_metadata_map
    return Network(
        path=str(path),
        digest=digest,
        input_name=entry.name,
        input_shape=(1, 3, height, width),
        output_name=result.name,
        output_shape=_planes(declared) if fixed and height and width else (0, 0, 0),
        precision=declared_precision(metadata),
        output_type=OUTPUT_TYPES[result.type],
        declared={key: text for key, text in metadata.items() if key.startswith("qbg.")},
    )


def fit(network: Network, recipe: Recipe) -> Network:
    """The network with the recipe's size put in where the graph leaves it open, and the output's true shape.

    Raises:
        ModelError: graph and recipe contradict each other.
    """
    height, width = network.input_shape[2:]
    if recipe.dynamic:
        if height or width:
            raise ModelError(
                f"the graph takes {height}x{width} only, but the recipe's fit `{recipe.fit}` varies the size",
                stage="model",
                path=network.path,
                hint=FIXED,
            )
        if network.output_type != "float32":
            raise _unfit(network.path, "with a varying size the output must be float32", FIXED)
        side = -(-max(recipe.side, 64) // recipe.multiple) * recipe.multiple
        result = trial(network, side, side)
        if result.shape[-2:] != (side, side):
            raise _unfit(network.path, "with a varying size the output must be as large as the input", FIXED)
        return replace(network, output_shape=(_planes(result.shape)[0], 0, 0))
    if height not in (0, recipe.height) or width not in (0, recipe.width):
        raise ModelError(
            f"the graph takes {height}x{width}, but the recipe says {recipe.height}x{recipe.width}",
            stage="model",
            path=network.path,
            hint="correct the recipe's `height` and `width`",
        )
    network = replace(network, input_shape=(1, 3, recipe.height, recipe.width))
    if 0 in network.output_shape:
        shape = trial(network, recipe.height, recipe.width).shape
        network = replace(network, output_shape=_planes(shape))
    if recipe.channel >= network.output_shape[0]:
        raise ModelError(
            f"the recipe reads channel {recipe.channel}, but the output has {network.output_shape[0]}",
            stage="model",
            path=network.path,
            hint="channels are counted from 0",
        )
    return network


def guess(network: Network) -> tuple[Recipe, str]:
    """A recipe for an unknown network, and the line that tells the user what was guessed.

    Size from the graph, picture squashed to it bilinearly, levels / 255, ImageNet mean and std. A
    trial on noise decides the rest: numbers outside 0..1 are logits, for a sigmoid (one channel)
    or a softmax of which the last channel is the subject.
    """
    height, width = network.input_shape[2:]
    result = trial(network, height or OPEN_SIDE, width or OPEN_SIDE)
    channels = _planes(result.shape)[0]
    levels = bool(result.min() >= 0.0 and result.max() <= 1.0)
    activation = "none" if levels else ("sigmoid" if channels == 1 else "softmax")
    recipe = Recipe(
        fit="squash",
        height=height or OPEN_SIDE,
        width=width or OPEN_SIDE,
        filter="bilinear",
        channel=channels - 1,
        activation=activation,
    )
    size = f"{recipe.width}x{recipe.height}" + ("" if height and width else " (the graph leaves it open)")
    line = (
        f"no recipe for {network.path}: guessed {size}, squash, bilinear, /255, ImageNet mean and std, "
        f"activation {activation}, channel {recipe.channel} of {channels}; --recipe FILE.toml says otherwise"
    )
    return recipe, line


def trial(network: Network, height: int, width: int) -> Any:
    """The output for noise of this size: (1, C, h, w) or (1, h, w) float32.

    Raises:
        ModelError: the network doesn't run, or gives something else than planes.
    """
    import numpy as np

    noise = np.random.default_rng(1).uniform(-2.0, 2.0, (1, 3, height, width)).astype(np.float32)
    session = open_session(load_onnxruntime(), network.path)
    try:
        result = session.run([network.output_name], {network.input_name: noise})[0]
    except Exception as error:
        raise _unfit(
            network.path, f"it doesn't run on {height}x{width}: {first_line(error)}", SIZE
        ) from error
    if result.ndim not in (3, 4) or result.shape[0] != 1 or 0 in result.shape:
        raise _unfit(
            network.path,
            f"output `{network.output_name}` is {result.shape}; qbg needs (1, C, height, width)",
            NO_MAP,
        )
    return result


def _planes(shape: Any) -> tuple[int, int, int]:
    """(C, h, w) of (1, C, h, w) or (1, h, w)."""
    sizes = [int(value) for value in shape[1:]]
    return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 else (1, sizes[0], sizes[1])


def _fixed(value: object) -> int:
    """A declared size; 0 for a name or nothing."""
    return value if isinstance(value, int) and value > 0 else 0


def _words(shape: Any) -> str:
    return "(" + ", ".join(str(value) for value in shape) + ")"


def _unfit(path: Path | str, message: str, hint: str) -> ModelError:
    return ModelError(message, stage="model", path=str(path), hint=hint)
