"""The options of `qbg remove`, declared once, and their words' meaning. Must not run anything."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qbg.options import whole

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IN... [OUT]", show_default=False, help="Files, folders or `-`; the last of several is OUT."
    ),
]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="OUT", help="File, folder or `-`.")]
ModelName = Annotated[
    str | None,
    typer.Option("-m", "--model", metavar="MODEL", help="Name (qbg models list) or path of an ONNX file."),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download the model first if it is not on this machine.")
]
RecipeFile = Annotated[
    str | None, typer.Option("--recipe", metavar="FILE", help="TOML file: how to feed the network.")
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="onnxruntime; openvino (pip install 'qbg[openvino]'); null and simulated:SECONDS for measuring.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="WORD",
        help="auto, fp32, bf16, or int8: the quantized file MODEL.int8.onnx beside the model.",
    ),
]
Latency = Annotated[
    bool,
    typer.Option("--latency", help="All cores on one picture at a time; the default for a single picture."),
]
OnlyMask = Annotated[bool, typer.Option("--only-mask", help="Write the alpha plane instead of the cut-out.")]
Threshold = Annotated[
    int | None,
    typer.Option(metavar="LEVEL", help="Alpha from this level (1-255) on becomes 255, the rest 0."),
]
Invert = Annotated[bool, typer.Option("--invert", help="Keep the background instead of the subject.")]
Feather = Annotated[float, typer.Option(metavar="PX", help="Soften the edge: sigma in pixels.")]
Refine = Annotated[
    bool | None,
    typer.Option(
        "--refine/--no-refine",
        help="Move the mask's edges to the picture's own; default: as the model's recipe has it.",
        show_default=False,
    ),
]
PostProcess = Annotated[bool, typer.Option("--post-process", help="Smooth the mask's outline.")]
Background = Annotated[
    str | None, typer.Option(metavar="COLOR", help="Behind the subject: name, #rrggbb, r,g,b or r,g,b,a.")
]
BackgroundImage = Annotated[str | None, typer.Option(metavar="FILE", help="A picture behind the subject.")]
NoDecontaminate = Annotated[
    bool, typer.Option("--no-decontaminate", help="Leave background color in soft edges.")
]
KeepHidden = Annotated[bool, typer.Option("--keep-hidden", help="Keep the colors of transparent pixels.")]
Premultiply = Annotated[
    bool, typer.Option("--premultiply", help="Multiply colors by alpha, for programs that want it so.")
]
Crop = Annotated[bool, typer.Option("--crop", help="Cut to the subject.")]
Margin = Annotated[int | None, typer.Option(metavar="PX", help="Pixels around the subject; implies --crop.")]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help="png, webp, jpeg or tiff; else by OUT's name."),
]
PngLevel = Annotated[int | None, typer.Option(metavar="LEVEL", help="0 (stored) to 9 (smallest).")]
Quality = Annotated[
    int | None, typer.Option(metavar="N", help="1-100, for webp (default: lossless) and jpeg (default: 90).")
]
MaxPixels = Annotated[int | None, typer.Option(metavar="N", help="Refuse larger pictures.")]
MaxMemory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Fewer workers and smaller pictures, to stay below: 800M, 2G."),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Pictures worked on at once; default: one per CPU.")
]
Pin = Annotated[str, typer.Option(metavar="WORD", help="Keep workers in place: auto, cpu, node or off.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Redo outputs that are up to date.")]
Fsync = Annotated[bool, typer.Option("--fsync", help="Make each output durable before it appears.")]
NoRecursive = Annotated[bool, typer.Option("--no-recursive", help="Only the given folders, none below.")]
FromFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read inputs from a file, a path per line; `-`: stdin.")
]
Glob = Annotated[bool, typer.Option("--glob", help="Inputs are patterns, such as 'in/**/*.jpg'.")]
OnCollision = Annotated[
    str, typer.Option(metavar="WORD", help="When two inputs want one output: fail or rename.")
]
Journal = Annotated[
    str | None, typer.Option(metavar="FILE", help="Append a line of JSON for each finished picture.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Skip what the journal says is done.")]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts, from 0 to N-1, into which names divide the pictures.",
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be written, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only failures.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also warnings and times by stage.")]


def shard_of(text: str | None) -> tuple[int, int] | None:
    """`2/8` to (2, 8). ValueError if it isn't so written; whether it makes sense is told by the options."""
    if text is None:
        return None
    index, slash, count = text.partition("/")
    if not (slash and index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
        raise ValueError(f"--shard {text}: write I/N, such as 0/8 for the first of eight parts")
    return int(index), int(count)


def image_options(*, decontaminate: bool, crop: bool, margin: int | None, **values: Any) -> dict[str, Any]:
    """What `qbg.options.make_options` takes, without what wasn't given. ValueError for a negative margin."""
    options = {name: value for name, value in values.items() if value is not None}
    options["decontaminate"] = decontaminate
    if margin is not None:
        whole("option", "--margin", margin, 0, 1 << 31)
    if crop or margin is not None:
        options["crop"] = margin or 0
    return options
