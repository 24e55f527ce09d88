"""Writes README's tables of measured numbers, one for each record named.

    python scripts/readme_numbers.py benches/record/CPU/DATE-spine.json ... [--check]

With --check it changes nothing and ends with 1 if README doesn't hold the tables of those records.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"


def table(record: dict[str, Any], name: str) -> str:
    """The Markdown between the markers. A record with doubts says so in its first line."""
    machine = record["machine"]
    versions = machine["versions"]
    lines = []
    if record["doubts"]:
        lines += ["**Not a valid run:** " + "; ".join(record["doubts"]) + ".", ""]
    lines += ["| what | measured | goal |", "|---|---|---|"]
    for part in record["parts"].values():
        lines += [f"| {what} | {value} | {goal} |" for what, value, goal in part["headline"]]
    lines += [
        "",
        f"{machine['cpu']}, {len(machine['cpus_used'])} CPUs{', virtual' if machine['virtual'] else ''} "
        f"({', '.join(machine['flags'])}), {machine['system']}, Python {versions['python']}, "
        f"onnxruntime {versions['onnxruntime']}, Pillow {versions['pillow']}, NumPy {versions['numpy']}, "
        f"{machine['date_utc'][:10]}, revision {machine['git']}. Medians of {record['rounds']} rounds, "
        f"in brackets the 95 % interval of a ratio. Record: `{name}`.",
    ]
    return "\n".join(lines)


def main() -> int:
    paths = [Path(name).resolve() for name in sys.argv[1:] if name != "--check"]
    tables = [table(json.loads(path.read_text()), path.relative_to(ROOT).as_posix()) for path in paths]
    text = "\n\n".join(tables)
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
