"""InSPyReNet as a network that learns: the graph that qbg writes, run step by step on torch's tensors.

`qbg.models.graphs` describes the network once, against a builder of ONNX nodes. Here the same description
meets a builder that computes at once, so that what is trained is what `qbg models build` writes, tensor names
and all. Values have a batch in front where the description has its one picture. Must not know data or losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from qbg.models.build import BUILDABLE, build, tensors_of
from qbg.models.checkpoint import read_checkpoint
from qbg.models.graphs.inspyrenet import inspyrenet
from qbg.models.graphs.layers import PLAIN, Layers
from qbg.models.graphs.weights import random_weights

NAME = "inspyrenet-fast"
STATISTICS = (".running_mean", ".running_var")
MOMENTUM = 0.1
COARSE = "decoder.conv5.conv"
"""The convolution that gives the pyramid's first map, at an eighth of the picture."""

BACKBONE = "backbone."


def _softmax(x: Tensor, axis: int) -> Tensor:
    return torch.softmax(x, axis)


UNARY = {
    "Relu": functional.relu,
    "Sigmoid": torch.sigmoid,
    "Softmax": _softmax,
    "Abs": torch.abs,
    "Neg": torch.neg,
}
BINARY = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}


class Eager:
    """The builder's methods, which compute: see `qbg.models.graphs.builder.Builder`."""

    def __init__(self) -> None:
        self.training = False

    def constant(self, array: Any) -> Tensor:
        """A learned tensor as it is, an array as a tensor."""
        return array if isinstance(array, Tensor) else torch.from_numpy(np.array(array))

    def conv(
        self,
        x: Tensor,
        weight: Any,
        bias: Any = None,
        *,
        stride: int = 1,
        pads: tuple[int, int] = (0, 0),
        dilation: int = 1,
        groups: int = 1,
    ) -> Tensor:
        kernel = self.constant(weight).to(x.device)
        shift = None if bias is None else self.constant(bias).to(x.device)
        return functional.conv2d(x, kernel, shift, stride, pads, dilation, groups)

    def norm(
        self, x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        return functional.batch_norm(x, mean, variance, scale, shift, self.training, MOMENTUM, eps)

    def pool(self, kind: str, x: Tensor, kernel: int, stride: int, pad: int, **_attributes: Any) -> Tensor:
        pool = {"MaxPool": functional.max_pool2d, "AveragePool": functional.avg_pool2d}[kind]
        return pool(x, kernel, stride, pad)

    def resize(self, x: Tensor, height: int, width: int, *, corners: bool = False) -> Tensor:
        if tuple(x.shape[2:]) == (height, width):
            return x
        return functional.interpolate(x, (height, width), mode="bilinear", align_corners=corners)

    def reshape(self, x: Tensor, *sizes: int) -> Tensor:
        return x.reshape(len(x) if sizes[0] == 1 else sizes[0], *sizes[1:])

    def transpose(self, x: Tensor, *order: int) -> Tensor:
        return x.permute(order)

    def concat(self, parts: Sequence[Tensor], axis: int = 1) -> Tensor:
        batch = max(len(part) for part in parts)
        device = parts[0].device
        return torch.cat([part.expand(batch, *part.shape[1:]).to(device) for part in parts], axis)

    def split(self, x: Tensor, sizes: Sequence[int], axis: int = 1) -> Sequence[Tensor]:
        return torch.split(x, list(sizes), axis)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    def binary(self, operator: str, a: Tensor, b: Any) -> Tensor:
        return BINARY[operator](a, b)

    def clip(self, x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    def unary(self, operator: str, x: Tensor, **attributes: Any) -> Tensor:
        return UNARY[operator](x, **attributes)

    def add(self, operator: str, inputs: Sequence[Any], _shape: tuple[int, ...], **attributes: Any) -> Tensor:
        """The two operators that the description names itself."""
        x = inputs[0]
        if operator == "DepthToSpace":
            return functional.pixel_shuffle(x, attributes["blocksize"])
        if operator == "Pad":
            reach = inputs[1].tolist()
            return functional.pad(x, (reach[3], reach[7], reach[2], reach[6]), mode=attributes["mode"])
        raise NotImplementedError(operator)


class Learned(nn.Module):
    """The network's tensors by their names in checkpoints; statistics of norms are buffers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        for name, array in random_weights(tensors_of(NAME), seed).items():
            own = self.names[name] = name.replace(".", "/")
            if name.endswith(STATISTICS):
                # What norms begin with: of a network that nothing was measured of.
                self.register_buffer(own, torch.full(array.shape, float(name.endswith("_var"))))
            else:
                self.register_parameter(own, nn.Parameter(torch.from_numpy(array.copy())))

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """As `qbg.models.graphs.weights.Weights` has it."""
        found: Tensor = getattr(self, self.names[name])
        if tuple(found.shape) != tuple(shape):
            raise ValueError(f"{name} is {tuple(found.shape)}, not {shape}")
        return found


class Watched(Layers):
    """Layers that keep what the first map's convolution gave."""

    coarse: Tensor | None = None

    def conv(self, x: Any, name: str, *rest: Any, **options: Any) -> Any:
        y = super().conv(x, name, *rest, **options)
        if name == COARSE:
            self.coarse = y
        return y


class Inspyrenet(nn.Module):
    """(N, 3, H, W) normalised pictures to logits (N, 1, H, W) and coarse ones (N, 1, H/8, W/8).

    H and W are multiples of 32.
    """

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self.tensors = Learned(seed)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        graph = Eager()
        graph.training = self.training
        layers = Watched(graph, self.tensors, PLAIN)  # type: ignore[arg-type]
        logits: Any = inspyrenet(layers, x, BUILDABLE[NAME].base)  # type: ignore[arg-type]
        assert layers.coarse is not None
        return logits, layers.coarse

    def backbone(self) -> list[nn.Parameter]:
        """What may come from a network that was trained on something else."""
        return [one for name, one in self.tensors.named_parameters() if name.startswith("backbone/")]

    def checkpoint(self) -> dict[str, Tensor]:
        """By the names that checkpoints have."""
        return {name: getattr(self.tensors, own).detach() for name, own in self.tensors.names.items()}


def load(network: Inspyrenet, path: Path) -> None:
    """Weights from a checkpoint of the whole network, or of a Res2Net-50 alone.

    Raises:
        KeyError: it has tensors of neither.
    """
    given = read_checkpoint(path)
    own = network.checkpoint()
    known = {name: array for key, array in given.items() for name in (key, BACKBONE + key) if name in own}
    if not known:
        raise KeyError(f"{path} has no tensor of {NAME} or of its backbone")
    with torch.no_grad():
        for name, array in known.items():
            own[name].copy_(torch.from_numpy(np.array(array, np.float32)))


def export(network: Inspyrenet, side: int, path: Path) -> Path:
    """Writes PATH.pth, the checkpoint, and from it the ONNX file as `qbg models build` does."""
    checkpoint = path.with_suffix(".pth")
    temporary = checkpoint.with_name(f".{checkpoint.name}.tmp")
    torch.save(network.checkpoint(), temporary)
    temporary.replace(checkpoint)
    build(NAME, checkpoint, path, size=side)
    return path
