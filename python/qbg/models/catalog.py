"""The models that qbg knows by name, as data, and the names that it knows but can't run.

Files, addresses, sizes, checksums, licenses and recipes. No code depends on a model's name: what is
special about one stands here. Must not open files or know an engine.

Sources: rembg 2.0.86 (its source for names, assets, recipes and MD5 sums; one SHA-256 is pinned there);
sizes and the other SHA-256 sums from the files themselves or from public copies, as `evidence` says.
A checksum that couldn't be confirmed is None and not guessed.
"""

from __future__ import annotations

from qbg.models.model import Evidence, License, Model, Unsupported
from qbg.recipe import IMAGENET_MEAN, IMAGENET_STD, Recipe

DEFAULT = "qbg-base"

COMPARED = "u2netp"
"""What both programs run when qbg is measured beside rembg; kernels are measured with its recipe."""

RELEASES = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
HUB = "https://huggingface.co"

APACHE = License(
    name="Apache-2.0",
    terms="free to use, also commercially; who passes the file on keeps the notice and the license text",
    commercial=True,
)
MIT = License(
    name="MIT",
    terms="free to use, also commercially; who passes the file on keeps the notice",
    commercial=True,
)
UNSTATED = License(
    name="not stated upstream (usually given as Apache-2.0)",
    terms="nobody who made it says what is allowed; ask before commercial use",
    commercial=None,
)
BRIA_2 = License(
    name="CC-BY-NC-4.0",
    terms="NOT for commercial use; that needs a paid agreement with BRIA AI",
    commercial=False,
)
BRIA_1 = License(
    name="BRIA RMBG-1.4 (non-commercial)",
    terms="NOT for commercial use; its card says source-available and asks for an agreement with BRIA AI",
    commercial=False,
)


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


def authors_recipe(
    side: int,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    activation: str = "none",
    *,
    min_max: bool = True,
) -> Recipe:
    """What networks' own scripts do: bilinear both ways, over 255, truncation."""
    return Recipe(
        fit="squash",
        height=side,
        width=side,
        filter="bilinear",
        scale="full",
        mean=mean,
        std=std,
        activation=activation,
        min_max=min_max,
        rounding="truncate",
        output_filter="bilinear",
    )


MAP_FIRST = (
    "the authors enlarge the map before they stretch it and cut it to 8 bits; qbg enlarges the 8-bit map, "
    "and reduces the picture with Pillow's antialiased bilinear filter"
)


def _rembg(
    name: str,
    asset: str,
    description: str,
    terms: License,
    recipe: Recipe,
    *,
    size: int,
    md5: str | None = None,
    sha256: str | None = None,
    evidence: Evidence = Evidence.MD5,
    origin: str,
    mirrors: tuple[str, ...] = (),
    input_name: str | None = None,
    output_name: str | None = None,
) -> Model:
    """An entry whose file rembg distributes."""
    return Model(
        name=name,
        description=description,
        license=terms.name,
        terms=terms.terms,
        commercial=terms.commercial,
        recipe=recipe,
        file=f"{name}.onnx",
        sha256=sha256,
        md5=md5,
        evidence=evidence,
        bytes=size,
        url=f"{RELEASES}/{asset}",
        mirrors=mirrors,
        origin=origin,
        input_name=input_name,
        output_name=output_name,
        rembg=True,
    )


U2NET_HOME = "https://github.com/xuebinqin/U-2-Net"
BIREFNET_HOME = "https://github.com/ZhengPeng7/BiRefNet"
LARGE = 972_666_916
LITE_ASSET = "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx"
LITE_MIRRORS = (
    f"{BIREFNET_HOME}/releases/download/v1/{LITE_ASSET}",
    f"{HUB}/onnx-community/BiRefNet_lite-ONNX/resolve/main/onnx/model.onnx",
)
LITE_SHA256 = "5600024376f572a557870a5eb0afb1e5961636bef4e1e22132025467d0f03333"
LITE_MD5 = "4fab47adc4ff364be1713e97b7e66334"
LITE_BYTES = 224_005_088


def _birefnet(name: str, asset: str, description: str, md5: str, sha256: str | None = None) -> Model:
    """One of the large BiRefNets, which differ in their training only."""
    return _rembg(
        name,
        asset,
        description,
        MIT,
        rembg_recipe(1024, activation="sigmoid"),
        size=LARGE,
        md5=md5,
        sha256=sha256,
        evidence=Evidence.COPIES if sha256 else Evidence.MD5,
        origin=BIREFNET_HOME,
    )


def _own(name: str, description: str, side: int) -> Model:
    """The built-in file at one of its sizes; alpha itself, nothing stretched, as `training` exports it."""
    return Model(
        name=name,
        description=description,
        license=APACHE.name,
        terms=APACHE.terms,
        commercial=APACHE.commercial,
        recipe=Recipe(
            height=side,
            width=side,
            filter="bilinear",
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            refine=True,
        ),
        file="qbg-base.onnx",
        sha256="28a013dfb7d6c32e74ebabedb83672f65de8cb24c5245516cf4255579cdae653",
        evidence=Evidence.OWN,
        bytes=6_380_934,
        url=None,
        builtin=True,
        input_name="input",
        output_name="alpha",
    )


ENTRIES: tuple[Model, ...] = (
    _own("qbg-base", "qbg's own: any salient subject, 384x384; comes with qbg", 384),
    _own("qbg-turbo", "the file of qbg-base at 256x256: over twice as fast, a little coarser", 256),
    _rembg(
        "u2netp",
        "u2netp.onnx",
        "U-2-Net, small version: any salient subject, 320x320",
        APACHE,
        rembg_recipe(320),
        size=4_574_861,
        md5="8e83ca70e441ab06c318d82300c84806",
        sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        evidence=Evidence.MEASURED,
        origin=U2NET_HOME,
        input_name="input.1",
        output_name="1959",
    ),
    _rembg(
        "u2net",
        "u2net.onnx",
        "U-2-Net: any salient subject, 320x320",
        APACHE,
        rembg_recipe(320),
        size=175_997_641,
        md5="60024c5c889badc19c04ad937298a77b",
        sha256="8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
        evidence=Evidence.MEASURED,
        origin=U2NET_HOME,
    ),
    _rembg(
        "u2net_human_seg",
        "u2net_human_seg.onnx",
        "U-2-Net trained on people, 320x320",
        APACHE,
        rembg_recipe(320),
        size=175_997_641,
        md5="c09ddc2e0104f800e3e1bb4652583d1f",
        sha256="01eb6a29a5c4d8edb30b56adad9bb3a2a0535338e480724a213e0acfd2d1c73c",
        evidence=Evidence.COPIES,
        origin=U2NET_HOME,
    ),
    _rembg(
        "silueta",
        "silueta.onnx",
        "U-2-Net reduced to 43 MB, 320x320",
        UNSTATED,
        rembg_recipe(320),
        size=44_173_029,
        md5="55e59e0d8062d2f5d013f4725ee84782",
        sha256="75da6c8d2f8096ec743d071951be73b4a8bc7b3e51d9a6625d63644f90ffeedb",
        evidence=Evidence.COPIES,
        origin=f"{U2NET_HOME}/issues/295",
    ),
    _rembg(
        "isnet-general-use",
        "isnet-general-use.onnx",
        "IS-Net (DIS): any subject, fine detail, 1024x1024",
        APACHE,
        rembg_recipe(1024, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)),
        size=178_648_008,
        md5="fc16ebd8b0c10d971d3513d564d01e29",
        sha256="60920e99c45464f2ba57bee2ad08c919a52bbf852739e96947fbb4358c0d964a",
        evidence=Evidence.COPIES,
        origin="https://github.com/xuebinqin/DIS",
    ),
    _rembg(
        "isnet-anime",
        "isnet-anime.onnx",
        "IS-Net trained on anime figures, 1024x1024",
        APACHE,
        rembg_recipe(1024, mean=IMAGENET_MEAN, std=(1.0, 1.0, 1.0)),
        size=176_069_933,
        md5="6f184e756bb3bd901c8849220a83e38e",
        sha256="f15622d853e8260172812b657053460e20806f04b9e05147d49af7bed31a6e99",
        evidence=Evidence.COPIES,
        origin="https://github.com/SkyTNT/anime-segmentation",
    ),
    _birefnet(
        "birefnet-general",
        "BiRefNet-general-epoch_244.onnx",
        "BiRefNet: any subject, 1024x1024",
        "7a35a0141cbbc80de11d9c9a28f52697",
        "58f621f00f5d756097615970a88a791584600dcf7c45b18a0a6267535a1ebd3c",
    ),
    _rembg(
        "birefnet-general-lite",
        LITE_ASSET,
        "BiRefNet, small backbone: any subject, 1024x1024",
        MIT,
        rembg_recipe(1024, activation="sigmoid"),
        size=LITE_BYTES,
        md5=LITE_MD5,
        sha256=LITE_SHA256,
        evidence=Evidence.COPIES,
        origin=BIREFNET_HOME,
        mirrors=LITE_MIRRORS,
    ),
    Model(
        name="birefnet-lite",
        description="the file of birefnet-general-lite, fed as its authors do, 1024x1024",
        license=MIT.name,
        terms=MIT.terms,
        commercial=MIT.commercial,
        recipe=authors_recipe(1024, activation="sigmoid", min_max=False),
        file="birefnet-general-lite.onnx",
        sha256=LITE_SHA256,
        md5=LITE_MD5,
        evidence=Evidence.COPIES,
        bytes=LITE_BYTES,
        url=f"{RELEASES}/{LITE_ASSET}",
        mirrors=LITE_MIRRORS,
        origin=BIREFNET_HOME,
        departures=MAP_FIRST,
        rembg=True,
    ),
    _birefnet(
        "birefnet-portrait",
        "BiRefNet-portrait-epoch_150.onnx",
        "BiRefNet for people, 1024x1024",
        "c3a64a6abf20250d090cd055f12a3b67",
    ),
    _birefnet(
        "birefnet-dis",
        "BiRefNet-DIS-epoch_590.onnx",
        "BiRefNet trained on DIS5K, 1024x1024",
        "2d4d44102b446f33a4ebb2e56c051f2b",
    ),
    _birefnet(
        "birefnet-hrsod",
        "BiRefNet-HRSOD_DHU-epoch_115.onnx",
        "BiRefNet trained on HRSOD, 1024x1024",
        "c017ade5de8a50ff0fd74d790d268dda",
    ),
    _birefnet(
        "birefnet-cod",
        "BiRefNet-COD-epoch_125.onnx",
        "BiRefNet for camouflaged objects, 1024x1024",
        "f6d0d21ca89d287f17e7afe9f5fd3b45",
    ),
    _birefnet(
        "birefnet-massive",
        "BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx",
        "BiRefNet trained on many sets, 1024x1024",
        "33e726a2136a3d59eb0fdf613e31e3e9",
    ),
    _rembg(
        "bria-rmbg",
        "bria-rmbg-2.0.onnx",
        "RMBG-2.0: any subject, 1024x1024; rembg's default",
        BRIA_2,
        rembg_recipe(1024),
        size=1_024_331_469,
        sha256="5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
        evidence=Evidence.PUBLISHED,
        origin=f"{HUB}/briaai/RMBG-2.0",
    ),
    Model(
        name="rmbg-1.4",
        description="RMBG-1.4, an IS-Net: any subject, 1024x1024",
        license=BRIA_1.name,
        terms=BRIA_1.terms,
        commercial=BRIA_1.commercial,
        recipe=authors_recipe(1024, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)),
        file="rmbg-1.4.onnx",
        sha256="8cafcf770b06757c4eaced21b1a88e57fd2b66de01b8045f35f01535ba742e0f",
        evidence=Evidence.COPIES,
        bytes=176_153_355,
        url=f"{HUB}/briaai/RMBG-1.4/resolve/2ceba5a5efaec153162aedea169f76caf9b46cf8/onnx/model.onnx",
        mirrors=(f"{HUB}/briaai/RMBG-1.4/resolve/main/onnx/model.onnx",),
        origin=f"{HUB}/briaai/RMBG-1.4",
        departures=MAP_FIRST,
    ),
    Model(
        name="ben2",
        description="BEN2 base: any subject, fine edges, 1024x1024",
        license=MIT.name,
        terms=MIT.terms,
        commercial=MIT.commercial,
        recipe=authors_recipe(1024, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        file="ben2.onnx",
        sha256="22cea62108ff53b7ccc20f7a008bf30494228d84b1687f29ecbe76936a998101",
        evidence=Evidence.COPIES,
        bytes=222_932_053,
        url=f"{HUB}/PramaLLC/BEN2/resolve/e48a20765fb421d19dcdb0bf3cc61e802ca5ec8f/BEN2_Base.onnx",
        mirrors=(f"{HUB}/PramaLLC/BEN2/resolve/main/BEN2_Base.onnx",),
        origin=f"{HUB}/PramaLLC/BEN2",
        departures=MAP_FIRST,
    ),
    *(
        Model(
            name=name,
            description=f"InSPyReNet on {backbone}: any salient subject, {side}x{side}; from a checkpoint",
            license=MIT.name,
            terms=MIT.terms,
            commercial=MIT.commercial,
            recipe=authors_recipe(side, activation="sigmoid"),
            file=f"{name}.onnx",
            sha256=None,
            evidence=Evidence.BUILT,
            bytes=None,
            url=None,
            origin="https://github.com/plemeri/InSPyReNet",
            departures=MAP_FIRST,
            how=f"qbg models build {name} --weights CHECKPOINT.pth --out {{path}}",
        )
        for name, backbone, side in (
            ("inspyrenet-fast", "Res2Net-50", 384),
            ("inspyrenet-swin", "Swin-B", 384),
            ("inspyrenet-base", "Swin-B", 1024),
        )
    ),
)

UNSUPPORTED_ENTRIES: tuple[Unsupported, ...] = (
    Unsupported(
        name="sam",
        reason="it is two graphs that want points or boxes from the user, and gives several masks",
        instead="birefnet-general for one subject without prompts",
    ),
    Unsupported(
        name="u2net_cloth_seg",
        reason="its output is a map of four classes of clothing, not one mask",
        instead="u2net_human_seg for the whole person",
    ),
    Unsupported(
        name="birefnet-general-fp16",
        reason="rembg makes it on this machine for GPUs; it is birefnet-general in half precision",
        instead="birefnet-general",
    ),
    *(
        Unsupported(
            name=name,
            reason="rembg's name for a file of your own",
            instead=f"-m FILE.onnx --recipe FILE.toml, with the recipe of `qbg models info {like}`",
            like=like,
        )
        for name, like in (
            ("u2net_custom", "u2net"),
            ("dis_custom", "isnet-general-use"),
            ("ben_custom", "isnet-general-use"),
        )
    ),
    *(
        Unsupported(
            name=name,
            reason="a billed service that your pictures would be sent to; qbg works on this machine only",
            instead="birefnet-general",
        )
        for name in ("withoutbg", "atlascloud")
    ),
)
