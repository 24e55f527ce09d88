"""What holds the figures up: the masks against the reference, each enabler switched off, kernels, a rival."""

from __future__ import annotations

from qbg.bench import plan
from qbg.bench.sections.words import INVALID, figure, held, interval, percent, seconds
from qbg.bench.statistics import Interval, median, paired_ratio
from qbg.bench.validity import Verdict
from qbg.evaluate.figures import COLUMNS, NOTES
from qbg.report.document import MEASURED, Row, Section, Strip, Table
from qbg.report.record import Case, Kernel, Record

ENABLERS = {
    "stealing": ("work stealing", "each worker has a fixed share"),
    "lock_free": ("lock-free queues", "one locked queue"),
    "reuse": ("no allocation per picture", "scratch memory is made anew for each picture"),
    "pin": ("pinned workers", "the system places them"),
    "numa": ("node-local weights", "one session for all nodes"),
    "simd": ("SIMD kernels", "scalar kernels"),
    "mmap": ("mapped files", "files are read, as those below 2 MiB always are"),
    "shared_weights": ("shared weights", "a session per worker"),
    "ring": ("bounded ring of records", "a locked list"),
}
"""By switch: the enabler, and what runs in its place."""


def gate(record: Record) -> Section | None:
    """The masks; None where none were checked."""
    found = record.gate
    if found is None:
        return None
    samples = sorted(found.samples, key=lambda sample: sample.iou)
    rows = [
        ("masks checked", f"{len(samples)}"),
        ("reference", found.reference),
        ("rule", found.rule),
        ("verdict", "passed" if found.passed else f"FAILED: {found.reason}"),
    ]
    tables = [
        Table(
            title=f"Masks of {found.case} against the reference path, after the timed part",
            columns=("what", "value"),
            numeric=(False, False),
            rows=tuple(Row(cells=row, strong=row[0] == "verdict") for row in rows),
        )
    ]
    if samples:
        count = len(samples)
        worst = max(sample.worst_level for sample in samples)
        cells = (
            f"{sum(sample.iou for sample in samples) / count:.5f}",
            f"{samples[0].iou:.5f} ({samples[0].image})",
            f"{sum(sample.mean_levels for sample in samples) / count:.4f}",
            percent(max(sample.off_share for sample in samples), 3),
            str(worst),
        )
        tables.append(
            Table(
                title="",
                columns=(
                    "mean IoU",
                    "lowest IoU",
                    "mean difference [levels]",
                    "most pixels off by > 1 level",
                    "largest difference [levels]",
                ),
                numeric=(True,) * 5,
                rows=(Row(cells=cells, label=MEASURED),),
            )
        )
    if found.quality:
        columns = [column for column in COLUMNS if column[1] in found.quality]
        values = (f"{found.quality[name]:.{digits}f}" for _heading, name, digits in columns)
        tables.append(
            Table(
                title="The same masks by the figures of `qbg evaluate`, the reference's as truth",
                columns=tuple(heading for heading, _name, _digits in columns),
                numeric=(True,) * len(columns),
                rows=(Row(cells=tuple(values), label=MEASURED),),
                notes=NOTES,
            )
        )
    strips = tuple(
        Strip(
            title=picture.image,
            images=(
                (picture.photo, f"photo {picture.image}"),
                (picture.mask, f"mask of {picture.image}"),
                (picture.cutout, f"cut-out of {picture.image}"),
            ),
        )
        for picture in found.pictures
    )
    return Section(title="Quality gate", tables=tuple(tables), strips=strips)


def ablations(record: Record, verdict: Verdict) -> Section | None:
    """Each enabler's worth on this machine."""
    cases = [case for case in record.of_kind(plan.ABLATION) if record.of(case.name)]
    tables = []
    for engine, title in ((None, "With the network"), ("null", "Without a network: pipeline and pool alone")):
        table = _ablation_table(record, verdict, [case for case in cases if case.engine == engine], title)
        if table is not None:
            tables.append(table)
    if not tables:
        return None
    return Section(
        title="Enablers, switched off one at a time",
        text=(
            "Runs with and without took turns; above 1.00 x the enabler pays, within the interval of 1 it "
            "can't be told.",
        ),
        tables=tuple(tables),
    )


def _ablation_table(record: Record, verdict: Verdict, cases: list[Case], title: str) -> Table | None:
    whole = next((case for case in cases if not case.off), None)
    if whole is None:
        return None
    with_it = [outcome.images_per_s for outcome in record.of(whole.name)]
    rows = []
    for case in cases:
        without = [outcome.images_per_s for outcome in record.of(case.name)]
        pairs = min(len(with_it), len(without))
        if not case.off or not pairs:
            continue
        name, instead = ENABLERS[case.off[0]]
        ratio = paired_ratio(with_it[:pairs], without[:pairs])
        figures = [interval(median(with_it)), interval(median(without)), f"{interval(ratio)} x"]
        if not verdict.holds(whole.name):
            figures = [INVALID] * 3
        cells = (name, instead, *held(verdict, case.name, figures))
        rows.append(Row(cells=cells, label=MEASURED))
    absent = sorted(set(ENABLERS) - {off for case in cases for off in case.off})
    notes = (f"Not applicable here: {', '.join(ENABLERS[name][0] for name in absent)}.",) if absent else ()
    return Table(
        title=f"{title}, {whole.workers} workers",
        columns=("enabler", "instead", "images/s with", "without", "ratio"),
        numeric=(False, False, True, True, True),
        rows=tuple(rows),
        notes=notes,
    )


def kernels(record: Record) -> Section | None:
    """Kernels by themselves, one core."""
    if not record.kernels:
        return None
    best = max((median(rates).value for rates in record.bandwidth_bytes_per_s.values()), default=0.0)
    rows = []
    for found in record.kernels:
        time_s = median(found.seconds)
        rate = found.bytes_moved / time_s.value
        against = _slowest(record, found)
        cells = (
            found.name,
            found.level,
            seconds(time_s.value),
            f"{interval(against)} x" if against is not None else "1 x",
            f"{figure(rate / 1e9)} GB/s" + (f", {percent(rate / best, 0)} of the triad" if best else ""),
        )
        rows.append(Row(cells=cells, label=MEASURED))
    return Section(
        title="Kernels",
        text=("One core, warm; levels took turns and gave equal results.",),
        tables=(
            Table(
                title="",
                columns=("kernel", "level", "time", "against the first level", "bytes moved"),
                numeric=(False, False, True, True, True),
                rows=tuple(rows),
            ),
        ),
    )


def _slowest(record: Record, found: Kernel) -> Interval | None:
    """How much faster than the same kernel at the level that comes first; None for that one."""
    first = next(kernel for kernel in record.kernels if kernel.name == found.name)
    if first is found:
        return None
    return paired_ratio(first.seconds, found.seconds)


def rivals(record: Record) -> Section | None:
    """Other programs on the same pictures."""
    if not record.rivals:
        return None
    rows = []
    for rival in record.rivals:
        ours, theirs = (
            median([rival.pictures / value for value in times]) for times in (rival.qbg_s, rival.rival_s)
        )
        ratio = paired_ratio(rival.rival_s, rival.qbg_s)
        name = f"{rival.name} {rival.version}"
        cells = (name, f"{rival.pictures}", interval(ours), interval(theirs), f"{interval(ratio)} x")
        rows.append(Row(cells=cells, label=MEASURED))
    return Section(
        title="Side by side",
        text=("Same pictures, same network, fresh processes in turns, start-up included.",),
        tables=(
            Table(
                title="",
                columns=("rival", "pictures", "qbg images/s", "rival images/s", "qbg is faster by"),
                numeric=(False, True, True, True, True),
                rows=tuple(rows),
            ),
        ),
    )
