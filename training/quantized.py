"""Rounds a network in training as int8 will round it in use, so that its weights learn to bear that.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018: weights to 255 levels per output channel, what passes between layers to 256 levels per tensor, and
gradients as if nothing had been rounded. Where: after every convolution with its ReLU and after every sum, as
`qbg models quantize` places it. The last convolution stays float there and here. Must not know data or
losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from network import Network, Same, Step, Sum

PACE = 0.05
"""Of the moving averages of least and greatest values, per step."""


class Levels(nn.Module):
    """A tensor to 256 levels between its least and greatest values, as they are on average."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.begun = False

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            low, high = x.detach().aminmax()
            pace = PACE if self.begun else 1.0
            self.low.lerp_(low.clamp(max=0.0), pace)
            self.high.lerp_(high.clamp(min=0.0), pace)
            self.begun = True
            scale = ((self.high - self.low) / 255.0).clamp(min=1e-8)
            zero = torch.round(-self.low / scale).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def rounded(weight: Tensor) -> Tensor:
    """(O, I, kh, kw) to 255 levels per output channel."""
    with torch.no_grad():
        scale = (weight.abs().amax((1, 2, 3)) / 127.0).clamp(min=1e-12)
        zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)


def attach(network: Network) -> None:
    """Makes the network round from now on. Its norms must have been folded away (`export.from_onnx`)."""
    for module in network.modules():
        if isinstance(module, (Same, Step, Sum)) or module is network.context:
            levels = Levels()
            module.register_forward_hook(lambda _module, _inputs, output, levels=levels: levels(output))
        if isinstance(module, nn.Conv2d) and module is not network.out and module is not network.coarse:
            module.forward = _forward(module)  # type: ignore[method-assign]


def _forward(conv: nn.Conv2d):  # type: ignore[no-untyped-def]
    def forward(x: Tensor) -> Tensor:
        return functional.conv2d(
            x, rounded(conv.weight), conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )

    return forward
