"""Writes README's table of measured numbers from one or more records.

    python scripts/readme_numbers.py benches/record/CPU/DATE-spine.json ... [--check]

A part that several records hold is taken from the last of them. With --check it changes nothing and ends
with 1 if README doesn't hold the table of those records.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"


def table(records: dict[str, dict[str, Any]]) -> str:
    """The Markdown between the markers, from records by name. One with doubts says so in its line."""
    parts: dict[str, Any] = {}
    for record in records.values():
        parts |= record["parts"]
    lines = ["| what | measured | goal |", "|---|---|---|"]
    for part in parts.values():
        lines += [f"| {what} | {value} | {goal} |" for what, value, goal in part["headline"]]
    for name, record in records.items():
        machine, taken = record["machine"], [key for key in parts if parts[key] is record["parts"].get(key)]
        versions = ", ".join(f"{what} {version}" for what, version in machine["versions"].items())
        doubts = f"**Not a valid run:** {'; '.join(record['doubts'])}. " if record["doubts"] else ""
        virtual = ", virtual" if machine["virtual"] else ""
        lines += [
            "",
            f"{doubts}{', '.join(taken)}: {machine['cpu']}, {len(machine['cpus_used'])} CPUs{virtual} "
            f"({', '.join(machine['flags'])}), {machine['system']}, {versions}, {machine['date_utc'][:10]}, "
            f"revision {machine['git']}. Medians of {record['rounds']} rounds, in brackets the 95 % interval "
            f"of a ratio. Record: `{name}`.",
        ]
    return "\n".join(lines)


def main() -> int:
    paths = [Path(name).resolve() for name in sys.argv[1:] if name != "--check"]
    text = table({path.relative_to(ROOT).as_posix(): json.loads(path.read_text()) for path in paths})
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    head, rest = old.split(BEGIN)
    new = f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"
    if "--check" in sys.argv:
        return int(new != old)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
