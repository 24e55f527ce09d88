"""From a record to a report's document: header, verdict, sections. Pure; must not draw or run anything."""

from __future__ import annotations

from qbg.bench import plan, platforms, validity
from qbg.bench.sections import checks, cost, latency, memory, throughput
from qbg.bench.sections.words import facts, figure, interval, percent, size
from qbg.bench.statistics import median
from qbg.report.document import Document, Section
from qbg.report.record import Machine, Outcome, Record


def build(record: Record) -> Document:
    """The whole report of a record, finished or not."""
    verdict = validity.judge(record)
    sections = [
        header(record),
        throughput.section(record, verdict),
        latency.stages(record, verdict),
        latency.section(record, verdict),
        memory.section(record),
        cost.section(record, verdict),
        checks.gate(record),
        checks.ablations(record, verdict),
        checks.kernels(record),
        checks.rivals(record),
    ]
    return Document(
        title=f"{record.title}: {record.subject.model} on {record.machine.cpu}",
        verdict=words(record, valid=verdict.valid),
        valid=verdict.valid,
        reasons=tuple(str(finding) for finding in verdict.reasons),
        sections=tuple(section for section in sections if section is not None),
    )


def words(record: Record, *, valid: bool) -> str:
    """The verdict in a paragraph of plain words. An invalid run gets no figure."""
    shown = throughput.widest(record)
    if not valid:
        return (
            "These figures can't be defended, for the reasons given; nothing should be concluded from them."
        )
    if shown is None:
        return "No network was run: the tables show what was measured of pool and pipeline."
    rate = median(throughput.rates(record, shown))
    each = rate.value / shown.workers
    subject = record.subject
    cores = f"{shown.workers} worker{'' if shown.workers == 1 else 's'}"
    parts = [
        f"With {cores} this machine cuts out {interval(rate)} pictures per second of {subject.images} with "
        f"{subject.model} ({subject.engine}, {subject.precision}), that is {figure(each)} per worker."
    ]
    share = throughput.efficiency(record, shown)
    if share is not None and shown.workers > 1:
        parts.append(f"Each worker gives {percent(share.value)} of what one alone gives.")
    here = cost.this_machine(record)
    if here is not None and here.dollars_per_million is not None:
        parts.append(f"A million pictures cost ${figure(here.dollars_per_million.value)} here.")
    parts.append(unlike(record, shown.workers, each))
    return " ".join(parts)


def unlike(record: Record, workers: int, each: float) -> str:
    """The ratio to the published figure, with what is not alike."""
    theirs = platforms.IMAGES_PER_S / platforms.CORES
    differences = [
        f"theirs is per vCPU with all {platforms.CORES} busy, ours per worker with {workers} on the "
        f"{record.machine.cpus_online} CPUs here"
    ]
    if "inspyrenet" not in record.subject.model.lower():
        differences.append(f"their network is InSPyReNet-Fast, ours {record.subject.model}")
    differences.append(f"their CPU is AMD Turin, ours {record.machine.cpu}")
    return (
        f"The published result is {theirs:.2f} per vCPU, so the ratio is {figure(each / theirs)} x; "
        f"not alike: {'; '.join(differences)}."
    )


def header(record: Record) -> Section:
    """What ran where: everything that a reader needs to judge the figures."""
    machine, software, subject = record.machine, record.software, record.subject
    versions = ", ".join(f"{name} {value}" for name, value in software.versions.items())
    virtual = ", virtual" if machine.virtual else ""
    return Section(
        title="What was measured",
        text=(
            f"{machine.cpu}{virtual}, {machine.simd}, {_cpus(machine)}, "
            f"{size(machine.memory_bytes or None)}, "
            f"{machine.system}; {subject.model} at {subject.input_height_px}x{subject.input_width_px}, "
            f"{subject.engine}, {subject.precision}; {subject.distinct:,} different pictures of "
            f"{subject.images}, {subject.output}; {versions}, revision {software.git or 'not known'}.",
        ),
        tables=(
            facts("Machine", _machine(record)),
            facts("Subject", _subject(record)),
            facts(
                "Run",
                [
                    ("command", record.command),
                    ("date", record.created),
                    ("took", f"{record.seconds:.0f} s{'' if record.finished else ', not finished'}"),
                    ("versions", versions),
                    ("build", software.build_profile),
                    ("revision", software.git or "not from a checkout"),
                ],
            ),
        ),
    )


def _cpus(machine: Machine) -> str:
    quota = f", quota {machine.quota_cpus:g}" if machine.quota_cpus is not None else ""
    return f"{machine.cpus_allowed} of {machine.cpus_online} CPUs{quota}"


def _network_runs(record: Record) -> list[Outcome]:
    names = {case.name for case in record.cases if case.kind in (plan.SCALING, plan.MASSIVE)}
    return [outcome for outcome in record.outcomes if outcome.case in names]


def _machine(record: Record) -> list[tuple[str, str]]:
    machine = record.machine
    quiet = [outcome.quiet for outcome in _network_runs(record)]
    load = max((item.load_1min for item in quiet), default=0.0)
    others = max((item.others_cpu or 0.0 for item in quiet), default=0.0)
    steal = max((item.steal_cpu or 0.0 for item in quiet), default=0.0)
    return [
        ("CPU", f"{machine.cpu}{', virtual' if machine.virtual else ''}"),
        ("features", " ".join(machine.flags)),
        ("SIMD level of the kernels", machine.simd),
        ("CPUs", f"{_cpus(machine)} allowed"),
        ("threads per core", "two share a core" if machine.smt else "one, as far as is told"),
        ("NUMA nodes", str(machine.numa_nodes)),
        ("memory", size(machine.memory_bytes or None)),
        ("frequency governor", machine.governor or "not shown"),
        ("system", machine.system),
        ("highest load before a run", f"{load:.2f}"),
        ("others meanwhile", f"{others:.2f} CPUs, {steal:.2f} taken by the hypervisor"),
        ("throttled", f"{sum(item.throttled_s or 0.0 for item in quiet):.1f} s"),
    ]


def _subject(record: Record) -> list[tuple[str, str]]:
    subject = record.subject
    warm = max(_network_runs(record), key=lambda outcome: outcome.warm_up_s, default=None)
    left_out = "none" if warm is None else f"up to {warm.warm_up_images} pictures, {figure(warm.warm_up_s)} s"
    return [
        ("model", f"{subject.model}, {size(subject.model_bytes)}, SHA-256 {subject.model_digest[:16]}"),
        ("input", f"{subject.input_height_px}x{subject.input_width_px}"),
        ("engine, precision", f"{subject.engine}, {subject.precision}"),
        (
            "pictures",
            f"{subject.images}: {subject.distinct:,} different, {size(subject.images_bytes)}, "
            f"{figure(subject.mean_pixels / 1e6)} megapixels on average, digest {subject.images_digest[:16]}",
        ),
        ("output", subject.output),
        ("warm-up, left out", left_out),
    ]
