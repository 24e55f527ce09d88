"""`qbg models remove`: throws away what qbg downloaded. What rembg keeps is rembg's."""

from __future__ import annotations

from typing import Annotated

import typer

from qbg.cli.download import named
from qbg.cli.exits import DONE, UNUSABLE, say, tell

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of models (qbg models list).")]


def command(names: Names) -> int:
    """Remove downloaded models, and what broken downloads left, from qbg's own folder."""
    from qbg.models.files import discard, present

    code = DONE
    for model in [named(name) for name in names]:
        if model.builtin:
            say(f"{model.name} comes with qbg and stays")
            code = UNUSABLE
            continue
        removed = discard(model)
        for path in removed:
            tell(str(path))
        if not removed:
            say(f"{model.name} is not in qbg's folder")
            code = UNUSABLE
        for path in present(model):
            say(f"{path} is rembg's and stays; qbg goes on using it")
    return code
