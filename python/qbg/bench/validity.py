"""Whether a record may be believed, and what to do where it may not.

`judge` reads a record and nothing else. A `fatal` finding makes the figure it belongs to INVALID (and
the whole record, where it belongs to no case); a `doubt` is printed beside it. Each has advice: what to
change about the run. Must not know how anything is measured or printed. In the manner of MLPerf's
LoadGen (valid or not, too short a run declines) and of hyperfine (advice by what was seen). Thresholds
are constants below, each with its reason. Left out: whether the machine is the one that its name says.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from qbg.bench.statistics import median
from qbg.report.record import Case, Outcome, Record

FATAL, DOUBT = "fatal", "doubt"

LITTLE_SHARE = 0.05
"""Concurrency and rate times service time may differ by so much."""
LITTLE_MOST = 0.20
"""Beyond which no scatter of service times is an excuse."""
WINDOW_SERVICES = 10
"""Service times in a window: pictures at its two edges are then a tenth of each worker's pictures."""
WINDOW_S = 2.0
"""Least window: CPU accounts tick at 10 ms, so that less couldn't tell 0.5 % of a CPU; clocks settle in
ms."""
FEWEST_IMAGES = 20
"""The median needs as many; with a service time that varies by a third the rate is known to 7 % then."""
OTHERS_DOUBT, OTHERS_FATAL = 0.02, 0.10
"""Share of the machine that other processes used. With all CPUs at work that share is lost at least;
twice the 5 % within which figures are claimed to hold is too much."""
STEAL_DOUBT, STEAL_FATAL = 0.01, 0.05
"""Share of the machine's time that the hypervisor gave away. None of it can be used for anything else."""
THROTTLED_DOUBT, THROTTLED_FATAL = 0.01, 0.05
"""Share of the run that a quota stopped the process for."""
LOAD_SHARE, LOAD_SPARE = 0.1, 0.5
"""Runnable threads before the start: a tenth of the CPUs, and half a thread that every machine at rest
has."""
FREQUENCY_SHARE = 0.8
"""Lowest over highest frequency seen."""
SPREAD_SHARE = 0.10
"""Width of the interval over the median."""
FAILED_FATAL = 0.01
"""Share of pictures that failed: these take another time than those that didn't, mostly far less."""
GATE_SAMPLES = 32
LONG_S = 60.0
"""A window so long needs no repeat to be shown without a doubt."""
RATE_SHARE = 0.05
GROWTH = 1.5
FULL = 0.95
"""An open loop is overloaded when workers are busier than that, or response times grow by `GROWTH`."""

WITHOUT_NETWORK = ("null", "simulated")
"""Kinds of cases, and engines, whose masks mean nothing."""
REPORT = "a fault worth reporting"
CLOCK_SHARE = 1e-3
"""By which sums of clock readings may lie outside of what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that speaks against a record or one of its cases.

    Attributes:
        severity: `fatal` or `doubt`.
        check: short name of what was checked, such as `little`.
        case: the case's name; None for the whole record.
        what: what was found, with its number.
        advice: what to do about it.
    """

    severity: str
    check: str
    case: str | None
    what: str
    advice: str

    def __str__(self) -> str:
        place = f"{self.case}: " if self.case else ""
        return f"{place}{self.what}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `judge` says.

    Attributes:
        valid: no fatal finding.
        reasons: fatal ones first, then by the order of checks.
    """

    valid: bool
    reasons: tuple[Finding, ...]

    def of(self, case: str) -> tuple[Finding, ...]:
        """Findings that bear on that case's figures: its own and those of the whole record."""
        return tuple(finding for finding in self.reasons if finding.case in (case, None))

    def holds(self, case: str) -> bool:
        """Whether the case's figures may be printed."""
        return all(finding.severity != FATAL for finding in self.of(case))


def judge(record: Record) -> Verdict:
    """All checks. The same finding of several repeats is told once, with the first one's number.

    A run without any outcome is INVALID, not vacuously valid.
    """
    found = [*_whole(record), *_gate(record)]
    for case in record.cases:
        outcomes = record.of(case.name)
        repeats: list[Finding] = []
        for outcome in outcomes:
            impossible = list(_numbers(case, outcome))
            repeats += impossible
            if impossible:
                continue  # every comparison with NaN is false, so that the checks below would pass it
            repeats += _time(case, outcome)
            repeats += _little(case, outcome)
            repeats += _quiet(record, case, outcome)
            repeats += _workers(record, case, outcome)
            repeats += _open_loop(case, outcome)
        found += _once(repeats, len(outcomes))
        found += _spread(case, outcomes)
    found.sort(key=lambda finding: finding.severity != FATAL)
    return Verdict(all(finding.severity != FATAL for finding in found), tuple(found))


def _once(findings: list[Finding], repeats: int) -> list[Finding]:
    """One of each check and severity, the first, with how many repeats had it; a doubt that is fatal in
    another repeat is left out."""
    kept: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kept.setdefault((finding.check, finding.severity), []).append(finding)
    told = []
    for (check, severity), same in kept.items():
        if severity == DOUBT and (check, FATAL) in kept:
            continue
        first = same[0]
        what = first.what if repeats == 1 else f"{first.what} (in {len(same)} of {repeats} repeats)"
        told.append(Finding(severity=severity, check=check, case=first.case, what=what, advice=first.advice))
    return told


def _whole(record: Record) -> Iterator[Finding]:
    """What belongs to the record as a whole."""
    if record.software.build_profile != "release":
        what = f"the native module is a {record.software.build_profile} build"
        yield _fatal("build", None, what, "build it with --release")
    if record.software.git is not None and record.software.git.endswith("+"):
        what = f"the working tree ({record.software.git}) had changes"
        yield _doubt("git", None, what, "commit, then measure what has a name")
    if not record.finished:
        yield _fatal("finished", None, "the bench did not end", "go on with --resume")
    planned = {case.name for case in record.cases}
    for name in sorted({outcome.case for outcome in record.outcomes} - planned):
        yield _fatal("plan", None, f"`{name}` ran but isn't in the plan", "measure anew")
    if record.finished and not (record.cases or record.rivals or record.kernels):
        yield _fatal("ran", None, "nothing was planned", "measure anew")
    if record.finished:
        for case in record.cases:
            if not record.of(case.name):
                yield _fatal("ran", case.name, "it never ran", "go on with --resume, or leave the case out")
    if record.outcomes:
        first = min(record.outcomes, key=lambda outcome: outcome.began_s)
        limit = LOAD_SPARE + LOAD_SHARE * record.machine.cpus_online
        if first.quiet.load_1min > limit:
            yield _doubt(
                "load",
                None,
                f"{first.quiet.load_1min:.1f} threads wanted to run in the minute before it "
                f"(at rest: below {limit:.1f})",
                "end other programs, wait a minute, and measure anew",
            )


def _gate(record: Record) -> Iterator[Finding]:
    """Masks against the reference path. A real network whose masks nobody looked at can't be called
    valid: the fastest kernel is one that does nothing."""
    real = [case for case in record.cases if not _without_network(record, case)]
    gate = record.gate
    if gate is None:
        if real:
            yield _fatal("gate", None, "no output mask was checked", "measure with the check of masks on")
        return
    if not gate.passed or not gate.samples:
        reason = gate.reason or ("no sample" if not gate.samples else "no reason given")
        yield _fatal(
            "gate",
            None,
            f"output masks of `{gate.case}` aren't those of the reference: {reason}",
            "run the tests of the kernels at this SIMD level (QBG_SIMD=scalar to compare) before measuring",
        )
    wanted = min(GATE_SAMPLES, record.subject.distinct)
    if gate.passed and 0 < len(gate.samples) < wanted:
        yield _doubt(
            "gate-samples",
            None,
            f"{len(gate.samples)} output masks were checked, {wanted} are asked for",
            "measure longer or keep more outputs",
        )


def _without_network(record: Record, case: Case) -> bool:
    engine = (case.engine or record.subject.engine).partition(":")[0]
    return case.kind in WITHOUT_NETWORK or engine in WITHOUT_NETWORK


def _numbers(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Numbers that can't be: not finite, negative, or a share above 1."""
    for name in ("window_s", "images_per_s", "concurrency", "wall_s", "idle_share"):
        value = getattr(outcome, name)
        most = 1 + CLOCK_SHARE if name == "idle_share" else math.inf
        if not (math.isfinite(value) and -CLOCK_SHARE <= value <= most):
            yield _fatal("numbers", case.name, f"`{name}` is {value}", REPORT)
    for name in ("service_s", "response_s"):
        times = getattr(outcome, name)
        if not all(math.isfinite(value) and value >= 0 for value in times):
            yield _fatal("numbers", case.name, f"a time in `{name}` is negative or not finite", REPORT)


def _time(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Long enough, enough pictures, warm, and without failures."""
    name = case.name
    longer = "raise --seconds" if case.count is None else f"raise --count above {case.count:,}"
    if outcome.images < FEWEST_IMAGES:
        yield _fatal("samples", name, f"{outcome.images} pictures, {FEWEST_IMAGES} at least", longer)
    service = statistics.median(outcome.service_s) if outcome.service_s else 0.0
    if not outcome.service_s:
        yield _fatal("samples", name, "no picture's time was kept", longer)
    needs = max(WINDOW_S, WINDOW_SERVICES * service)
    if outcome.window_s < needs:
        yield _fatal(
            "time",
            name,
            f"measured for {outcome.window_s:.3g} s, {needs:.3g} s at least "
            f"({WINDOW_SERVICES} times the median of {service:.3g} s, and {WINDOW_S:g} s)",
            longer,
        )
    if outcome.warm_up_images < case.workers:
        yield _fatal(
            "warm-up",
            name,
            f"{outcome.warm_up_images} pictures of warm-up for {case.workers} workers",
            f"each worker's first pictures must be left out: {longer}",
        )
    done = max(outcome.wall_images, outcome.images, 1)
    if outcome.failed:
        tried = done + outcome.failed
        share = outcome.failed / tried
        finding = _fatal if share > FAILED_FATAL else _doubt
        what = f"{outcome.failed} of {tried:,} pictures failed ({share:.1%})"
        yield finding("failed", name, what, "take them out of the folder")


def _little(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Little's law: pictures in work = rate x service time, within 5 %.

    The law is an identity only if both sides are of the same bookkeeping, so it matters where they come
    from. Concurrency is the overlap of all samples' intervals with the window, divided by its length; it
    knows the clock readings of begin and end, not how many pictures there were. The rate counts
    pictures, with their shares at the edges, and the service times are those of the pictures that ended
    inside. A unit that is off (a published P50 of 1.65 ms at 0.60 images/s), pictures counted twice or
    lost, warm-up that leaked in, and a window that isn't the one divided by all break it.

    Chance may break it too: up to two pictures of each worker are cut by the window's edges, so that both
    sides differ by about cv sqrt(2 workers) / pictures, where cv is the service times' standard deviation
    over their mean. What three times that could explain is only a doubt, up to 20 %. In simulated pools with
    cv up to 0.6 at most 2 windows in 100 are called fatal by mistake then, and 12 in 100 would be without.

    A third witness knows no samples at all: the pool's own clock of its workers' idle time. Over the
    whole run workers x (1 - idle share) x wall time is the time in work, and what of it lies outside of
    the window can't exceed workers x time outside. Two inequalities follow, each allowed 5 % of the
    workers' time.
    """
    if case.rate_per_s is None and outcome.service_s:
        mean = statistics.fmean(outcome.service_s)
        product = outcome.images_per_s * mean
        off = abs(product - outcome.concurrency) / max(outcome.concurrency, 1e-9)
        if off > LITTLE_SHARE:
            scatter = statistics.pstdev(outcome.service_s) / mean if mean > 0 else 0.0
            edges = 3 * scatter * math.sqrt(2 * case.workers) / len(outcome.service_s)
            finding = _doubt if off <= min(edges, LITTLE_MOST) else _fatal
            yield finding(
                "little",
                case.name,
                f"{outcome.images_per_s:.4g} images/s x {mean:.4g} s = {product:.4g} pictures in work, "
                f"but {outcome.concurrency:.4g} were (Little's law is off by {off:.1%})",
                f"measure longer; if it stays, samples or the window are wrong: {REPORT}",
            )
    if outcome.concurrency > case.workers * (1 + CLOCK_SHARE):
        yield _fatal(
            "concurrency",
            case.name,
            f"{outcome.concurrency:.4g} pictures in work with {case.workers} workers",
            f"the samples are wrong: {REPORT}",
        )
    whole = case.workers * (1 - outcome.idle_share) * outcome.wall_s
    inside = outcome.concurrency * outcome.window_s
    outside = case.workers * max(0.0, outcome.wall_s - outcome.window_s)
    spare = LITTLE_SHARE * case.workers * outcome.wall_s
    if inside > whole + spare or whole - inside > outside + spare:
        yield _fatal(
            "idle",
            case.name,
            f"workers were idle for {outcome.idle_share:.1%} of the run by the pool's clock, which doesn't "
            f"fit {outcome.concurrency:.4g} pictures in work in the window",
            f"measure longer; if it stays, samples or the pool's clock are wrong: {REPORT}",
        )


def _quiet(record: Record, case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Whether the machine was left to the bench."""
    name, quiet, cpus = case.name, outcome.quiet, max(record.machine.cpus_online, 1)
    if quiet.others_cpu is not None:
        share = quiet.others_cpu / cpus
        if share > OTHERS_DOUBT:
            # With only some of the CPUs allowed the others may have had their own.
            certain = record.machine.cpus_allowed >= record.machine.cpus_online
            finding = _fatal if share > OTHERS_FATAL and certain else _doubt
            what = f"other processes used {quiet.others_cpu:.2g} of {cpus} CPUs ({share:.0%})"
            yield finding("others", name, what, "end them, or measure where nobody else works")
    if quiet.steal_cpu is not None and quiet.steal_cpu / cpus > STEAL_DOUBT:
        share = quiet.steal_cpu / cpus
        finding = _fatal if share > STEAL_FATAL else _doubt
        what = f"the hypervisor gave {share:.1%} of the machine to others"
        yield finding("steal", name, what, "take a machine with CPUs of its own, or another hour")
    if quiet.throttled_s is not None and outcome.wall_s > 0:
        share = quiet.throttled_s / outcome.wall_s
        if share > THROTTLED_DOUBT:
            finding = _fatal if share > THROTTLED_FATAL else _doubt
            what = f"a CPU quota stopped it for {quiet.throttled_s:.2g} s ({share:.0%} of the run)"
            yield finding("throttled", name, what, "raise the container's quota, or lower --workers to it")
    low, high = quiet.frequency_low_hz, quiet.frequency_high_hz
    if low and high and low < FREQUENCY_SHARE * high:
        governor = record.machine.governor or "unknown"
        yield _doubt(
            "frequency",
            name,
            f"CPUs ran at {low / 1e9:.2f} to {high / 1e9:.2f} GHz",
            f"set the frequency governor (now: {governor}) to performance, and see to cooling",
        )


def _workers(record: Record, case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Whether each worker had a CPU of its own. Simulated ones need none."""
    if case.kind == "simulated":
        return
    machine = record.machine
    if outcome.unpinned and "pin" not in case.off:
        what = f"{outcome.unpinned} of {case.workers} workers weren't pinned"
        yield _doubt("pinned", case.name, what, "allow the process to set its affinity")
    if case.workers > machine.cpus_allowed:
        what = f"{case.workers} workers on {machine.cpus_allowed} CPUs"
        yield _doubt("cpus", case.name, what, f"measure with --workers {machine.cpus_allowed} at most")
    elif machine.quota_cpus is not None and case.workers > machine.quota_cpus:
        what = f"{case.workers} workers on a quota of {machine.quota_cpus:g} CPUs"
        yield _doubt("cpus", case.name, what, "raise the container's quota, or lower --workers to it")


def _spread(case: Case, outcomes: tuple[Outcome, ...]) -> Iterator[Finding]:
    """Whether repeats agree. Over an open loop's rate the arrivals decide, not the machine."""
    rates = [outcome.images_per_s for outcome in outcomes if 0 < outcome.images_per_s < math.inf]
    if not rates or case.rate_per_s is not None:
        return
    if len(rates) == 1:
        if outcomes[0].window_s < LONG_S:
            what = "one repeat: nothing tells how far it scatters"
            yield _doubt("spread", case.name, what, "raise --repeats")
        return
    interval = median(rates)
    if interval.width_share > SPREAD_SHARE:
        yield _doubt(
            "spread",
            case.name,
            f"repeats scatter by {interval.width_share:.0%} of the median "
            f"({interval.low:.4g} to {interval.high:.4g} images/s)",
            "raise --repeats and --seconds, on a quieter machine",
        )


def _open_loop(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Whether the arrivals came as asked, and whether the workers kept up.

    Beyond what workers can do, the queue and with it the response time grow for as long as the run lasts, so
    that its percentiles say how long somebody waited before stopping, not what the machine does. Told by two
    signs: workers are nearly always busy, or the last third's mean response is 1.5 times the first
    third's and has grown by more than a service time. A Poisson stream of n arrivals is itself off by 1
    / sqrt(n), thrice of which is allowed where it is more than 5 %.
    """
    if case.rate_per_s is None or not outcome.response_s:
        return
    name, slower = case.name, "lower --rate, or add workers"
    allowed = max(RATE_SHARE, 3 / math.sqrt(max(outcome.images, 1)))
    off = outcome.images_per_s / case.rate_per_s - 1
    if abs(off) > allowed:
        what = f"{outcome.images_per_s:.4g} images/s of {case.rate_per_s:.4g} asked for ({off:+.0%})"
        yield _doubt("rate", name, what, slower if off < 0 else "measure longer")
    third = max(1, len(outcome.response_s) // 3)
    early = statistics.fmean(outcome.response_s[:third])
    late = statistics.fmean(outcome.response_s[-third:])
    service = statistics.fmean(outcome.service_s) if outcome.service_s else 0.0
    busy = case.rate_per_s * service / case.workers
    if busy > FULL or (late > GROWTH * early and late - early > service):
        what = (
            f"overload: workers are busy for {busy:.0%} of their time at this rate, and the mean response "
            f"went from {early:.3g} s to {late:.3g} s"
        )
        yield _doubt("overload", name, what, f"its percentiles grow with the run's length: {slower}")
    pairs = zip(outcome.response_s, outcome.service_s, strict=False)
    if any(response < service_s - 1e-6 for response, service_s in pairs):
        yield _fatal("response", name, "a response is shorter than the service within it", REPORT)


def _fatal(check: str, case: str | None, what: str, advice: str) -> Finding:
    return Finding(severity=FATAL, check=check, case=case, what=what, advice=advice)


def _doubt(check: str, case: str | None, what: str, advice: str) -> Finding:
    return Finding(severity=DOUBT, check=check, case=case, what=what, advice=advice)
