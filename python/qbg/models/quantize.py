"""Makes an int8 network of a float one: `qbg models quantize`. The door to `qbg.models.int8`.

Half of the folder's photos calibrate, the others judge: a file that strays from its float network by more
than the gate allows is not written. The file carries its recipe, what it was made of and the gate's figures.
Must not print. The result is plain ONNX (QuantizeLinear and DequantizeLinear), which any runtime loads; torch
is not needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg.errors import ModelError
from qbg.models import Resolved, resolve
from qbg.recipe import Recipe

if TYPE_CHECKING:
    from qbg.models.int8.gate import Levels, Verdict
    from qbg.models.int8.graph import Graph
    from qbg.models.int8.photos import Photo
    from qbg.models.int8.search import Island

PRECISION, QUANTIZED, RECIPE, NOTE, WEIGHTS, LICENSE = (
    f"qbg.{key}" for key in ("precision", "quantized", "recipe", "note", "weights", "license")
)
"""Keys of the file's metadata."""

SEARCHED = 8
"""Calibration photos by which layers are chosen to stay float."""

AUTO = "auto"

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What came of it.

    Attributes:
        path: the file; None if it wasn't written because the gate refused it.
        bytes: its size, written or not.
        verdict: masks against the float network's; None for random weights, whose masks mean nothing.
        islands: layers that the search left in float.
        form: format of the weights.
        equalized: whether channels were evened out.
        integer: share of the convolutions' multiplications done on integers.
        photos: that calibrated.
    """

    path: str | None
    bytes: int
    verdict: Verdict | None
    islands: tuple[Island, ...]
    form: str
    equalized: bool
    integer: float
    photos: int


def quantize(
    model: str | os.PathLike[str] | None,
    calibrate: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    gate: str | os.PathLike[str] | None = None,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    photos: int = 24,
    weights: str = AUTO,
    search: bool = True,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Quantized:
    """Quantizes a network and writes it, whole or not at all.

    Args:
        model: name or path of the float network.
        calibrate: folder of photos like those that it will see.
        out: the file.
        gate: folder of the photos that judge; None: every second one of `calibrate`.
        recipe: instead of the model's own.
        photos: at most so many calibrate, and as many judge.
        weights: one of `int8.rounding.FORMATS`; `auto` for what suits this CPU.
        search: look for layers that must stay float, and whether evening channels out helps.
        force: write the file even if the gate refuses it.
        on_progress: called with (what, done, all).

    Raises:
        ModelError: the network or the photos can't be used, or the onnx package isn't there.
        OutputError: the file can't be written.
        ValueError: an unknown format, or too few photos asked for.
    """
    _require_onnx()
    from qbg.models.int8 import photos as pictures
    from qbg.models.int8 import rounding
    from qbg.models.int8.graph import load
    from qbg.whole import write_whole

    if weights not in (AUTO, *rounding.FORMATS):
        raise ValueError(f"weights must be one of {', '.join((AUTO, *rounding.FORMATS))}, not `{weights}`")
    if photos < 1:
        raise ValueError(f"photos must be at least 1, not {photos}")
    form = rounding.format_for(cpu_flags()) if weights == AUTO else weights
    tell = on_progress or (lambda _what, _done, _all: None)
    found = resolve(model, recipe)
    if found.recipe.dynamic:
        raise ModelError(
            f"the recipe's fit `{found.recipe.fit}` varies the size; only fixed sizes can be quantized",
            stage="model",
            path=found.network.path,
            hint="use fit = 'squash' or 'letterbox' in the recipe",
        )
    graph = load(found.network, found.recipe.height, found.recipe.width)
    seen, judges = split(Path(calibrate), None if gate is None else Path(gate))
    tell("photos", 0, 1)
    calibration = pictures.read(pictures.spread(seen, photos), found.recipe)
    random = graph.metadata.get(WEIGHTS, "").startswith("random")
    held = [] if random else pictures.read(pictures.spread(judges, photos), found.recipe)
    made = _Made(found, graph, calibration, form, tell)
    if search and not random:
        made.search()
    verdict, data = made.finish(held, force)
    passed = verdict is None or verdict.passed
    if passed or force:
        write_whole(Path(out), data)
    return Quantized(
        path=os.fspath(out) if passed or force else None,
        bytes=len(data),
        verdict=verdict,
        islands=tuple(made.islands),
        form=form,
        equalized=made.equalized,
        integer=made.integer_share(),
        photos=len(calibration),
    )


class _Made:
    """A network on its way from float to integers."""

    def __init__(
        self, found: Resolved, graph: Graph, calibration: list[Photo], form: str, tell: Progress
    ) -> None:
        from qbg.models.int8.measure import measure
        from qbg.models.int8.place import tail

        self._found = found
        self._graph = graph
        self._calibration = calibration
        self._form = form
        self._tell = tell
        tensors = [photo.tensor for photo in calibration]
        self._spreads = measure(graph, tensors, lambda done, count: tell("ranges", done, count))
        self._keep = tail(graph)
        self.islands: list[Island] = []
        self.equalized = False

    def search(self) -> None:
        """Leaves layers in float where that pays, then evens channels out if that pays too."""
        from qbg.models.int8.gate import masks
        from qbg.models.int8.search import search

        photos = self._calibration[:: max(1, len(self._calibration) // SEARCHED)][:SEARCHED]
        expected = masks(self._float_session(), photos, self._found.recipe)
        tries = 0

        def on_try(_name: str) -> None:
            nonlocal tries
            tries += 1
            self._tell("search", tries, 0)

        self.islands = search(
            self._graph, self._spreads, self._keep, self._form, photos, expected, self._found.recipe, on_try
        )
        for island in self.islands:
            self._keep.update(island.nodes)
        self._choose(photos, expected)

    def _choose(self, photos: list[Photo], expected: list[Levels]) -> None:
        """Evens channels out if the masks of the calibration photos are nearer for it."""
        from qbg.models.int8.equalize import equalize
        from qbg.models.int8.search import judge, quick

        plain, even = (self._graph, self._spreads), equalize(self._graph, self._spreads)
        differences: list[float] = []
        for graph, spreads in (plain, even):
            self._tell("equalizing", len(differences), 2)
            placement, layers = quick(graph, spreads, self._keep, self._form)
            verdict = judge(graph, placement, layers, photos, expected, self._found.recipe)
            differences.append(verdict.difference)
        if differences[1] < differences[0]:
            self._graph, self._spreads = even
            self.equalized = True

    def finish(self, held: list[Photo], force: bool) -> tuple[Verdict | None, bytes]:
        """The gate's verdict, and the file's bytes."""
        from qbg.models.int8.gate import compare, masks
        from qbg.models.int8.place import place
        from qbg.models.int8.session import open_bytes
        from qbg.models.int8.walk import Method, walk
        from qbg.models.int8.write import Writer

        placement = place(self._graph, self._spreads, self._keep)
        if not any(step.integer and step.kind in ("Conv", "MatMul") for step in placement.steps):
            raise ModelError(
                "nothing is left in it to quantize: no convolution with constant weights that may be",
                stage="model",
                path=self._found.network.path,
                hint="run it in float",
            )
        tensors = [photo.tensor for photo in self._calibration]
        method = Method(form=self._form)
        layers = walk(
            self._graph,
            placement,
            self._spreads,
            tensors,
            method,
            lambda done, count: self._tell("layers", done, count),
        )
        model = Writer(self._graph, placement, layers).whole({})
        verdict = None
        if held:
            recipe = self._found.recipe
            expected = masks(
                self._float_session(),
                held,
                recipe,
                lambda done, count: self._tell("gate, float", done, count),
            )
            found = masks(
                open_bytes(model), held, recipe, lambda done, count: self._tell("gate, int8", done, count)
            )
            verdict = compare(found, expected)
        from onnx import helper

        helper.set_model_props(model, self._metadata(verdict))
        return verdict, model.SerializeToString(deterministic=True)

    def integer_share(self) -> float:
        """Of the convolutions' multiplications."""
        from qbg.models.int8.place import macs

        cost = macs(self._graph)
        return 1.0 - sum(cost.get(name, 0) for name in self._keep) / max(1, sum(cost.values()))

    def _float_session(self) -> Any:
        from qbg.engine.onnx import load_onnxruntime, open_session
        from qbg.models.int8.gate import Only

        network = self._found.network
        return Only(open_session(load_onnxruntime(), network.path), network.input_name, network.output_name)

    def _metadata(self, verdict: Verdict | None) -> dict[str, str]:
        found = self._found
        facts: dict[str, Any] = {
            "from": found.network.digest,
            "photos": len(self._calibration),
            "weights": self._form,
            "equalized": self.equalized,
            "float": sorted(self._keep),
            "gate": "not measured: random weights",
        }
        metadata = dict(self._graph.metadata)
        if verdict is not None:
            numbers = {key: round(value, 5) for key, value in asdict(verdict).items()}
            facts["gate"] = {**numbers, "passed": verdict.passed}
            if not verdict.passed:
                notes = (metadata.get(NOTE), f"int8, refused by the gate: {verdict.words}")
                metadata[NOTE] = "; ".join(note for note in notes if note)
        metadata[PRECISION] = "int8"
        metadata[QUANTIZED] = json.dumps(facts)
        metadata[RECIPE] = json.dumps(asdict(found.recipe))
        if found.license is not None:
            metadata.setdefault(LICENSE, found.license)
        return metadata


def split(calibrate: Path, gate: Path | None) -> tuple[list[Path], list[Path]]:
    """Photos that calibrate, and others that judge.

    Raises:
        ModelError: a folder isn't there, or holds too few pictures.
    """
    from qbg.models.int8.photos import find

    seen = find(calibrate)
    if gate is not None:
        return seen, find(gate)
    if len(seen) < 2:
        raise ModelError(
            "one picture alone can't both calibrate and judge",
            stage="calibrate",
            path=str(calibrate),
            hint="give more photos, or other ones with --gate DIR",
        )
    return seen[0::2], seen[1::2]


def cpu_flags() -> frozenset[str]:
    """Features of this CPU by Linux's names; a guess by the architecture where they can't be read."""
    import platform

    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset({"asimddp"} if platform.machine().lower() in ("arm64", "aarch64") else ())
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return frozenset(next(lines, "").partition(":")[2].split())


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "quantizing needs the onnx package, which isn't installed",
            stage="model",
            hint="pip install 'qbg[models]'",
        ) from error
