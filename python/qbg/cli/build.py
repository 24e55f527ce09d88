"""`qbg models build`: writes the ONNX file of a network that qbg knows how to make."""

from __future__ import annotations

from typing import Annotated

import typer

from qbg.cli.exits import DONE, UsageError, tell

Name = Annotated[str, typer.Argument(metavar="NAME", help="Network: inspyrenet-fast, -swin or -base.")]
Weights = Annotated[
    str,
    typer.Option("--weights", metavar="random|PATH", help="Checkpoint (.pth, .safetensors), or `random`."),
]
Out = Annotated[str, typer.Option("--out", "-o", metavar="FILE.onnx", help="The file to write.")]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="N", help="Height and width of the picture, a multiple of 32.", show_default="384"
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of random weights.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="The graph as its authors draw it: slower, for comparisons.")
]


def command(
    name: Name, weights: Weights, out: Out, size: Size = None, seed: Seed = 0, plain: Plain = False
) -> int:
    """Build a network's ONNX file, from a checkpoint or with random weights.

    Needs the extra: pip install 'qbg[models]'.
    """
    from qbg.models.build import RANDOM, build

    try:
        built = build(name, weights, out, size=size, seed=seed, plain=plain)
    except ValueError as error:
        raise UsageError(str(error)) from error
    source = f"random weights, seed {seed}" if weights == RANDOM else f"weights of {weights}"
    tell(
        f"{built.path}: {name}, {built.side}x{built.side}, {built.parameters:,} parameters, "
        f"{built.bytes / 1e6:.1f} MB, {source}"
    )
    return DONE
