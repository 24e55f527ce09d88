"""`qbg models verify`: whether the model files on this machine are the ones that they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli.download import named
from qbg.cli.exits import DONE, UNUSABLE, say, tell

if TYPE_CHECKING:
    from pathlib import Path

    from qbg.models import Model

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME...]", show_default=False, help="Names of models; default: all that are here."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def command(names: Names = None, as_json: Json = False) -> int:
    """Check size and checksum of each model file that qbg can find here, rembg's too.

    `ok` means the file is surely its publisher's; `plausible` that all that is known of it agrees, which
    finds damage but not forgery; `bad` that it isn't the file. Exit code 3 if one is bad or absent.
    """
    from qbg.models import MODELS
    from qbg.models.files import get_it, present

    models = [named(name) for name in names] if names else list(MODELS.values())
    rows: list[dict[str, Any]] = []
    for model in models:
        found = present(model)
        rows += [_row(model, path) for path in found]
        if names and not found:
            rows.append({"name": model.name, "state": "absent", "path": None, "why": get_it(model)})
    if as_json:
        tell(json.dumps(rows, indent=2))
    else:
        for row in rows:
            tell(f"{row['state']:<11}{row['name']:<23}{row['path'] or ''}\n{'':<11}{row['why']}")
    wrong = sum(row["state"] in ("bad", "absent") for row in rows)
    if wrong:
        say(f"{wrong} of {len(rows)} not usable; `qbg models download NAME` brings a good one")
    return UNUSABLE if wrong else DONE


def _row(model: Model, path: Path) -> dict[str, Any]:
    from qbg.models.download import describe
    from qbg.models.files import fault

    complaint = fault(model, path)
    if complaint is not None:
        state, why = "bad", complaint
    else:
        state, why = ("ok" if model.evidence.verified else "plausible"), describe(model, path)
    return {"name": model.name, "state": state, "path": str(path), "why": why}
