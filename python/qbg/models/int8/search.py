"""Finds the few layers that must stay float: where quantizing adds most noise, and whether float there pays.

A layer's damage is the noise-to-signal ratio of its output less that of its input, from one run of both
networks with all tensors shown. The worst layers are then tried in float, alone and with the cheap layers
that feed them (a tensor whose range is ruled by one channel is ruined before it is read), by the masks of the
real session on calibration photos. So are, once, the network's first layers together: all that follows reads
their noise, which no layer's own damage shows. The best one is kept, and all begins again, while it pays.
Must not see the gate's photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from qbg.models.int8.gate import Levels, Verdict, compare, masks
from qbg.models.int8.graph import Graph
from qbg.models.int8.measure import Spread
from qbg.models.int8.photos import Photo
from qbg.models.int8.place import Placement, convolutions, macs, place
from qbg.models.int8.session import open_bytes
from qbg.models.int8.walk import Method, walk
from qbg.models.int8.write import Layer, Writer, levels_of
from qbg.recipe import Recipe

BUDGET, BEGINNING = 0.1, 0.2
"""Shares of all multiplications that may stay float: of layers here and there, and of the first ones."""

CHEAP = 0.01
"""Share of a convolution that joins the one it feeds."""

FIRST = (1, 2, 3, 6, 9)
"""So many of the first convolutions are tried together."""

TRIED, ROUNDS = 3, 4
WORTH = 0.05
"""Share of the mask difference that a step must take away."""

ENOUGH = 0.0004
"""Mean difference of masks at which nothing is left to win: a tenth of a level."""

SHOWN = 40
"""Tensors that are shown at once: memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """Layers that stay float, found in one round.

    Attributes:
        layer: the convolution that it is about.
        nodes: names of all nodes that stay float for it.
        share: of all multiplications.
        before, after: verdicts on the calibration photos looked at.
    """

    layer: str
    nodes: tuple[str, ...]
    share: float
    before: Verdict
    after: Verdict


def search(
    graph: Graph,
    spreads: dict[str, Spread],
    keep: set[str],
    form: str,
    photos: Sequence[Photo],
    expected: Sequence[Levels],
    recipe: Recipe,
    on_try: Callable[[str], object] | None = None,
) -> list[Island]:
    """Islands in the order in which they were found.

    Args:
        graph, spreads: the float network.
        keep: nodes that stay float anyway.
        form: of the weights.
        photos: of calibration.
        expected: their float masks.
        recipe: to make masks.
        on_try: called with the layer's name before each try.
    """
    cost = macs(graph)
    total = sum(cost.values())
    kept, islands = set(keep), []

    def judged(names: set[str]) -> tuple[Verdict, Placement, dict[str, Layer]]:
        placement, layers = quick(graph, spreads, names, form)
        return judge(graph, placement, layers, photos, expected, recipe), placement, layers

    verdict, placement, layers = judged(kept)
    first = beginnings(graph)
    begun: set[str] = set()
    for _round in range(ROUNDS):
        if verdict.difference <= ENOUGH:
            break
        harm = damage(graph, placement, layers, photos[0].tensor)
        worst = sorted(harm, key=lambda name: -harm[name])[:TRIED]
        tried: list[tuple[Verdict, Placement, dict[str, Layer], str, set[str], bool]] = []
        seen: set[frozenset[str]] = set()
        able = [(name, nodes, False) for name in worst for nodes in ({name}, fed(graph, name, cost, total))]
        for name, nodes, begins in [*((name, nodes, True) for name, nodes in first), *able]:
            added = nodes - kept
            share = sum(cost.get(node, 0) for node in (kept | nodes) - keep - begun) / total
            if frozenset(added) in seen or share > (BEGINNING if begins else BUDGET):
                continue
            seen.add(frozenset(added))
            if on_try is not None:
                on_try(name)
            tried.append((*judged(kept | nodes), name, added, begins))
        if not tried:
            break
        best = min(tried, key=lambda item: item[0].difference)
        if best[0].difference > (1.0 - WORTH) * verdict.difference:
            break
        before = verdict
        verdict, placement, layers, name, added, begins = best
        if begins:
            begun = added
        first = []
        kept |= added
        share = sum(cost.get(node, 0) for node in added) / total
        islands.append(
            Island(layer=name, nodes=tuple(sorted(added)), share=share, before=before, after=verdict)
        )
    return islands


def quick(
    graph: Graph, spreads: dict[str, Spread], keep: set[str], form: str
) -> tuple[Placement, dict[str, Layer]]:
    """Integers found without a walk: good enough to compare placements."""
    placement = place(graph, spreads, keep)
    method = Method(form=form, correction="analytic", feedback=False)
    return placement, walk(graph, placement, spreads, [], method)


def judge(
    graph: Graph,
    placement: Placement,
    layers: dict[str, Layer],
    photos: Sequence[Photo],
    expected: Sequence[Levels],
    recipe: Recipe,
) -> Verdict:
    """The masks of the session that these integers make."""
    session = open_bytes(Writer(graph, placement, layers).whole({}))
    return compare(masks(session, photos, recipe), expected)


def damage(graph: Graph, placement: Placement, layers: dict[str, Layer], tensor: Any) -> dict[str, float]:
    """Noise over signal that each integer convolution adds, by name."""
    steps = [step for step in placement.steps if step.integer]
    names = list(dict.fromkeys(name for step in steps for name in (*step.inputs, *step.outputs)))
    model = Writer(graph, placement, layers).whole({})
    ratio: dict[str, float] = {}
    for begin in range(0, len(names), SHOWN):
        part = names[begin : begin + SHOWN]
        shown = type(model)()
        shown.CopyFrom(model)
        shown.graph.output.extend(
            helper.make_tensor_value_info(levels_of(name), TensorProto.UINT8, None) for name in part
        )
        found = open_bytes(shown).run([levels_of(name) for name in part], {graph.input: tensor})
        wanted = [name for name in part if name != graph.input]
        floats = open_bytes(graph.model(wanted)).run(wanted, {graph.input: tensor}) if wanted else []
        true = dict(zip(wanted, floats, strict=True)) | {graph.input: tensor}
        for name, array in zip(part, found, strict=True):
            scale, zero = placement.scales[name]
            off = (array.astype(np.float32) - zero) * np.float32(scale) - true[name]
            ratio[name] = float(np.mean(off * off) / (np.var(true[name]) + 1e-30))
    return {
        step.name: ratio[step.outputs[0]] - ratio[step.inputs[0]] for step in steps if step.kind == "Conv"
    }


def beginnings(graph: Graph) -> list[tuple[str, set[str]]]:
    """The first convolutions, one, two and more, and all before them: the last one's name, and all names."""
    able = {node.name for node in convolutions(graph)}
    found: list[tuple[str, set[str]]] = []
    names: set[str] = set()
    count = 0
    for node in graph.nodes:
        names.add(node.name)
        count += node.name in able
        if node.name in able and count in FIRST:
            found.append((node.name, set(names)))
    return found


def fed(graph: Graph, name: str, cost: dict[str, int], total: int) -> set[str]:
    """A convolution, what moves numbers to it, and the cheap convolutions before that."""
    producers = graph.producers()
    able = {node.name for node in convolutions(graph)}
    node = next(node for node in graph.nodes if node.name == name)
    found = {name}
    wanted = graph.data_inputs(node)
    while wanted:
        before = producers.get(wanted.pop())
        if before is None or before.name in found:
            continue
        if before.name in able:
            if cost[before.name] <= CHEAP * total:
                found.add(before.name)
            continue
        if before.op_type in ("Concat", "Resize", "MaxPool", "Relu"):
            found.add(before.name)
            wanted += graph.data_inputs(before)
    return found
