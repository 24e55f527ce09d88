"""The networks that `train.py --arch` knows: how each is made, fed, filled and written. Must not train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import designs
import export
import inspyrenet
from network import MEAN, STD, Network, load_encoder
from qbg.recipe import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Arch:
    """One of them. Its module gives logits (N, 1, H, W) and coarse ones.

    Attributes:
        name: of the network, and of the file that is written.
        make: a new one, from a seed.
        start: fills it from a file: weights of its own, or of a part that was trained elsewhere.
        write: (network, side, path) to an ONNX file.
        pretrained: parameters that learn at the lower rate.
        mean, std: of what it sees, in 0..1, red, green, blue.
        stages: side of the pictures, until which share of the steps, share of photos that isn't cropped.
        stored: side of the photos in memory; a little more than the last stage's.
        smoke: steps and pictures a step that take about a minute.
        keeps_norms: weights from an ONNX file, whose norms were folded away, go on without them.
    """

    name: str
    make: Callable[[int], nn.Module]
    start: Callable[[Any, Path], None]
    write: Callable[[Any, int, Path], Path]
    pretrained: Callable[[Any], list[nn.Parameter]]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stages: tuple[tuple[int, float, float], ...]
    stored: int
    smoke: tuple[int, int]
    keeps_norms: bool = True

    def normalised(self, photos: Tensor) -> Tensor:
        """(N, 3, H, W) levels to what the network sees."""
        mean, std = (
            255.0 * torch.tensor(values, device=photos.device).reshape(1, 3, 1, 1)
            for values in (self.mean, self.std)
        )
        return ((photos - mean) / std).contiguous(memory_format=torch.channels_last)


def _made(make: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    """Torch's own seed has been set."""
    return lambda _seed: make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _start_base(network: Network, path: Path) -> None:
    """Weights from an earlier run's ONNX file or checkpoint, or the encoder's from EfficientNet-Lite0."""
    if path.suffix == ".onnx":
        export.from_onnx(network, path)
        return
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if "average" in state:
        network.load_state_dict(state["average"])
    else:
        load_encoder(network.encoder, state)


def _start_nothing(_network: nn.Module, _path: Path) -> None:
    raise SystemExit("plain begins with weights of no one: leave --init out")


BASE = Arch(
    name="qbg-base",
    make=_made(Network),
    start=_start_base,
    write=export.export,
    pretrained=lambda network: list(network.encoder.parameters()),
    mean=(MEAN,) * 3,
    std=(STD,) * 3,
    stages=((192, 0.35, 0.3), (256, 0.70, 0.3), (384, 1.0, 0.7)),
    stored=416,
    smoke=(24, 4),
)


def _tried(name: str, make: Callable[[], nn.Module], **other: Any) -> Arch:
    """Another design, fed as qbg-base is; its file says which."""
    return replace(BASE, name=name, make=_made(make), write=partial(export.export, name=name), **other)


ARCHES = {
    arch.name: arch
    for arch in (
        BASE,
        _tried("larger", designs.larger),
        _tried("plain", designs.plain, start=_start_nothing, pretrained=lambda _network: []),
        _tried(
            "plain-first",
            designs.plain_first,
            start=designs.start_plain_first,
            pretrained=lambda network: list(network.encoder.kept().parameters()),
        ),
        _tried(
            "narrow",
            designs.narrow,
            start=designs.start_narrow,
            # Half of the channels are gone: what is left is normalized anew.
            keeps_norms=False,
            pretrained=lambda network: list(network.parameters()),
        ),
        Arch(
            name=inspyrenet.NAME,
            make=inspyrenet.Inspyrenet,
            start=inspyrenet.load,
            write=inspyrenet.export,
            pretrained=inspyrenet.Inspyrenet.backbone,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            stages=((256, 0.5, 0.3), (384, 1.0, 0.7)),
            stored=416,
            smoke=(8, 2),
        ),
    )
}
