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

MARKS = {True: " ", False: "!", None: "?"}
LEGEND = "! not for commercial use   ? nobody says   qbg models info NAME tells the rest"


def list_command(as_json: Json = False) -> int:
    """List the models: whether they are on this machine, size, license; and names that qbg can't run."""
    from qbg.models import MODELS, UNSUPPORTED

    rows = [_facts(model) | _state(model) for model in MODELS.values()]
    if as_json:
        tell(json.dumps(rows, indent=2))
        return DONE
    tell(f"{'NAME':<23}{'STATE':<13}{'MB':>7}   {'LICENSE':<15}")
    for row in rows:
        size = "" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}"
        license_ = str(row["license"]).partition(" (")[0].removesuffix(" upstream")
        tell(
            f"{row['name']:<23}{row['state']:<13}{size:>7} {MARKS[row['commercial']]} {license_:<15}"
            f"{row['description']}"
        )
    tell(f"\n{LEGEND}\n\nNot supported:")
    for entry in UNSUPPORTED.values():
        tell(f"{entry.name:<23}{entry.reason}")
    return DONE


def info_command(name: Name, as_json: Json = False) -> int:
    """Show one model: file, license, checksums, recipe, its graph if it is here; a built-in one's card."""
    from qbg.models import MODELS, resolve

    model = MODELS.get(name)
    facts: dict[str, Any] = {"name": name}
    if model is not None:
        facts = _facts(model) | _state(model)
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
    card = None if model is None else _card(model)
    if as_json:
        tell(json.dumps(facts | {"card": card}, indent=2))
        return DONE
    for line in lines(facts):
        tell(line)
    if card is not None:
        tell(f"\n{card}")
    return DONE


def _card(model: Model) -> str | None:
    """What is known of a built-in one, in Markdown: data, quality by kind of picture, limits."""
    from pathlib import Path

    import qbg.models

    path = Path(qbg.models.__file__).parent / "data" / Path(model.file).with_suffix(".md")
    return path.read_text(encoding="utf-8") if model.builtin and path.is_file() else None


def lines(facts: dict[str, Any]) -> list[str]:
    """The facts for people, a line each; tables are indented."""
    shown: list[str] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            shown += [name, *(f"  {line}" for line in lines(value))]
        elif value not in (None, [], ()):
            text = ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
            shown.append(f"{name:<18}{text}")
    return shown


def _facts(model: Model) -> dict[str, Any]:
    facts = asdict(model)
    del facts["recipe"], facts["rembg"], facts["input_name"], facts["output_name"]
    return facts


def _state(model: Model) -> dict[str, Any]:
    """Whether and where the file is. Its size is looked at and its bytes are not: `verify` does that."""
    from qbg.models.files import present

    try:
        paths = present(model)
    except QbgError:
        paths = []
    if not paths:
        return {"state": "absent" if model.how is None else "to be built", "path": None}
    if model.builtin:
        return {"state": "built in", "path": str(paths[0])}
    sound = [path for path in paths if model.bytes in (None, path.stat().st_size)]
    return {"state": "here" if sound else "wrong size", "path": str((sound or paths)[0])}
