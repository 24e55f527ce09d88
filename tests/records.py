"""A bench's record in which all is well, and ways to change one thing of it. Must not run anything."""

from __future__ import annotations

import dataclasses
from typing import Any

from qbg.report.record import (
    Case,
    Gate,
    GateSample,
    Machine,
    Memory,
    Outcome,
    Quiet,
    Record,
    Software,
    Subject,
)

MACHINE = Machine(
    cpu="a CPU",
    flags=(),
    simd="avx2",
    cpus_online=4,
    cpus_allowed=4,
    quota_cpus=None,
    smt=False,
    numa_nodes=1,
    memory_bytes=8 << 30,
    governor="performance",
    virtual=False,
    system="Linux",
)
SUBJECT = Subject(
    model="u2netp",
    model_digest="0",
    model_bytes=1,
    engine="onnx",
    precision="fp32",
    input_height_px=320,
    input_width_px=320,
    images="a folder",
    distinct=100,
    images_bytes=1,
    mean_pixels=1e6,
    images_digest="0",
    output="cut-out png",
)
QUIET = Quiet(load_1min=0.1, others_cpu=0.01, steal_cpu=0.0, throttled_s=0.0)
MEMORY = Memory(peak_rss_bytes=None, pss_bytes=None, before_bytes=None, loaded_bytes=None, slots_bytes=None)
SAMPLE = GateSample(image="a.jpg", mean_levels=0.0, off_share=0.0, worst_level=0, iou=1.0)
GATE = Gate(case="scaling-2", reference="fp32", rule="r", samples=(SAMPLE,) * 32, passed=True, reason=None)
CLOSED = Case(name="scaling-2", kind="scaling", workers=2, seconds=10.0)
OPEN = Case(name="open", kind="open-loop", workers=2, seconds=10.0, rate_per_s=14.0)


def outcome(case: Case, repeat: int, **changes: Any) -> Outcome:
    """Two workers that take 0.1 s for each picture, for 10 s."""
    rate = case.rate_per_s or 10.0 * case.workers
    images = round(rate * 10)
    plain = Outcome(
        case=case.name,
        repeat=repeat,
        began_s=12.0 * repeat,
        warm_up_s=0.4,
        warm_up_images=2 * case.workers,
        window_s=10.0,
        images=images,
        failed=0,
        images_per_s=rate,
        concurrency=rate * 0.1,
        wall_s=10.5,
        wall_images=images + 6,
        service_s=(0.1,) * images,
        response_s=(0.12,) * images if case.rate_per_s else (),
        stage_s={},
        steals={},
        idle_share=1 - rate * 0.1 / case.workers,
        cpu_s=20.0,
        switches_voluntary=0,
        switches_involuntary=0,
        unpinned=0,
        energy_j=None,
        memory=MEMORY,
        quiet=QUIET,
    )
    return dataclasses.replace(plain, **changes)


def record(**changes: Any) -> Record:
    """All is well with it."""
    plain = Record(
        command="qbg bench",
        created="2026-01-01T00:00:00Z",
        title="qbg bench",
        machine=MACHINE,
        software=Software(versions={}, build_profile="release", git="abc"),
        subject=SUBJECT,
        cases=(CLOSED, OPEN),
        outcomes=tuple(outcome(case, repeat) for repeat in range(3) for case in (CLOSED, OPEN)),
        gate=GATE,
        finished=True,
    )
    return dataclasses.replace(plain, **changes)
