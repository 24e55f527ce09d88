"""Side-by-side runs of the whole pipeline and its parts against what they replace, in turns, in one run.

Each part's docstring says what is issued, what is timed, what is left out and what the headline is. A part
checks its results outside the timed section. The record holds all raw times; README's table is made from it.

    python benches/spine.py [--only folder,png] [--quick] [--rembg-python VENV/bin/python] [--photos FOLDER]

Uses the command line and the public API; kernels through qbg._native. Linux only: it sets CPU affinity.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import measure
import qbg
import rivals
from qbg import _native, models
from qbg.bench import compare
from qbg.options import Options

MODEL = models.COMPARED
"""Of all parts: what rembg runs too. `qbg models download u2netp` brings it here."""

OURS = ("--model", MODEL, "--engine", "onnxruntime", "--precision", "fp32")
"""Whatever `qbg tune` found, and whatever the default is."""

PHOTO_SIZE = (640, 480)
BIG_SIZE = (4032, 3024)


@dataclass
class Context:
    """What the parts share.

    Attributes:
        rounds: turns of each comparison.
        count: photos in the folder that is cut out.
        work: temporary folder.
        cpus: CPUs that everybody may use; the first one alone for one-core parts.
        sources: photos to make inputs from.
        rembg: the one to compare with, or None.
        quick: whether this is only a check that everything runs.
    """

    rounds: int
    count: int
    work: Path
    cpus: list[int]
    sources: list[Path]
    rembg: compare.Rembg | None
    quick: bool
    _photos: Path | None = field(default=None, repr=False)

    def photos(self) -> Path:
        """A folder of `count` JPEGs of 640x480."""
        if self._photos is None:
            self._photos = self.work / "photos"
            self._photos.mkdir()
            for number in range(self.count):
                source = self.sources[number % len(self.sources)]
                image = Image.open(source).convert("RGB").resize(PHOTO_SIZE, Image.Resampling.LANCZOS)
                image.save(self._photos / f"{number:04}.jpg", quality=90)
        return self._photos

    def images(self) -> list[Image.Image]:
        """The same photos, decoded."""
        return [Image.open(path).convert("RGB") for path in sorted(self.photos().iterdir())]


@dataclass
class Part:
    """What a part gives to the record.

    Attributes:
        headline: (what, value as text, the issue's goal) rows for README and the console.
        times: summaries by contestant.
        ratios: by name: median, low, high.
        facts: anything else worth keeping.
    """

    headline: list[tuple[str, str, str]]
    times: dict[str, Any]
    ratios: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)


def weights() -> Path:
    """The file of `MODEL`."""
    return Path(models.resolve(MODEL).network.path)


def per_second(count: int, times: list[float]) -> str:
    """A rate as text."""
    return f"{count / statistics.median(times):.2f} photos/s"


def interval(ratio: dict[str, float]) -> str:
    """A ratio as text."""
    return f"{ratio['median']:.2f} x ({ratio['low']:.2f} to {ratio['high']:.2f})"


def check_masks(context: Context, target: Path) -> None:
    """The cut-outs' alpha is the network's mask: IoU with Pillow's way at least 0.995 on four photos."""
    callers = rivals.Callers(weights(), [])
    for path in sorted(context.photos().iterdir())[:4]:
        image = Image.open(path).convert("RGB")
        logits = callers._session.run(callers._output, {callers._input: rivals.preprocess(image)})[0][0, 0]
        wanted = np.asarray(rivals.mask(logits, image.size)) > 127
        ours = np.asarray(Image.open(target / f"{path.stem}.png"))[:, :, 3] > 127
        iou = (ours & wanted).sum() / max((ours | wanted).sum(), 1)
        if iou < 0.995:
            raise RuntimeError(f"{path.name}: IoU {iou:.4f} with the recipe by hand")


def part_folder(context: Context) -> Part:
    """Files to files with the real network, two workers.

    Issued: a folder of 640x480 JPEGs, at once. Timed: `qbg remove` from files to cut-out PNGs, as its own
    summary counts it (no start-up) and as a whole process; two bare callers of one single-threaded ONNX
    Runtime session on inputs made beforehand; `rembg p -m u2netp` as a whole process where it is installed.
    Without start-up means: less the time of a folder of one photo, for both programs alike. Left out: making
    the inputs, deleting outputs. Headline: qbg's rate over that of the bare callers; over rembg's.
    """
    source, target = context.photos(), context.work / "cutouts"
    count = context.count
    one = context.work / "one"
    one.mkdir(exist_ok=True)
    shutil.copy(sorted(source.iterdir())[0], one)
    feeds = [rivals.preprocess(image) for image in context.images()]
    callers = rivals.Callers(weights(), feeds)
    walls: list[float] = []
    ones: list[float] = []

    def ours() -> float:
        summary = compare.run_qbg(source, target, *OURS, "--workers", "2", cpus=context.cpus)
        if summary["done"] != count:
            raise RuntimeError(f"qbg did {summary['done']} of {count}")
        walls.append(summary["wall_s"])
        first = compare.run_qbg(one, context.work / "one_out", *OURS, "--workers", "2", cpus=context.cpus)
        ones.append(first["wall_s"])
        return summary["seconds"]

    contestants: dict[str, Callable[[], float]] = {"bare": lambda: callers.seconds(2), "qbg": ours}
    rembg_ones: list[float] = []
    if context.rembg is not None:
        rembg, home = context.rembg, context.work / "rembg_home"

        def theirs() -> float:
            rembg_ones.append(
                compare.run_rembg(rembg, one, context.work / "one_rembg", home=home, cpus=context.cpus)
            )
            return compare.run_rembg(rembg, source, context.work / "rembg", home=home, cpus=context.cpus)

        contestants["rembg"] = theirs
    times = compare.interleave(contestants, context.rounds)
    check_masks(context, target)
    walls, ones, rembg_ones = (values[-context.rounds :] for values in (walls, ones, rembg_ones))
    of_bare = measure.ratio(times["bare"], times["qbg"])
    summaries = {name: measure.summary(values) for name, values in times.items()}
    summaries["qbg whole process"] = measure.summary(walls)
    summaries["qbg one photo"] = measure.summary(ones)
    rows = [
        (f"{count} photos of 640x480, u2netp fp32, 2 workers", per_second(count, times["qbg"]), ""),
        ("share of two bare callers of the session", f"{of_bare['median']:.1%}", ">= 95 %"),
    ]
    ratios = {"rate over bare callers": of_bare}
    if rembg_ones:
        summaries["rembg one photo"] = measure.summary(rembg_ones)
        ratios["rate over rembg, with start-up"] = measure.ratio(times["rembg"], walls)
        steady = [whole - first for whole, first in zip(times["rembg"], rembg_ones, strict=True)]
        ours_steady = [whole - first for whole, first in zip(walls, ones, strict=True)]
        ratios["rate over rembg, without start-up"] = measure.ratio(steady, ours_steady)
        goal = ">= 1.9 x on AVX-512, >= 1.2 x on AVX2"
        rows += [(name, interval(ratios[name]), goal) for name in list(ratios)[1:]]
    return Part(rows, summaries, ratios)


def part_big(context: Context) -> Part:
    """Everything but the network on 12-megapixel JPEGs, one core.

    Issued: 4032x3024 JPEGs, each four photos upscaled side by side. Timed: `qbg remove --engine null` with
    one worker on one CPU, by its own summary (decode, preprocess, mask, composite with color estimation, PNG,
    write), against Pillow and NumPy doing rembg's steps without writing, on the same CPU. The null
    engine gives an ellipse. Left out: start-up of both. Headline: qbg's seconds per picture.
    """
    folder = context.work / "big"
    folder.mkdir()
    count = 1 if context.quick else 4
    width, height = BIG_SIZE
    for number in range(count):
        sheet = Image.new("RGB", BIG_SIZE)
        for place in range(4):
            photo = Image.open(context.sources[(number * 4 + place) % len(context.sources)]).convert("RGB")
            photo = photo.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
            sheet.paste(photo, (place % 2 * width // 2, place // 2 * height // 2))
        sheet.save(folder / f"big{number}.jpg", quality=90)
    cpu = context.cpus[:1]
    stages: dict[str, list[float]] = {}
    sizes: list[int] = []

    def ours() -> float:
        summary = compare.run_qbg(
            folder, context.work / "big_out", "--model", MODEL, "--workers", "1", "--engine", "null", cpus=cpu
        )
        for name, seconds in summary["stage_seconds"].items():
            stages.setdefault(name, []).append(seconds / count)
        sizes.append(sum(path.stat().st_size for path in (context.work / "big_out").iterdir()) // count)
        return summary["seconds"] / count

    def theirs() -> float:
        script = str(Path(rivals.__file__))
        done = subprocess.run(
            [sys.executable, script, "big", str(folder)], check=True, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpu),
        )  # fmt: skip
        return json.loads(done.stdout)["seconds_per_picture"]

    times = compare.interleave({"qbg": ours, "pillow": theirs}, context.rounds, warm_up=0)
    faster = measure.ratio(times["pillow"], times["qbg"])
    per_stage = {name: statistics.median(values) for name, values in stages.items()}
    rows = [
        ("12-megapixel JPEG to cut-out PNG without the network, 1 core",
         f"{statistics.median(times['qbg']):.3f} s", "<= 0.25 s on AVX-512"),
        ("the same over Pillow and NumPy", interval(faster), ""),
    ]  # fmt: skip
    facts = {"stage_median_s": per_stage, "png_bytes": sizes[-1]}
    return Part(rows, {name: measure.summary(v) for name, v in times.items()}, {"pillow": faster}, facts)


def crossing(pixels: np.ndarray) -> tuple[int, int, int, bytes]:
    """As the native side takes it."""
    height, width, channels = pixels.shape
    return height, width, channels, pixels.tobytes()


def part_preprocess(context: Context) -> Part:
    """640x480 RGB to a (3, 320, 320) float tensor, one core, warm.

    Issued: sixteen decoded photos in turn. Timed: the preprocess stage of a warm worker, by its own clock,
    at each SIMD level (the stages before and after run too, on the null engine, and aren't timed); rembg's
    recipe in Pillow and NumPy; Pillow's Lanczos alone. Headline: the best level.
    """
    from qbg import engine

    images = context.images()[:16]
    native = [crossing(np.asarray(image)) for image in images]
    model = models.resolve(MODEL)
    recipe = model.recipe
    repeat = 1 if context.quick else 4
    null = engine.make("null", model.network)

    def each(work: Callable[[Any], object], inputs: list[Any]) -> Callable[[], float]:
        def measured() -> float:
            return measure.clock(lambda: [work(item) for _ in range(repeat) for item in inputs])

        return lambda: measured() / repeat / len(inputs)

    def stage(level: str) -> Callable[[], float]:
        core = _native.Core(recipe, null.output_shape, null.make_worker, workers=1, simd=level)

        def measured() -> float:
            results = [core.process(item, Options()) for _ in range(repeat) for item in native]
            return sum(result.stage_ns["preprocess"] for result in results) / 1e9 / len(results)

        return measured

    levels = _native.system()["simd_levels"]
    contestants = {level: stage(level) for level in levels}
    contestants["rembg recipe"] = each(rivals.preprocess, images)
    size = (rivals.SIDE, rivals.SIDE)
    contestants["Pillow resize"] = each(lambda image: image.resize(size, Image.Resampling.LANCZOS), images)
    os.sched_setaffinity(0, context.cpus[:1])
    times = compare.interleave(contestants, context.rounds * 3)
    os.sched_setaffinity(0, context.cpus)
    off = np.abs(np.asarray(_native.preprocess(native[0], recipe)) - rivals.preprocess(images[0])).max()
    if off > 1e-5:
        raise RuntimeError(f"preprocess differs from the recipe by {off}")
    best = times[levels[-1]]
    ratios = {name: measure.ratio(times[name], best) for name in ("rembg recipe", "Pillow resize")}
    rows = [
        (f"preprocess 640x480 to 320x320, {levels[-1]}", f"{statistics.median(best) * 1e3:.2f} ms", ""),
        ("the same over rembg's recipe", interval(ratios["rembg recipe"]), ">= 10 x"),
        ("the same over Pillow's resize alone", interval(ratios["Pillow resize"]), ">= 3 x"),
    ]
    return Part(rows, {name: measure.summary(values) for name, values in times.items()}, ratios)


def part_png(context: Context) -> Part:
    """PNG of real cut-outs, RGBA 640x480, one core.

    Issued: sixteen photos with the built-in network's alpha, hidden color 0. Timed: `_native.encode`
    with default options and Pillow's default save into memory. Headline: ratio of times, and of bytes.
    """
    images = context.images()[: 4 if context.quick else 16]
    with qbg.Remover(MODEL, workers=1) as remover:
        cutouts = [np.asarray(remover.cutout(np.asarray(image))) for image in images]
    native = [crossing(pixels) for pixels in cutouts]
    pillow = [Image.fromarray(pixels) for pixels in cutouts]
    options = Options()
    os.sched_setaffinity(0, context.cpus[:1])
    times = compare.interleave(
        {
            "qbg": lambda: (
                measure.clock(lambda: [_native.encode(item, options) for item in native]) / len(native)
            ),
            "pillow": lambda: measure.clock(lambda: [rivals.png(image) for image in pillow]) / len(pillow),
        },
        context.rounds,
    )
    os.sched_setaffinity(0, context.cpus)
    ours, theirs = (
        [len(_native.encode(item, options)) for item in native],
        [len(rivals.png(image)) for image in pillow],
    )
    faster, larger = measure.ratio(times["pillow"], times["qbg"]), sum(ours) / sum(theirs)
    rows = [
        ("PNG of a 640x480 cut-out over Pillow's default", interval(faster), ">= 10 x"),
        ("its size over Pillow's", f"{larger:.2f} x", "<= 1.35 x"),
    ]
    facts = {"bytes": {"qbg": ours, "pillow": theirs}}
    return Part(rows, {name: measure.summary(v) for name, v in times.items()}, {"pillow": faster}, facts)


def part_scaling(context: Context) -> Part:
    """Two workers against one, beside two bare callers against one.

    Issued: the first 24 photos of part `folder`, an even number for two. Timed: `Remover.remove_folder`,
    files to files, by its own summary, with 1 and with 2 workers on both CPUs; the bare session with 1 and 2
    threads. Models are loaded and workers made beforehand on both sides. Headline: qbg's gain over the bare
    gain, in the same run.
    """
    source, target = context.work / "some", context.work / "scaled"
    source.mkdir()
    for path in sorted(context.photos().iterdir())[:24]:
        os.link(path, source / path.name)
    callers = rivals.Callers(weights(), [rivals.preprocess(image) for image in context.images()[:24]])
    removers = {workers: qbg.Remover(MODEL, workers=workers) for workers in (1, 2)}

    def ours(workers: int) -> float:
        summary = removers[workers].remove_folder(source, target, overwrite=True)
        if summary.done != len(list(source.iterdir())):
            raise RuntimeError(f"{summary.done} photos done")
        return summary.seconds

    times = compare.interleave(
        {
            "qbg 1": lambda: ours(1),
            "bare 1": lambda: callers.seconds(1),
            "qbg 2": lambda: ours(2),
            "bare 2": lambda: callers.seconds(2),
        },
        context.rounds,
    )
    gain = [one / two for one, two in zip(times["qbg 1"], times["qbg 2"], strict=True)]
    bare = [one / two for one, two in zip(times["bare 1"], times["bare 2"], strict=True)]
    share = measure.ratio(gain, bare)
    rows = [
        ("2 workers over 1", f"{statistics.median(gain):.2f} x", ""),
        ("that gain over the bare session's", interval(share), ">= 0.98 x"),
    ]
    return Part(rows, {name: measure.summary(v) for name, v in times.items()}, {"gain over bare gain": share})


def part_memory(context: Context) -> Part:
    """Peak memory of a long batch against a short one.

    Issued: the same photos, 320x240, linked under many names in folders of 500. Read: the process's peak
    resident memory as its summary says it, null engine, two workers. Nothing is timed. Headline: the ratio.
    """
    small = context.work / "small"
    small.mkdir()
    for number, image in enumerate(context.images()[:20]):
        image.resize((320, 240)).save(small / f"{number}.jpg", quality=85)
    originals = sorted(small.iterdir())
    few, many = (20, 200) if context.quick else (200, 10_000)

    def peak(count: int) -> int:
        folder, target = context.work / f"links{count}", context.work / "memory_out"
        for number in range(count):
            place = folder / f"{number // 500:03}"
            place.mkdir(parents=True, exist_ok=True)
            os.link(originals[number % len(originals)], place / f"{number:06}.jpg")
        summary = compare.run_qbg(
            folder, target, "--model", MODEL, "--workers", "2", "--engine", "null", cpus=context.cpus
        )
        if summary["done"] != count:
            raise RuntimeError(f"{summary['done']} of {count} done")
        shutil.rmtree(folder)
        shutil.rmtree(target)
        return summary["peak_rss_bytes"]

    turns = 1 if context.quick else 3
    peaks = {count: [] for count in (few, many)}
    for _ in range(turns):
        for count in peaks:
            peaks[count].append(peak(count))
    grown = statistics.median(peaks[many]) / statistics.median(peaks[few])
    rows = [(f"peak memory, {many} photos over {few}", f"{grown:.3f} x", "within 5 %")]
    return Part(rows, {}, {}, {"peak_rss_bytes": {str(count): values for count, values in peaks.items()}})


PARTS: dict[str, Callable[[Context], Part]] = {
    "folder": part_folder,
    "big": part_big,
    "preprocess": part_preprocess,
    "png": part_png,
    "scaling": part_scaling,
    "memory": part_memory,
}


def find_photos(given: Path | None) -> list[Path]:
    """The folder given, the one beside the project, or the samples."""
    for folder in (
        given,
        measure.ROOT.parent / "shared/data/photos",
        measure.ROOT / "python/qbg/bench/samples",
    ):
        if folder is not None and folder.is_dir():
            return sorted(folder.glob("*.jpg"))[:64]
    sys.exit("no photos: give --photos FOLDER")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, from: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="check that everything runs; writes no record")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each comparison")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs to make inputs from")
    parser.add_argument("--rembg-python", type=Path, help="interpreter of an environment that has rembg")
    parser.add_argument("--cpus", help="CPUs to use, as in 0,1; the first two cores allowed if not given")
    parser.add_argument(
        "--output", type=Path, help="the record, instead of benches/record/<cpu>/<date>-spine.json"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    return chosen


def main() -> int:
    asked = arguments()
    cpus = [int(cpu) for cpu in asked.cpus.split(",")] if asked.cpus else measure.default_cpus(2)
    header = measure.machine(cpus)
    os.sched_setaffinity(0, cpus)
    rounds = 1 if asked.quick else asked.rounds
    doubts = measure.doubts(header, rounds, _native.BUILD_PROFILE)
    if len(cpus) < 2:
        doubts.append("there is one CPU only: two workers can't be compared with one")
    record: dict[str, Any] = {
        "kind": "spine",
        "machine": header,
        "rounds": rounds,
        "doubts": doubts,
        "parts": {},
    }
    print(f"{header['cpu']}, CPUs {cpus}, {', '.join(header['flags'])}")
    with tempfile.TemporaryDirectory(prefix="qbg-bench-") as work:
        context = Context(
            rounds,
            4 if asked.quick else 64,
            Path(work),
            cpus,
            find_photos(asked.photos),
            None if asked.rembg_python is None else compare.find_rembg(asked.rembg_python),
            asked.quick,
        )
        for name in asked.only.split(","):
            print(f"\n{name}")
            part = PARTS[name](context)
            record["parts"][name] = {
                "doc": PARTS[name].__doc__, "headline": part.headline, "times": part.times,
                "ratios": part.ratios, "facts": part.facts,
            }  # fmt: skip
            for what, value, goal in part.headline:
                shown = value if not doubts else f"INVALID {value}"
                print(f"  {what:<60}{shown}{f'   (goal {goal})' if goal else ''}", flush=True)
            record["load_1min_at_end"] = os.getloadavg()[0]
            save(record, asked)
    for doubt in doubts:
        print(f"\ninvalid: {doubt}")
    return 0


def save(record: dict[str, Any], asked: argparse.Namespace) -> None:
    """Writes the record after each part, so that a stopped run leaves what it had."""
    if asked.quick and asked.output is None:
        return
    slug = re.sub(r"[^a-z0-9]+", "-", record["machine"]["cpu"].lower()).strip("-")
    if record["machine"]["flags"]:  # virtual machines hide the model; the best vector unit tells more
        slug += "-" + next((f for f in ("avx512f", "avx2") if f in record["machine"]["flags"]), "plain")
    date = record["machine"]["date_utc"][:10]
    path = asked.output or measure.ROOT / "benches/record" / slug / f"{date}-spine.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
