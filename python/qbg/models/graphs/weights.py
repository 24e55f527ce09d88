"""Where a network's tensors come from: a checkpoint, a seed, or nowhere (to learn what it needs).

A network asks for each tensor by its name in the checkpoint and by its shape. `Listed` answers with
zeros that take no memory and keeps the list, which is then the network's specification: `checked`
holds a checkpoint against it before anything is built. `random_tensor` depends on seed, name and
shape alone, so that another program can make the same weights. Must not know any network.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from qbg.errors import ModelError
from qbg.models.graphs.builder import Array

Shapes = dict[str, tuple[int, ...]]

IGNORED = (".num_batches_tracked", ".relative_position_index")
"""End the names of counters which only training needs, and of lists that follow from sizes."""

NAMED = 4
"""Tensors that an error names; of the others it gives the number."""


STRENGTHS = (
    (r"layer\d\.\d+\.bn3\.", 0.3),  # sixteen residuals are added up
    (r"(query|key)_conv\.", 0.3),  # products of hundreds go into a softmax undivided
    (r"(branch\d\.conv3|decoder\.conv2)\.", 0.3),  # the sum of two residuals comes before it
    (r"(conv_cat|conv_res|branch\d\.conv[12]|value_conv|decoder\.conv3)\.", 0.6),  # no ReLU before it
    (r"(decoder\.conv4|conv_out4)\.", 4.0),  # logits of either sign follow
    (r"attention0\.conv_(key|value)\.0\.", 1e-4),  # sums over the picture's pixels, not means
    (r"attention1\.conv_(key|value)\.0\.", 1e-3),
    (r"attention2\.conv_(key|value)\.0\.", 6e-3),
)
"""Norms of random weights that need another scale than 0.6 to 1, by name."""


class Weights(Protocol):
    """What a network takes its tensors from."""

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        """The float32 tensor of this name, which has this shape."""


class Listed:
    """Gives zeros and remembers what was asked for.

    Attributes:
        shapes: by name, in the order of asking.
    """

    def __init__(self) -> None:
        self.shapes: Shapes = {}

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        self.shapes[name] = shape
        return np.broadcast_to(np.float32(0), shape)


class Given:
    """Tensors that have been checked against the specification."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self._tensors[name]
        if tensor.shape != shape:
            raise ValueError(f"{name} is {tensor.shape}, not {shape}")
        return tensor


def checked(tensors: Mapping[str, Array], shapes: Shapes, path: str) -> dict[str, Array]:
    """Exactly the tensors that a network needs, as float32.

    Args:
        tensors: of a checkpoint. Names may all begin with `module.`, as parallel training leaves them.
        shapes: what the network needs.
        path: that errors name.

    Raises:
        ModelError: tensors are missing, unknown, of another shape, or hold NaN or infinity.
    """
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith(IGNORED)}
    faults = [
        ("missing", [name for name in shapes if name not in found]),
        ("unknown", [name for name in found if name not in shapes]),
        (
            "of another shape",
            [
                f"{name} {found[name].shape} for {shape}"
                for name, shape in shapes.items()
                if name in found and found[name].shape != shape
            ],
        ),
    ]
    lines = [f"{len(names)} {kind}: {_some(names)}" for kind, names in faults if names]
    if lines:
        raise ModelError(
            f"the checkpoint is not of this network: {'; '.join(lines)}",
            stage="model",
            path=path,
            hint=f"{len(shapes)} tensors are needed, by their names in the official code",
        )
    taken = {name: np.ascontiguousarray(found[name], np.float32) for name in shapes}
    broken = [name for name, tensor in taken.items() if not np.isfinite(tensor).all()]
    if broken:
        raise ModelError(f"not finite: {_some(broken)}", stage="model", path=path)
    return taken


def random_weights(shapes: Shapes, seed: int) -> dict[str, Array]:
    """A tensor for each name."""
    return {name: random_tensor(name, shape, seed) for name, shape in shapes.items()}


def random_tensor(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """A tensor as an untrained network may have it, float32.

    Convolutions: normal, of variance 2 / fan-in (He et al. 2015), which keeps activations the size
    they have behind a ReLU. Matrices: normal, of variance 1 / fan-in. Norms: scale 0.6 to 1, times
    what `STRENGTHS` says; variance 0.7 to 1.4; shift and mean of deviation 0.1. Lone scalars (gates
    and thresholds): 0.4 to 0.6. All the rest: deviation 0.1.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    kind = name.rsplit(".", 1)[-1]
    if len(shape) == 4:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif len(shape) == 2 and kind == "weight":
        values = rng.standard_normal(shape) / np.sqrt(shape[1])
    elif shape == (1,):
        values = rng.uniform(0.4, 0.6, shape)
    elif kind == "weight":
        values = _strength(name) * rng.uniform(0.6, 1.0, shape)
    elif kind == "running_var":
        values = rng.uniform(0.7, 1.4, shape)
    else:
        values = 0.1 * rng.standard_normal(shape)
    tensor: Array = values.astype(np.float32)
    return tensor


def _strength(name: str) -> float:
    """What a norm's scale is multiplied by."""
    return next((factor for pattern, factor in STRENGTHS if re.search(pattern, name)), 1.0)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
