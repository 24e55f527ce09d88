"""What a benchmark measured, as frozen records that go to a JSON file and come back whole.

Every export, table and chart derives from these. They hold measurements and what is needed to judge them;
everything derived (efficiency, cost, projections) is computed from them when a report is made.
Must not know how anything is measured or drawn. Times are seconds, sizes bytes; names say so.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

FORMAT = 1
"""Raised when a reader of older records would misread newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it ran.

    Attributes:
        cpu: the CPU's own name, or the architecture's.
        flags: those of the CPU's features that matter here.
        simd: SIMD level that qbg's kernels ran at: scalar, avx2, avx512.
        cpus_online, cpus_allowed: numbers of CPUs; allowed by affinity mask.
        quota_cpus: CPUs that a cgroup's quota grants; None without one.
        smt: whether two threads share a core, as far as the system tells.
        numa_nodes: with CPUs that are allowed.
        memory_bytes: of the machine, or the cgroup's limit where that is lower.
        governor: of CPU 0's frequency; None where it isn't shown.
        virtual: whether a hypervisor is reported.
        system: kernel name and release.
    """

    cpu: str
    flags: tuple[str, ...]
    simd: str
    cpus_online: int
    cpus_allowed: int
    quota_cpus: float | None
    smt: bool
    numa_nodes: int
    memory_bytes: int
    governor: str | None
    virtual: bool
    system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What ran.

    Attributes:
        versions: by name: qbg, python, onnxruntime, numpy, pillow.
        build_profile: of the native module, `release` or `debug`.
        git: revision of the working tree, `+` behind it if that had changes; None outside a checkout.
    """

    versions: dict[str, str]
    build_profile: str
    git: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was worked on.

    Attributes:
        model, model_digest: name, and SHA-256 of the file.
        model_bytes: its size.
        engine, precision: what ran the network.
        input_height_px, input_width_px: of the network's input.
        images: where they came from, in words: a folder's name, or `bundled pictures`.
        distinct: different pictures.
        images_bytes: of all distinct files.
        mean_pixels: of a picture.
        images_digest: SHA-256 over names and sizes.
        output: `cut-out png`, `mask png`, ...
    """

    model: str
    model_digest: str
    model_bytes: int
    engine: str
    precision: str
    input_height_px: int
    input_width_px: int
    images: str
    distinct: int
    images_bytes: int
    mean_pixels: float
    images_digest: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is run, possibly several times.

    Attributes:
        name: unique in its record, such as `scaling-2` or `ablation-pin`.
        kind: `scaling`, `null`, `massive`, `open-loop`, `ablation`, `simulated`.
        workers: pictures worked on at once.
        seconds: how long it is measured after warm-up; None where `count` decides.
        count: pictures; None where `seconds` decides.
        rate_per_s: arrivals of an open loop; None in a closed one.
        service_s: what a simulated inference takes; None for a real one.
        off: enablers that are switched off: `stealing`, `lock_free`, `ring`, `reuse`, `mmap`, `pin`,
            `numa`, `simd`, `shared_weights`.
        engine: where it differs from the subject's, such as `null`.
    """

    name: str
    kind: str
    workers: int
    seconds: float | None = None
    count: int | None = None
    rate_per_s: float | None = None
    service_s: float | None = None
    off: tuple[str, ...] = ()
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A process's memory, in bytes; None where the system doesn't tell.

    Attributes:
        peak_rss_bytes: high-water mark of resident memory.
        pss_bytes: proportional share at the end of the measured part, workers still alive.
        before_bytes: resident after the imports, before the model was loaded.
        loaded_bytes: resident after the model was loaded, before workers were made.
        slots_bytes: tensors of all workers, by accounting.
        node_pages_bytes: resident bytes by NUMA node; empty where the system doesn't tell.
    """

    peak_rss_bytes: int | None
    pss_bytes: int | None
    before_bytes: int | None
    loaded_bytes: int | None
    slots_bytes: int | None
    node_pages_bytes: dict[str, int] = field(default_factory=dict)
    timeline: tuple[tuple[float, int], ...] = ()
    """(seconds since the batch began, resident bytes), a few per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """What else went on while a case ran.

    Attributes:
        load_1min: runnable threads of all processes, averaged over the minute before the start.
        others_cpu: CPUs' worth of time used by other processes meanwhile.
        steal_cpu: CPUs' worth of time that the hypervisor gave to others.
        throttled_s: that a cgroup's quota stopped the process.
        frequency_low_hz, frequency_high_hz: of the CPUs during the run; None where not shown.
    """

    load_1min: float
    others_cpu: float | None
    steal_cpu: float | None
    throttled_s: float | None
    frequency_low_hz: float | None = None
    frequency_high_hz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run of one case. Rates and times are of the measured window, which begins when each worker has
    ended its warm-up pictures and ends when no new picture is begun.

    Attributes:
        case: its name.
        repeat: 0, 1, ..
        began_s: seconds since the bench began.
        warm_up_s, warm_up_images: what was left out at the front.
        window_s: length of the measured window.
        images: pictures that ended in the window.
        failed: pictures that failed, at any time.
        images_per_s: work done in the window over its length; a picture that reaches over an edge counts with
            its share inside.
        concurrency: mean number of pictures in work during the window, from the samples.
        wall_s, wall_images: of the whole run, warm-up and tail too.
        service_s: raw, in order of ending: picked up to written, of each picture that ended in the window;
            of runs without a network a few thousand of them, evenly.
        response_s: raw, open loop only: intended arrival to written.
        stage_s: by stage: mean seconds of the window's pictures.
        steals: `own`, `injector`, `local`, `remote`, of the whole run.
        idle_share: of the workers' time, of the whole run: waiting for work, feed or ring.
        cpu_s: processor time of the process during the whole run.
        switches_voluntary, switches_involuntary: context switches of the whole run.
        unpinned: workers that the system wouldn't pin.
        energy_j: of the CPU package over the window; None where it can't be read.
        memory, quiet: see there.
        asked_share: simulated only: of the workers' time in the window, the share that was waiting as asked.
    """

    case: str
    repeat: int
    began_s: float
    warm_up_s: float
    warm_up_images: int
    window_s: float
    images: int
    failed: int
    images_per_s: float
    concurrency: float
    wall_s: float
    wall_images: int
    service_s: tuple[float, ...]
    response_s: tuple[float, ...]
    stage_s: dict[str, float]
    steals: dict[str, int]
    idle_share: float
    cpu_s: float
    switches_voluntary: int
    switches_involuntary: int
    unpinned: int
    energy_j: float | None
    memory: Memory
    quiet: Quiet
    asked_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSample:
    """One output mask against the reference path.

    Attributes:
        image: the input's name.
        mean_levels: mean absolute difference, in levels of 255.
        off_share: pixels that are off by more than one level.
        worst_level: the largest difference, in levels.
        iou: of the masks cut at half; 1 when both are empty.
    """

    image: str
    mean_levels: float
    off_share: float
    worst_level: int
    iou: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One of the gate's pictures, small, as PNG or JPEG files in base64.

    Attributes:
        image: the input's name.
        photo, mask, cutout: `data:` URLs.
    """

    image: str
    photo: str
    mask: str
    cutout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Output masks of a case's run, checked after it against the reference path: fp32, Pillow, NumPy.

    Attributes:
        case: whose outputs were looked at.
        reference: in words: model, engine, precision of the reference.
        rule: in words: what must hold.
        samples: one per picture that was checked.
        passed: whether the rule holds.
        reason: why not; None when it holds.
        quality: the figures of `qbg evaluate`, with the reference's masks as truth; empty without its extra.
        pictures: a few, for the eye.
    """

    case: str
    reference: str
    rule: str
    samples: tuple[GateSample, ...]
    passed: bool
    reason: str | None
    quality: dict[str, float] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One kernel at one SIMD level, one core.

    Attributes:
        name: such as `preprocess 640x480`.
        level: scalar, avx2, avx512.
        seconds: raw times of the repeats.
        bytes_moved: that each call reads and writes at least.
    """

    name: str
    level: str
    seconds: tuple[float, ...]
    bytes_moved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another program on the same pictures, in turns with qbg.

    Attributes:
        name, version: of the rival.
        pictures: in the folder.
        qbg_s, rival_s: wall-clock seconds of each turn, start-up included.
        alpha_off_levels: mean absolute difference of the two cut-outs' alpha, by picture, in levels of 255.
    """

    name: str
    version: str
    pictures: int
    qbg_s: tuple[float, ...]
    rival_s: tuple[float, ...]
    alpha_off_levels: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything of one `qbg bench`.

    Attributes:
        command: the command line.
        created: UTC, ISO 8601.
        title: `qbg bench`, `massive_test`, ...
        machine, software, subject: see there.
        cases: the plan, in order.
        outcomes: in the order in which they ended.
        gate: None where nothing was checked, as with the null engine.
        bandwidth_bytes_per_s: triad by number of threads: raw repeats.
        price_per_hour: dollars for this machine; None when nobody said.
        price_source: `--price-per-hour`, or a row of the price list.
        watts: `--watts`; None when nobody said.
        finished: False in a partial record.
        seconds: how long the whole bench took.
    """

    command: str
    created: str
    title: str
    machine: Machine
    software: Software
    subject: Subject
    cases: tuple[Case, ...]
    outcomes: tuple[Outcome, ...] = ()
    gate: Gate | None = None
    kernels: tuple[Kernel, ...] = ()
    rivals: tuple[Rival, ...] = ()
    bandwidth_bytes_per_s: dict[str, tuple[float, ...]] = field(default_factory=dict)
    price_per_hour: float | None = None
    price_source: str | None = None
    watts: float | None = None
    finished: bool = False
    seconds: float = 0.0
    format: int = FORMAT

    def of(self, name: str) -> tuple[Outcome, ...]:
        """The outcomes of the case of that name, by repeat."""
        return tuple(outcome for outcome in self.outcomes if outcome.case == name)

    def of_kind(self, kind: str) -> tuple[Case, ...]:
        """The cases of that kind, in order."""
        return tuple(case for case in self.cases if case.kind == kind)


def save(record: Record, path: str | os.PathLike[str]) -> None:
    """Writes it whole or not at all; to a pipe or device as it comes, since neither may be replaced."""
    target = Path(path)
    if target.exists() and not target.is_file():
        target.write_text(dumps(record), encoding="utf-8")
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.write_text(dumps(record), encoding="utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def dumps(record: Record) -> str:
    """JSON, times rounded to 0.1 microseconds."""
    return json.dumps(_plain(dataclasses.asdict(record)), ensure_ascii=False, indent=1) + "\n"


def as_saved(record: Record) -> Record:
    """The record as it comes back from its file, times rounded: what every report is made from."""
    return _build(Record, json.loads(dumps(record)))


def load(path: str | os.PathLike[str]) -> Record:
    """Reads a record back.

    Raises:
        ValueError: it is no record, or of a newer format; says what is wrong.
        OSError: it can't be read.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is no record of `qbg bench`: {error}") from error
    if not isinstance(data, dict) or "format" not in data or "outcomes" not in data:
        raise ValueError(f"{os.fspath(path)} is no record of `qbg bench`")
    if data["format"] != FORMAT:
        raise ValueError(
            f"{os.fspath(path)} is a record of format {data['format']}, this version reads {FORMAT}"
        )
    try:
        return _build(Record, data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{os.fspath(path)} is a damaged record: {error}") from error


def outcome(data: dict[str, Any]) -> Outcome:
    """An outcome from plain values, as `dataclasses.asdict` gives them."""
    return _build(Outcome, data)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 7)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


T = TypeVar("T")


def _build(kind: type[T], data: dict[str, Any]) -> T:
    """A dataclass from its dict; fields that this version doesn't know are left out."""
    hints = typing.get_type_hints(kind)
    values = {
        item.name: _value(hints[item.name], data[item.name])
        for item in dataclasses.fields(kind)  # type: ignore[arg-type]
        if item.name in data
    }
    return kind(**values)


def _value(hint: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _value(next(item for item in arguments if item is not type(None)), data)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return tuple(_value(arguments[0], item) for item in data)
        return tuple(_value(item, part) for item, part in zip(arguments, data, strict=True))
    if origin is dict:
        return {key: _value(arguments[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), data)
    if hint is float and isinstance(data, int):
        return float(data)
    return data
