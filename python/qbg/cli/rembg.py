"""`qbg rembg i|p|s|b|d`: rembg's command line (2.0.86) on qbg; also the command `rembg` of qbg-rembg.

From its flags to qbg's options, and nothing else: the work is done where `qbg remove` and `qbg serve` do it.
What differs on purpose stands in docs/rembg.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli.exits import DONE, UsageError, guarded, pour, say, tell

if TYPE_CHECKING:
    from qbg.remover import Remover

ModelName = Annotated[
    str | None, typer.Option("-m", "--model", metavar="NAME", help="Model: rembg's names and qbg's.")
]
AlphaMatting = Annotated[
    bool, typer.Option("-a", "--alpha-matting", help="Refine edges with PyMatting (extra qbg[matting]).")
]
AboveIsSubject = Annotated[
    int,
    typer.Option("-af", "--alpha-matting-foreground-threshold", min=0, max=255, help="Trimap: sure subject."),
]
BelowIsBackground = Annotated[
    int,
    typer.Option("-ab", "--alpha-matting-background-threshold", min=0, max=255, help="Trimap: background."),
]
ErodeSize = Annotated[
    int, typer.Option("-ae", "--alpha-matting-erode-size", min=0, help="Trimap: erode by so many pixels.")
]
OnlyMask = Annotated[bool, typer.Option("-om", "--only-mask", help="Only the mask.")]
PostProcess = Annotated[bool, typer.Option("-ppm", "--post-process-mask", help="Smooth, hard mask.")]
Decontaminate = Annotated[
    bool, typer.Option("-dc", "--decontaminate", help="Estimate the subject's own colors in soft edges.")
]
VitMatte = Annotated[bool, typer.Option("-vm", "--vitmatte", help="Not in qbg: refused with the reason.")]
BackgroundColor = Annotated[
    tuple[int, int, int, int],
    typer.Option("-bgc", "--bgcolor", metavar="R G B A", help="Color behind the subject."),
]
Extras = Annotated[
    str | None, typer.Option("-x", "--extras", metavar="JSON", help="Further options, such as model_path.")
]
Premultiplied = Annotated[
    bool,
    typer.Option("--premultiplied", help="Multiply colors by alpha, as rembg does without -dc."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the flags ask for, in qbg's words.

    Attributes:
        model: name or path; recipe: for a file of one's own.
        options: fields of `qbg.options.Options`.
        thresholds: of the trimap, if alpha matting is wanted.
        background: (red, green, blue, alpha); also in `options` unless there is alpha matting.
        restored: words of `qbg.compat.rembg.WORDS` that the environment gives.
    """

    model: str | None
    recipe: Any
    options: dict[str, Any]
    thresholds: tuple[int, int, int] | None
    background: tuple[int, int, int, int] | None
    restored: set[str] = field(default_factory=set)


def read_wish(
    model: str | None,
    matting: tuple[bool, int, int, int],
    mask: tuple[bool, bool],
    edge: tuple[bool, bool, bool],
    bgcolor: tuple[int, int, int, int],
    extras: str | None,
) -> Wish:
    """Sorts the common flags out, extras over flags as rembg has it; brings the model here if need be.

    Args:
        model: -m. matting: -a, -af, -ab, -ae. mask: -om, -ppm. edge: -dc, -vm, --premultiplied.
        bgcolor: -bgc. extras: -x.

    Raises:
        UsageError: they can't be had. ModelError: the model can't.
    """
    from qbg.cli.download import bring_named
    from qbg.compat import rembg as api
    from qbg.models import DEFAULT

    given: dict[str, Any] = {
        "alpha_matting": matting[0],
        "alpha_matting_foreground_threshold": matting[1],
        "alpha_matting_background_threshold": matting[2],
        "alpha_matting_erode_size": matting[3],
        "only_mask": mask[0],
        "post_process_mask": mask[1],
        "decontaminate": edge[0],
        "vitmatte": edge[1],
        "premultiplied": edge[2],
        "putalpha": False,
        "bgcolor": bgcolor,
        "model_path": None,
    }
    more = _json(extras)
    for key in more.keys() - given.keys() - {"providers", "sess_opts"}:
        say(f"-x: `{key}` means nothing to qbg and is passed over")
    given |= {name: value for name, value in more.items() if name in given}
    if given["vitmatte"] and not given["only_mask"]:
        raise UsageError(api.NO_VITMATTE, hint="leave out -vm")
    restored = api.restored()
    for word in sorted(restored - set(api.WORDS)):
        say(f"{api.RESTORE}: `{word}` is none of: {', '.join(api.WORDS)}, model=NAME")
    name = model if model is not None else api.restored_model()
    if name is None:
        say(
            f"no -m: qbg's own model, {DEFAULT}, is used; rembg's default, bria-rmbg, is 1 GB and not for "
            "commercial use (-m bria-rmbg)"
        )
    else:
        bring_named(name, quiet=False)
    try:
        chosen, recipe = api.which(name or DEFAULT, given["model_path"])
        red, green, blue, alpha = (int(level) for level in given["bgcolor"])
    except (TypeError, ValueError) as error:
        if isinstance(error, api.NoSessionError):
            raise
        raise UsageError(str(error)) from error
    color = None if given["only_mask"] or alpha == 0 else (red, green, blue, alpha)
    matted = given["alpha_matting"] and not given["only_mask"]
    options = {
        "only_mask": bool(given["only_mask"]),
        "post_process": bool(given["post_process_mask"]),
        "decontaminate": bool(given["decontaminate"]),
        "keep_hidden": bool(given["putalpha"]),
        "premultiply": bool(given["premultiplied"] or api.PREMULTIPLIED in restored)
        and not (given["putalpha"] or given["decontaminate"]),
        "background": None if matted else color,
    }
    thresholds = (
        int(given["alpha_matting_foreground_threshold"]),
        int(given["alpha_matting_background_threshold"]),
        int(given["alpha_matting_erode_size"]),
    )
    return Wish(
        model=chosen,
        recipe=recipe,
        options=options,
        thresholds=thresholds if matted else None,
        background=color,
        restored=restored,
    )


def make_remover(wish: Wish, pictures: int | None) -> Remover:
    """The Remover for at most so many pictures; None where only a walk can tell. Says its notes."""
    from qbg.cli.choice import Asked, choose
    from qbg.remover import Remover

    chosen = choose(Asked(model=wish.model), pictures)
    try:
        remover = Remover(
            wish.model,
            recipe=wish.recipe,
            engine=chosen.engine,
            precision=chosen.precision,
            workers=chosen.workers,
            threads_per_worker=chosen.threads,
            **wish.options,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    for note in (*chosen.notes, *remover.notes):
        say(note)
    return remover


def one(remover: Remover, wish: Wish, picture: Any) -> bytes:
    """One picture to a PNG's bytes."""
    if wish.thresholds is None:
        return remover.encoded(picture)
    from qbg.compat.rembg import matted, png

    post_process = wish.options["post_process"]
    return png(matted(remover, picture, wish.thresholds, wish.background, post_process=post_process))


def file_command(
    source: Annotated[str | None, typer.Argument(metavar="[INPUT]", show_default=False)] = None,
    target: Annotated[str | None, typer.Argument(metavar="[OUTPUT]", show_default=False)] = None,
    model: ModelName = None,
    alpha_matting: AlphaMatting = False,
    foreground: AboveIsSubject = 240,
    background: BelowIsBackground = 10,
    erode: ErodeSize = 10,
    only_mask: OnlyMask = False,
    post_process: PostProcess = False,
    decontaminate: Decontaminate = False,
    vitmatte: VitMatte = False,
    bgcolor: BackgroundColor = (0, 0, 0, 0),
    extras: Extras = None,
    premultiplied: Premultiplied = False,
) -> int:
    """One file, or standard input to standard output. Writes a PNG."""
    from qbg.whole import write_whole

    if source is None:
        if sys.stdin.isatty():
            raise UsageError("no input: name a file, or redirect standard input")
        source = "-"
    target = _target(source, target)
    if source != "-" and target is not None and Path(target).exists() and Path(target).samefile(source):
        raise UsageError(f"`{target}` is the input, which qbg never replaces", hint="name another output")
    wish = read_wish(
        model,
        (alpha_matting, foreground, background, erode),
        (only_mask, post_process),
        (decontaminate, vitmatte, premultiplied),
        bgcolor,
        extras,
    )
    with make_remover(wish, 1) as remover:
        data = one(remover, wish, sys.stdin.buffer.read() if source == "-" else source)
    if target is None:
        pour(data)
    else:
        write_whole(Path(target), data, durable=False)
    return DONE


def download_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that can be downloaded.")] = False,
) -> int:
    """Download models."""
    from qbg.cli import download
    from qbg.models import MODELS

    if names and everything:
        raise UsageError("names and --all exclude each other")
    if everything:
        names = [model.name for model in MODELS.values() if model.url is not None and not model.builtin]
    if not names:
        size = sum(model.bytes or 0 for model in MODELS.values() if model.url is not None)
        raise UsageError(
            f"no model named; all of them are {size / 1e9:.0f} GB",
            hint="name some, or say --all",
        )
    return download.command(list(names))


def version(asked: bool) -> None:
    """`--version`, in rembg's words."""
    if asked:
        import qbg

        tell(f"rembg, version 2.0.86 (as qbg {qbg.__version__} does it)")
        raise typer.Exit


def top(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """rembg's command line on qbg. The environment variable QBG_REMBG brings rembg's ways back: words out of
    premultiplied, flat, exit-zero and model=NAME, parted by commas."""


def make_app() -> typer.Typer:
    """The commands."""
    from qbg.cli import rembg_folder, rembg_frames, rembg_server

    made = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
    made.callback()(top)
    made.command("i")(guarded(file_command))
    made.command("p")(guarded(rembg_folder.command))
    made.command("b")(guarded(rembg_frames.command))
    made.command("s")(guarded(rembg_server.command))
    made.command("d")(guarded(download_command))
    return made


def main() -> None:
    """The command `rembg` of the distribution qbg-rembg."""
    from qbg.cli import run

    run(lambda: make_app()(prog_name="rembg"))


def _target(source: str, target: str | None) -> str | None:
    """Where the PNG goes; None: standard output."""
    if target == "-" or (target is None and (source == "-" or not sys.stdout.isatty())):
        if sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("standard output is a terminal: redirect it, or name OUTPUT")
        return None
    return target if target is not None else str(Path(source).with_suffix(".out.png"))


def _json(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"-x isn't JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError("-x must be a JSON object")
    return value
