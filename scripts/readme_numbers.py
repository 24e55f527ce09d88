"""Writes README's measured numbers from records, between their markers.

    python scripts/readme_numbers.py benches/record/CPU/DATE-spine.json ... DATE-bench.json ... [--check]

Records of the benches give a table of ratios for each CPU (the folder that a record lies in); a part that
several of them hold is taken from the last.
Records of `qbg bench` give their verdict and main tables, one after the other. With --check it changes
nothing and ends with 1 if README doesn't hold what those records give.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- numbers:begin -->", "<!-- numbers:end -->"
BENCH_BEGIN, BENCH_END = "<!-- bench:begin -->", "<!-- bench:end -->"


def tables(records: dict[str, dict[str, Any]]) -> str:
    """The Markdown between the markers, from records by name: a table for each folder of theirs."""
    folders = dict.fromkeys(Path(name).parent.name for name in records)
    found = []
    for folder in folders:
        here = {name: record for name, record in records.items() if Path(name).parent.name == folder}
        title = [f"**{folder}**", ""] if len(folders) > 1 else []
        found.append("\n".join([*title, table(here)]))
    return "\n\n".join(found)


def table(records: dict[str, dict[str, Any]]) -> str:
    """Of one CPU. A record with doubts says so in its line."""
    parts: dict[str, Any] = {}
    for record in records.values():
        parts |= record["parts"]
    lines = ["| what | measured | goal |", "|---|---|---|"]
    for part in parts.values():
        lines += [f"| {named(what, part)} | {value} | {goal} |" for what, value, goal in part["headline"]]
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


def named(what: str, part: dict[str, Any]) -> str:
    """A row's name; a built-in model's tells if the record is of earlier weights than those that ship."""
    from qbg.models.catalog import ENTRIES

    for entry in ENTRIES:
        measured = part.get("facts", {}).get("network", entry.sha256)
        if entry.builtin and what.startswith(f"{entry.name},") and measured != entry.sha256:
            return what.replace(entry.name, f"{entry.name} with earlier weights", 1)
    return what


SHOWN = ("Throughput, measured", "Latency, measured")
"""Tables of `qbg bench` that README shows, by how their titles begin."""


def bench_text(name: str, path: Path) -> str:
    """A record of `qbg bench` in README: verdict, header, and the tables of `SHOWN`."""
    from qbg.bench import document
    from qbg.report import markdown
    from qbg.report import record as records

    record = records.load(path)
    whole = document.build(record)
    if not whole.valid:
        raise SystemExit(f"{name} is INVALID: {whole.reasons[0]}")
    head = whole.sections[0]
    tables = [
        table for section in whole.sections for table in section.tables if table.title.startswith(SHOWN)
    ]
    sections = [dataclasses.replace(head, title="", tables=())]
    sections += [dataclasses.replace(head, title="", text=(), tables=(table,)) for table in tables]
    small = dataclasses.replace(whole, sections=tuple(sections), reasons=())
    kept = (line for line in markdown.render(small).splitlines() if not line.startswith(("#", "- **")))
    body = re.sub(r"\n{3,}", "\n\n", "\n".join(kept))
    return f"`{record.command}`\n\n{body.strip()}\n\nRecord: `{name}`."


def main() -> int:
    paths = [Path(name).resolve() for name in sys.argv[1:] if name != "--check"]
    spines: dict[str, dict[str, Any]] = {}
    benches: dict[str, Path] = {}
    for path in paths:
        name, data = path.relative_to(ROOT).as_posix(), json.loads(path.read_text(encoding="utf-8"))
        if "parts" in data:
            spines[name] = data
        else:
            benches[name] = path
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = _between(old, BEGIN, END, tables(spines)) if spines else old
    if benches:
        text = "\n\n".join(bench_text(name, path) for name, path in benches.items())
        new = _between(new, BENCH_BEGIN, BENCH_END, text)
    if "--check" in sys.argv:
        return int(new != old)
    readme.write_text(new, encoding="utf-8")
    return 0


def _between(whole: str, begin: str, end: str, text: str) -> str:
    head, rest = whole.split(begin)
    return f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    sys.exit(main())
