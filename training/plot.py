"""Draws a training's log as an SVG file: quality by step. Must not know what was trained."""

from __future__ import annotations

import csv
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 760, 360, 50, 40, 190, 20
COLORS = (
    "#0b66c3",
    "#c34b0b",
    "#0b8a5a",
    "#8a0b6b",
    "#7a6a00",
    "#444",
    "#c30b2e",
    "#3d7ea6",
    "#999",
    "#5b3dbb",
)


def write(log: Path, out: Path) -> None:
    """One line for each column of `log` whose name begins with `iou`, from 0.5 to 1."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return
    steps = [float(row["step"]) for row in rows]
    last = max(steps)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (min(max(value, 0.5), 1.0) - 0.5) / 0.5

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><title>IoU on held-out pictures by step</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tenth in range(6):
        value = 0.5 + tenth / 10
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"step, up to {last:.0f}</text>"
    )
    names = [name for name in rows[0] if name.startswith("iou")]
    for number, name in enumerate(names):
        color = COLORS[number % len(COLORS)]
        points = " ".join(
            f"{x(step):.1f},{y(float(row[name])):.1f}"
            for step, row in zip(steps, rows, strict=True)
            if row[name]
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        words = escape(f"{name} {float(rows[-1][name]):.3f}")
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{TOP + 14 + 18 * number}" fill="{color}">{words}</text>'
        )
    out.write_text("\n".join([*parts, "</svg>"]) + "\n")
