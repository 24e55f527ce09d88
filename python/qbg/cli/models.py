"""`qbg models list` and `qbg models info`: the registry, and what of it is on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qbg.cli.exits import DONE, tell
from qbg.errors import QbgError

if TYPE_CHECKING:
    from qbg.models import Model

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model, or path of an ONNX file.")]


def list_command(as_json: Json = False) -> int:
    """List the models and whether they are on this machine."""
    from qbg.models import MODELS

    rows = [{**_facts(model), "path": _path(model)} for model in MODELS.values()]
    if as_json:
        tell(json.dumps(rows, indent=2))
        return DONE
    for row in rows:
        state = "built in" if row["builtin"] else ("here" if row["path"] else "absent")
        tell(f"{row['name']:<23}{state:<10}{row['description']} ({row['license']})")
    return DONE


def info_command(name: Name, as_json: Json = False) -> int:
    """Show one model: file, license, recipe, and what its graph takes if it is here."""
    from qbg.models import MODELS, resolve

    model = MODELS.get(name)
    facts: dict[str, Any] = _facts(model) if model is not None else {"name": name}
    try:
        found = resolve(name)
    except QbgError as error:
        if model is None:
            raise
        facts |= {"recipe": asdict(model.recipe), "absent": str(error)}
    else:
        facts |= {
            "recipe": asdict(found.recipe),
            "network": asdict(found.network),
            "notes": list(found.notes),
        }
    if as_json:
        tell(json.dumps(facts, indent=2))
    else:
        for line in lines(facts):
            tell(line)
    return DONE


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts for people, a line each; tables are indented."""
    shown: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            shown += [name, *(f"  {line}" for line in lines(value))]
        elif value not in (None, [], ()):
            text = ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
            shown.append(f"{name:<16}{text}")
    return shown


def _facts(model: Model) -> dict[str, Any]:
    facts = asdict(model)
    return {
        key: facts[key] for key in ("name", "description", "license", "sha256", "bytes", "url", "builtin")
    }


def _path(model: Model) -> str | None:
    from qbg.models.files import find

    try:
        return str(find(model))
    except QbgError:
        return None
