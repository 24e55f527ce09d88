"""What networks are made of: convolution with its norm, and the forms in which a graph may be written.

`Form` says which rewritings are used. Each keeps the network's function (up to rounding); what each
was measured to be worth on a CPU stands in `models/README.md`. `PLAIN` is the network as its authors draw it,
and what the others are held against. Must not know any network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qbg.models.graphs.builder import Array, Builder, Value
from qbg.models.graphs.weights import Weights

EPS = 1e-5
"""Added to a norm's variance; PyTorch's default, which all networks here use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Rewritings, each on or off.

    Attributes:
        fold_norms: norms become part of the convolution before them.
        joined_attention: the six 1x1 convolutions of a pair of attentions are one, gates inside.
        small_context: SICA's first convolution on the refined feature, a mixture of few vectors,
            becomes one on the mixture's weights: 5 or 3 channels go in and not 64.
        sums_for_concats: SICA's convolution on two features is the sum of two convolutions.
        pyramid_products: expansion is a product with a constant matrix from either side.
    """

    fold_norms: bool = True
    joined_attention: bool = True
    small_context: bool = True
    sums_for_concats: bool = True
    pyramid_products: bool = True


PLAIN = Form(
    fold_norms=False,
    joined_attention=False,
    small_context=False,
    sums_for_concats=False,
    pyramid_products=False,
)
FAST = Form()


class Layers:
    """A graph, its weights and its form, with the layers that all networks share.

    Args:
        graph: takes the nodes.
        weights: gives the tensors.
        form: how to write.
    """

    def __init__(self, graph: Builder, weights: Weights, form: Form) -> None:
        self.graph = graph
        self.weights = weights
        self.form = form

    def conv(
        self,
        x: Value,
        name: str,
        norm: str | None,
        out: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        dilation: int = 1,
        relu: bool = False,
    ) -> Value:
        """Convolution without bias, padded so that stride 1 keeps the size, then norm and ReLU.

        Args:
            x: (1, C, H, W).
            name: of the kernel without `.weight`.
            norm: of the norm, or None.
            out: channels.
            kernel: rows and columns, odd.
            stride: of both axes.
            dilation: of both axes.
            relu: whether one follows.
        """
        g = self.graph
        pads = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
        shape = (out, x.shape[1], *kernel)
        if norm is None:
            weight = self.weights.take(f"{name}.weight", shape)
            y = g.conv(x, weight, stride=stride, pads=pads, dilation=dilation)
        elif self.form.fold_norms:
            y = g.conv(x, *self.folded(name, norm, shape), stride=stride, pads=pads, dilation=dilation)
        else:
            weight = self.weights.take(f"{name}.weight", shape)
            y = g.conv(x, weight, stride=stride, pads=pads, dilation=dilation)
            y = g.norm(y, *self.statistics(norm, out), EPS)
        return g.unary("Relu", y) if relu else y

    def folded(self, name: str, norm: str, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Kernel and bias of a convolution with its norm inside, worked out in float64."""
        weight = self.weights.take(f"{name}.weight", shape).astype(np.float64)
        scale, shift, mean, variance = (array.astype(np.float64) for array in self.statistics(norm, shape[0]))
        factor = scale / np.sqrt(variance + EPS)
        kernel = weight * factor.reshape(-1, *[1] * (len(shape) - 1))
        return kernel.astype(np.float32), (shift - mean * factor).astype(np.float32)

    def statistics(self, norm: str, channels: int) -> tuple[Array, Array, Array, Array]:
        """Scale, shift, mean and variance of a norm, (C,) each."""
        scale, shift, mean, variance = (
            self.weights.take(f"{norm}.{kind}", (channels,))
            for kind in ("weight", "bias", "running_mean", "running_var")
        )
        return scale, shift, mean, variance

    def scalar(self, name: str) -> Value:
        """A learned number, (1,)."""
        return self.graph.constant(self.weights.take(name, (1,)))
