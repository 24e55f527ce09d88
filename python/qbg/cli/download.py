"""`qbg models download`: brings models to this machine; also `qbg remove --download`. Must not know how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qbg.cli.exits import DONE, UNUSABLE, UsageError, say, tell

if TYPE_CHECKING:
    from qbg.models import Model

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of models (qbg models list).")]
Mirror = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Take the file from here instead: a folder or the file itself; may be given several times.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Download it even if it is here.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only errors.")]


def command(names: Names, mirror: Mirror = None, force: Force = False, quiet: Quiet = False) -> int:
    """Download models, check them, and print where they are.

    QBG_MIRROR is the default of --mirror. QBG_HOME is the folder that keeps models. QBG_OFFLINE=1 forbids
    downloads. Proxies: https_proxy and no_proxy.
    """
    from qbg.errors import ModelError

    models = [named(name) for name in names]
    code = DONE
    for model in models:
        try:
            tell(str(bring(model, mirrors=mirror or [], force=force, quiet=quiet)))
        except ModelError as error:
            if len(models) == 1:
                raise
            # One that can't be had doesn't keep the others away.
            say(str(error))
            code = UNUSABLE
    return code


def bring(
    model: Model, *, mirrors: list[str], force: bool = False, quiet: bool = False, warn: bool = True
) -> Path:
    """One model, with progress on standard error; `warn`: and its license if that restricts the user."""
    from qbg.models.download import describe, download
    from qbg.report.download_console import DownloadConsole

    for mirror in mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise UsageError(f"--mirror {mirror}: it is no address", hint="it begins with https://")
    if warn and model.warning and not quiet:
        say(model.warning)
    console = DownloadConsole(model.file, quiet=quiet)
    try:
        path = download(model, mirrors=mirrors, listener=console, force=force)
    finally:
        console.close()
    if not quiet:
        say(f"{model.name} checked: {describe(model, path)}")
    return path


def bring_named(name: str | None, *, quiet: bool) -> None:
    """As `bring`, for `-m`: a path, the built-in model, and one that is here and whole need nothing."""
    from qbg.errors import ModelError
    from qbg.models import MODELS
    from qbg.models.files import find

    model = MODELS.get(name or "")
    if model is None:
        return
    try:
        find(model)
    except ModelError:
        # Who loads the model tells its license.
        bring(model, mirrors=[], quiet=quiet, warn=False)


def named(name: str) -> Model:
    """The model of that name.

    Raises:
        ModelNotFoundError: there is none, or qbg can't run it; the message says why.
    """
    from qbg.models import MODELS, unknown

    if name not in MODELS:
        raise unknown(name)
    return MODELS[name]
