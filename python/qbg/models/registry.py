"""The models that qbg knows by name: files, checksums, licenses and recipes, as data.

Must not open files or know an engine. Facts of rembg's models are those of rembg 2.0.86 (its
source and release assets); where a checksum couldn't be confirmed, it is None and not guessed.
Left out on purpose: models with several outputs to choose from, prompts, or cloud services.
"""

from __future__ import annotations

from dataclasses import dataclass

from qbg.recipe import IMAGENET_MEAN, IMAGENET_STD, Recipe

DEFAULT = "u2netp"

RELEASES = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One known network.

    Attributes:
        name: what `-m` takes.
        description: one line.
        license: of the weights, as an SPDX name where there is one.
        recipe: how to feed it and how to read it.
        file: the file's name.
        sha256: of the file, in hex; None where it isn't known.
        bytes: the file's size; None where it isn't known.
        url: where it can be had; None for the built-in one. qbg downloads nothing by itself.
        builtin: whether it comes with qbg.
        input_name: of the graph, where known without opening it.
        output_name: likewise, of the output that holds the subject.
    """

    name: str
    description: str
    license: str
    recipe: Recipe
    file: str
    sha256: str | None
    bytes: int | None
    url: str | None
    builtin: bool = False
    input_name: str | None = None
    output_name: str | None = None


def rembg_recipe(
    side: int,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    activation: str = "none",
) -> Recipe:
    """What rembg's plain sessions do: Lanczos both ways, over the maximum, min-max, truncation."""
    return Recipe(
        fit="squash",
        height=side,
        width=side,
        filter="lanczos",
        scale="maximum",
        mean=mean,
        std=std,
        activation=activation,
        min_max=True,
        rounding="truncate",
        output_filter="lanczos",
    )


def _birefnet(name: str, asset: str, description: str, size: int | None, sha256: str | None = None) -> Model:
    return Model(
        name=name,
        description=description,
        license="MIT",
        recipe=rembg_recipe(1024, activation="sigmoid"),
        file=f"{name}.onnx",
        sha256=sha256,
        bytes=size,
        url=f"{RELEASES}/{asset}",
    )


_LARGE = 972_666_916

_ALL = (
    Model(
        name="u2netp",
        description="U-2-Net, small version: any salient subject, 320x320; comes with qbg",
        license="Apache-2.0",
        recipe=rembg_recipe(320),
        file="u2netp.onnx",
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        bytes=4_574_861,
        url=None,
        builtin=True,
        input_name="input.1",
        output_name="1959",
    ),
    Model(
        name="u2net",
        description="U-2-Net: any salient subject, 320x320",
        license="Apache-2.0",
        recipe=rembg_recipe(320),
        file="u2net.onnx",
        sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
        bytes=175_997_641,
        url=f"{RELEASES}/u2net.onnx",
    ),
    Model(
        name="u2net_human_seg",
        description="U-2-Net trained on people, 320x320",
        license="Apache-2.0",
        recipe=rembg_recipe(320),
        file="u2net_human_seg.onnx",
        sha256="01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c",
        bytes=175_997_641,
        url=f"{RELEASES}/u2net_human_seg.onnx",
    ),
    Model(
        name="silueta",
        description="U-2-Net reduced to 43 MB, 320x320",
        license="not stated upstream (usually given as Apache-2.0)",
        recipe=rembg_recipe(320),
        file="silueta.onnx",
        sha256="75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb",
        bytes=44_173_029,
        url=f"{RELEASES}/silueta.onnx",
    ),
    Model(
        name="isnet-general-use",
        description="IS-Net (DIS): any subject, fine detail, 1024x1024",
        license="Apache-2.0",
        recipe=rembg_recipe(1024, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)),
        file="isnet-general-use.onnx",
        sha256="60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
        bytes=178_648_008,
        url=f"{RELEASES}/isnet-general-use.onnx",
    ),
    Model(
        name="isnet-anime",
        description="IS-Net trained on anime figures, 1024x1024",
        license="Apache-2.0",
        recipe=rembg_recipe(1024, mean=(0.485, 0.456, 0.406), std=(1.0, 1.0, 1.0)),
        file="isnet-anime.onnx",
        sha256="f15622d853e8260172812b657053460e20806f04b9e05147d49af7bed31a6e99",
        bytes=176_069_933,
        url=f"{RELEASES}/isnet-anime.onnx",
    ),
    _birefnet(
        "birefnet-general",
        "BiRefNet-general-epoch_244.onnx",
        "BiRefNet: any subject, 1024x1024",
        _LARGE,
        "58f621f00f5d756097615970a88a791584600dcf7c45b18a0a6267535a1ebd3c",
    ),
    _birefnet(
        "birefnet-general-lite",
        "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
        "BiRefNet, small backbone: any subject, 1024x1024",
        224_005_088,
    ),
    _birefnet(
        "birefnet-portrait", "BiRefNet-portrait-epoch_150.onnx", "BiRefNet for people, 1024x1024", _LARGE
    ),
    _birefnet("birefnet-dis", "BiRefNet-DIS-epoch_590.onnx", "BiRefNet trained on DIS5K, 1024x1024", _LARGE),
    _birefnet(
        "birefnet-hrsod", "BiRefNet-HRSOD_DHU-epoch_115.onnx", "BiRefNet trained on HRSOD, 1024x1024", _LARGE
    ),
    _birefnet(
        "birefnet-cod", "BiRefNet-COD-epoch_125.onnx", "BiRefNet for camouflaged objects, 1024x1024", _LARGE
    ),
    _birefnet(
        "birefnet-massive",
        "BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx",
        "BiRefNet trained on many sets, 1024x1024",
        _LARGE,
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _ALL}
