"""Writes the table of models in models/README.md from the registry, between its markers.

    python scripts/models_table.py [--check]

`--check` writes nothing and ends with 1 if the table isn't the registry's; the tests run it so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qbg.models import MODELS, UNSUPPORTED, Model

FILE = Path(__file__).resolve().parents[1] / "models" / "README.md"
CARD = "../python/qbg/models/data/{}.md"
"""Of the one that comes with qbg."""
BEGIN, END = "<!-- models:begin -->", "<!-- models:end -->"
COMMERCIAL = {True: "yes", False: "**no**", None: "nobody says"}


def table() -> str:
    """The lines between the markers."""
    lines = [
        "| model | what | input | bytes | license | commercial use | what its checksum rests on |",
        "|---|---|---|---|---|---|---|",
        *(row(model) for model in MODELS.values()),
        "",
        "| not supported | why | instead |",
        "|---|---|---|",
        *(f"| {entry.name} | {entry.reason} | {entry.instead} |" for entry in UNSUPPORTED.values()),
    ]
    return "\n".join(lines)


def row(model: Model) -> str:
    """One model's line."""
    size = "" if model.bytes is None else f"{model.bytes:,}"
    name = f"[{model.name}]({model.origin or CARD.format(Path(model.file).stem)})"
    return (
        f"| {name} | {model.description} | {model.recipe.width}x{model.recipe.height} | {size} "
        f"| {model.license} | {COMMERCIAL[model.commercial]} | {model.evidence} |"
    )


def main(arguments: list[str]) -> int:
    """Writes or checks. Returns the exit code."""
    text = FILE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    made = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in arguments:
        if made != text:
            print(f"{FILE} is not the registry's: run scripts/models_table.py", file=sys.stderr)
        return int(made != text)
    FILE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
