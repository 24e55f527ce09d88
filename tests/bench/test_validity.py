"""A record in which all is well, then the same with one thing wrong at a time."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.bench.validity import DOUBT, FATAL, Finding, judge
from qbg.report.record import Case, Machine, Quiet, Record, Software
from records import CLOSED, GATE, MACHINE, OPEN, QUIET, SAMPLE, SUBJECT, outcome, record


def with_outcome(case: Case = CLOSED, **changes: Any) -> Record:
    """The second repeat of a case differs."""
    plain = record()
    return dataclasses.replace(
        plain,
        outcomes=tuple(
            dataclasses.replace(item, **changes) if (item.case, item.repeat) == (case.name, 1) else item
            for item in plain.outcomes
        ),
    )


def with_case(case: Case, **changes: Any) -> Record:
    """One case alone, three repeats."""
    return record(cases=(case,), outcomes=tuple(outcome(case, repeat, **changes) for repeat in range(3)))


def quiet(**changes: Any) -> Quiet:
    return dataclasses.replace(QUIET, **changes)


def machine(**changes: Any) -> Machine:
    return dataclasses.replace(MACHINE, **changes)


def only(found: Record) -> Finding:
    """The one finding there is."""
    (finding,) = judge(found).reasons
    assert finding.what
    assert finding.advice
    return finding


def test_all_is_well() -> None:
    verdict = judge(record())
    assert verdict.reasons == ()
    assert verdict.valid
    assert verdict.holds("scaling-2")


FATAL_ONES = {
    "build": record(software=Software(versions={}, build_profile="debug", git="abc")),
    "finished": record(finished=False),
    "gate": record(gate=None),
    "samples": with_outcome(images=12, service_s=(0.1,) * 12),
    "time": with_outcome(window_s=1.5, wall_s=2.0, images=30),
    "warm-up": with_outcome(warm_up_images=1),
    "failed": with_outcome(failed=3),
    "little": with_outcome(service_s=(0.11,) * 200),
    "idle": with_outcome(idle_share=0.2),
    "others": with_outcome(quiet=quiet(others_cpu=0.5)),
    "steal": with_outcome(quiet=quiet(steal_cpu=0.3)),
    "throttled": with_outcome(quiet=quiet(throttled_s=1.0)),
    "response": with_outcome(OPEN, response_s=(0.12,) * 139 + (0.09,)),
}


@pytest.mark.parametrize("check", FATAL_ONES)
def test_one_thing_that_makes_it_invalid(check: str) -> None:
    finding = only(FATAL_ONES[check])
    assert (finding.check, finding.severity) == (check, FATAL)
    verdict = judge(FATAL_ONES[check])
    assert not verdict.valid
    place = finding.case or "scaling-2"
    assert not verdict.holds(place)
    if finding.case is not None:
        other = "open" if place == "scaling-2" else "scaling-2"
        assert verdict.holds(other)


def test_the_share_of_failures_is_of_all_that_were_tried() -> None:
    (finding,) = [item for item in judge(with_outcome(failed=200)).reasons if item.check == "failed"]
    assert finding.what.startswith("200 of 406 pictures failed (49.3%)")


DOUBTS = {
    "git": record(software=Software(versions={}, build_profile="release", git="abc+")),
    "load": with_outcome(began_s=-1.0, quiet=quiet(load_1min=1.0)),
    "gate-samples": record(gate=dataclasses.replace(GATE, samples=(SAMPLE,) * 31)),
    "failed": with_outcome(failed=1),
    "others": with_outcome(quiet=quiet(others_cpu=0.2)),
    "steal": with_outcome(quiet=quiet(steal_cpu=0.1)),
    "throttled": with_outcome(quiet=quiet(throttled_s=0.2)),
    "frequency": with_outcome(quiet=quiet(frequency_low_hz=2e9, frequency_high_hz=3e9)),
    "pinned": with_outcome(unpinned=1),
    "spread": with_outcome(images_per_s=17.0, concurrency=1.7, images=170, idle_share=0.15),
    "rate": with_outcome(OPEN, images_per_s=9.0, concurrency=0.9, images=90, idle_share=0.55),
    "overload": with_outcome(OPEN, response_s=tuple(0.1 + 0.01 * number for number in range(140))),
}


@pytest.mark.parametrize("check", DOUBTS)
def test_one_thing_that_raises_a_doubt(check: str) -> None:
    finding = only(DOUBTS[check])
    assert (finding.check, finding.severity) == (check, DOUBT)
    assert judge(DOUBTS[check]).valid


def test_masks_that_fail_make_it_invalid() -> None:
    bad = dataclasses.replace(GATE, passed=False, reason="IoU 0.4 below 0.99")
    finding = only(record(gate=bad))
    assert finding.severity == FATAL
    assert "IoU 0.4 below 0.99" in finding.what
    assert only(record(gate=dataclasses.replace(GATE, samples=()))).check == "gate"


@pytest.mark.parametrize(
    "case",
    [
        Case(name="null-2", kind="null", workers=2, seconds=10.0, engine="null"),
        Case(name="sim-2", kind="simulated", workers=2, seconds=10.0, service_s=0.1),
        Case(name="x", kind="scaling", workers=2, seconds=10.0, engine="simulated:0.1"),
    ],
)
def test_without_a_network_no_masks_are_asked_for(case: Case) -> None:
    found = with_case(case)
    assert judge(dataclasses.replace(found, gate=None)).reasons == ()


def test_the_gate_asks_for_no_more_pictures_than_there_are() -> None:
    subject = dataclasses.replace(SUBJECT, distinct=10)
    assert (
        judge(record(subject=subject, gate=dataclasses.replace(GATE, samples=(SAMPLE,) * 10))).reasons == ()
    )


def test_a_case_that_never_ran() -> None:
    plain = record()
    lost = dataclasses.replace(
        plain, outcomes=tuple(item for item in plain.outcomes if item.case == CLOSED.name)
    )
    finding = only(lost)
    assert (finding.check, finding.case, finding.severity) == ("ran", "open", FATAL)
    assert judge(lost).holds("scaling-2")


def test_an_empty_record_is_not_valid() -> None:
    assert not judge(record(cases=(), outcomes=(), gate=None)).valid


def test_an_outcome_that_was_not_planned() -> None:
    finding = only(record(cases=(CLOSED,)))
    assert (finding.check, finding.severity) == ("plan", FATAL)


def test_the_published_unit_of_latency_breaks_little_s_law() -> None:
    """384 workers, 230.14 images/s, and 1.65 ms each: as printed."""
    big = machine(cpus_online=384, cpus_allowed=384)
    case = Case(name="massive", kind="massive", workers=384, count=38_418)

    def published(service_s: float) -> Record:
        outcomes = (
            outcome(
                case,
                0,
                images=38_418,
                window_s=166.9,
                wall_s=168.0,
                images_per_s=230.14,
                concurrency=384 * 0.9999,
                service_s=(service_s,) * 38_418,
                idle_share=0.0,
            ),
        )
        return record(machine=big, cases=(case,), outcomes=outcomes)

    finding = only(published(1.65e-3))
    assert (finding.check, finding.severity) == ("little", FATAL)
    assert judge(published(1.665)).reasons == ()


@given(st.floats(0.5, 2.0))
def test_little_s_law_within_five_percent(factor: float) -> None:
    found = judge(with_outcome(service_s=(0.1 * factor,) * 200))
    broken = abs(factor - 1) > 0.05 + 1e-9
    if abs(abs(factor - 1) - 0.05) > 1e-6:
        assert any(finding.check == "little" for finding in found.reasons) == broken


def pool(seed: int, scatter: float, services: float) -> dict[str, Any]:
    """What two workers with lognormal service times (mean 1 s) leave in a window of an honest run."""
    random = np.random.default_rng(seed)
    sigma = math.sqrt(math.log(1 + scatter**2))
    jobs = []
    for _ in range(2):
        clock = 0.0
        while clock < services + 6:
            took = math.exp(random.normal(-(sigma**2) / 2, sigma))
            jobs.append((clock, clock + took))
            clock += took
    start, stop = 3.0, 3.0 + services
    overlaps = [max(0.0, min(end, stop) - max(begin, start)) for begin, end in jobs]
    ended = tuple(end - begin for begin, end in jobs if start < end <= stop)
    return {
        "images": len(ended),
        "service_s": ended,
        "window_s": services,
        "wall_s": services + 6,
        "concurrency": sum(overlaps) / services,
        "images_per_s": sum(over / (end - begin) for over, (begin, end) in zip(overlaps, jobs, strict=True))
        / services,
        "idle_share": 0.0,
    }


def test_honest_pools_are_hardly_ever_called_invalid() -> None:
    for scatter, most in ((0.1, 0.0), (0.3, 0.01), (0.6, 0.03)):
        verdicts = [judge(with_case(CLOSED, **pool(seed, scatter, 15.0))) for seed in range(100)]
        wrong = [finding for verdict in verdicts for finding in verdict.reasons if finding.check == "little"]
        assert sum(finding.severity == FATAL for finding in wrong) <= most * 100


@pytest.mark.parametrize("factor", [1e-3, 0.5, 2.0, 1e3])
def test_wrong_units_and_double_counting_are_always_found(factor: float) -> None:
    for seed in range(20):
        run = pool(seed, 0.6, 15.0)
        run["images_per_s"] *= factor
        assert "little" in {
            finding.check for finding in judge(with_case(CLOSED, **run)).reasons if finding.severity == FATAL
        }


def test_scatter_may_explain_a_little() -> None:
    times = (0.02, 0.26) * 10 + (0.1,) * 10
    run = {"images": 30, "service_s": times, "images_per_s": 15.0, "window_s": 2.6, "wall_s": 3.0}
    finding = only(with_case(CLOSED, **run, concurrency=1.7, idle_share=0.15))
    assert (finding.check, finding.severity) == ("little", DOUBT)
    finding = only(with_case(CLOSED, **run, concurrency=1.4, idle_share=0.3))
    assert (finding.check, finding.severity) == ("little", FATAL)


def test_more_pictures_in_work_than_workers() -> None:
    found = judge(with_outcome(concurrency=2.02, service_s=(0.101,) * 200))
    assert "concurrency" in {finding.check for finding in found.reasons}
    assert not found.valid


@given(st.floats(0.05, 1.0), st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_idle_outside_of_the_window_is_no_fault(busy: float, outside_s: float, idle_there: float) -> None:
    """Whatever workers do before and after the window, the pool's clock agrees with the samples."""
    wall = 10.0 + outside_s
    time_in_work = 2 * busy * 10.0 + 2 * (1 - idle_there) * outside_s
    found = judge(
        with_case(
            CLOSED,
            wall_s=wall,
            images_per_s=20 * busy,
            concurrency=2 * busy,
            idle_share=1 - time_in_work / (2 * wall),
        )
    )
    assert found.reasons == ()


@pytest.mark.parametrize("name", ["images_per_s", "concurrency", "window_s", "idle_share", "wall_s"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_numbers_that_cannot_be_are_never_valid(name: str, value: float) -> None:
    finding = only(with_outcome(**{name: value}))
    assert (finding.check, finding.severity) == ("numbers", FATAL)


@pytest.mark.parametrize("name", ["service_s", "response_s"])
def test_times_that_cannot_be_are_never_valid(name: str) -> None:
    found = judge(with_outcome(OPEN, **{name: (0.1,) * 139 + (float("nan"),)}))
    assert [(finding.check, finding.severity) for finding in found.reasons] == [("numbers", FATAL)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("others", with_outcome(quiet=quiet(others_cpu=None))),
        ("steal", with_outcome(quiet=quiet(steal_cpu=None))),
        ("throttled", with_outcome(quiet=quiet(throttled_s=None))),
        ("git", record(software=Software(versions={}, build_profile="release", git=None))),
    ],
)
def test_what_the_system_does_not_tell_is_no_finding(name: str, found: Record) -> None:
    assert judge(found).reasons == (), name


def test_others_on_cpus_that_are_not_ours_are_only_a_doubt() -> None:
    plain = with_outcome(quiet=quiet(others_cpu=0.9))
    assert only(plain).severity == FATAL
    shared = dataclasses.replace(plain, machine=machine(cpus_allowed=2))
    assert only(shared).severity == DOUBT


def test_load_counts_before_the_first_case_only() -> None:
    later = with_outcome(quiet=quiet(load_1min=4.0))
    assert judge(later).reasons == ()


def test_pins_that_were_switched_off_are_not_missed() -> None:
    case = dataclasses.replace(CLOSED, name="ablation-pin", kind="ablation", off=("pin",))
    assert judge(with_case(case, unpinned=2)).reasons == ()


def test_workers_beyond_the_cpus() -> None:
    case = dataclasses.replace(CLOSED, workers=6)
    assert only(with_case(case)).check == "cpus"
    quota = with_case(CLOSED)
    finding = only(dataclasses.replace(quota, machine=machine(quota_cpus=1.5)))
    assert "quota of 1.5" in finding.what
    simulated = Case(name="sim", kind="simulated", workers=384, seconds=10.0, service_s=0.1)
    assert judge(with_case(simulated, unpinned=384)).reasons == ()


def test_one_short_run_is_a_doubt_and_a_long_one_is_none() -> None:
    short = record(cases=(CLOSED,), outcomes=(outcome(CLOSED, 0),))
    assert only(short).check == "spread"
    images = 1400
    long = outcome(CLOSED, 0, window_s=70.0, wall_s=70.5, images=images, service_s=(0.1,) * images)
    assert judge(record(cases=(CLOSED,), outcomes=(long,))).reasons == ()


def test_a_run_too_short_for_its_pictures_declines_with_advice() -> None:
    case = Case(name="massive", kind="massive", workers=2, count=24)
    times = (1.65,) * 24
    found = with_case(
        case, images=24, service_s=times, images_per_s=2 / 1.65, concurrency=2.0, window_s=15.0, wall_s=15.5
    )
    finding = only(found)
    assert (finding.check, finding.severity) == ("time", FATAL)
    assert "16.5 s at least" in finding.what
    assert "(in 3 of 3 repeats)" in finding.what
    assert finding.advice == "raise --count above 24"


def test_repeats_are_told_once_and_the_fatal_one_counts() -> None:
    plain = record()
    changed = [
        dataclasses.replace(item, quiet=quiet(steal_cpu=(0.0, 0.1, 0.4)[item.repeat]))
        if item.case == CLOSED.name
        else item
        for item in plain.outcomes
    ]
    finding = only(dataclasses.replace(plain, outcomes=tuple(changed)))
    assert (finding.check, finding.severity) == ("steal", FATAL)
    assert "(in 1 of 3 repeats)" in finding.what
    assert str(finding).startswith("scaling-2: ")


def test_fatal_ones_come_first() -> None:
    both = dataclasses.replace(
        FATAL_ONES["steal"], software=Software(versions={}, build_profile="release", git="a+")
    )
    assert [finding.severity for finding in judge(both).reasons] == [FATAL, DOUBT]


def test_an_open_loop_at_the_limit_is_overloaded_at_once() -> None:
    case = dataclasses.replace(OPEN, rate_per_s=19.5)
    finding = only(with_case(case))
    assert (finding.check, finding.severity) == ("overload", DOUBT)
    assert "lower --rate" in finding.advice


def seen(found: Record) -> list[tuple[str, str]]:
    """(check, severity) of each finding."""
    return [(finding.check, finding.severity) for finding in judge(found).reasons]


@pytest.mark.parametrize(
    ("check", "field", "quietly", "doubtful", "still_doubtful", "fatally"),
    [
        ("others", "others_cpu", 0.079, 0.081, 0.399, 0.401),  # of four CPUs: 2 % and 10 %
        ("steal", "steal_cpu", 0.039, 0.041, 0.199, 0.201),  # 1 % and 5 %
        ("throttled", "throttled_s", 0.104, 0.106, 0.524, 0.526),  # of 10.5 s: 1 % and 5 %
    ],
)
def test_where_quiet_ends(
    check: str, field: str, quietly: float, doubtful: float, still_doubtful: float, fatally: float
) -> None:
    def at(value: float) -> list[tuple[str, str]]:
        return seen(with_outcome(quiet=quiet(**{field: value})))

    assert at(quietly) == []
    assert at(doubtful) == at(still_doubtful) == [(check, DOUBT)]
    assert at(fatally) == [(check, FATAL)]


@pytest.mark.parametrize(("cpus", "limit"), [(4, 0.9), (384, 38.9)])
def test_where_load_begins(cpus: int, limit: float) -> None:
    def at(load: float) -> list[tuple[str, str]]:
        plain = with_outcome(began_s=-1.0, quiet=quiet(load_1min=load))
        return seen(dataclasses.replace(plain, machine=machine(cpus_online=cpus, cpus_allowed=cpus)))

    assert at(limit - 0.01) == []
    assert at(limit + 0.01) == [("load", DOUBT)]


def test_where_frequency_counts_as_varying() -> None:
    assert seen(with_outcome(quiet=quiet(frequency_low_hz=2.41e9, frequency_high_hz=3e9))) == []
    varying = with_outcome(quiet=quiet(frequency_low_hz=2.39e9, frequency_high_hz=3e9))
    assert "(now: performance)" in only(varying).advice
    unknown = only(dataclasses.replace(varying, machine=machine(governor=None)))
    assert "(now: unknown)" in unknown.advice


def test_where_enough_begins() -> None:
    assert seen(with_outcome(images=20, service_s=(0.1,) * 20)) == []
    assert seen(with_outcome(images=19, service_s=(0.1,) * 19)) == [("samples", FATAL)]
    assert seen(with_outcome(warm_up_images=2)) == []
    assert seen(with_outcome(window_s=2.0, wall_s=2.5)) == []
    assert seen(with_outcome(window_s=1.99, wall_s=2.5)) == [("time", FATAL)]
    assert ("samples", FATAL) in seen(with_outcome(service_s=()))


def test_where_repeats_begin_to_scatter() -> None:
    def at(rate: float) -> list[tuple[str, str]]:
        return seen(with_outcome(images_per_s=rate, concurrency=rate / 10, idle_share=1 - rate / 20))

    assert at(18.1) == []
    assert at(17.9) == [("spread", DOUBT)]


def test_idle_is_checked_in_both_directions() -> None:
    half = {"images_per_s": 10.0, "concurrency": 1.0, "images": 100, "service_s": (0.1,) * 100}
    assert seen(with_case(CLOSED, **half, idle_share=0.5)) == []
    assert seen(with_case(CLOSED, **half, idle_share=0.0)) == [("idle", FATAL)]
    assert seen(with_case(CLOSED, idle_share=0.5)) == [("idle", FATAL)]


def test_where_a_rate_counts_as_missed() -> None:
    """Of 10,000 arrivals 5 % count, of 140 three times their own scatter of 8 %."""
    case = dataclasses.replace(OPEN, rate_per_s=10.0)
    many = {"images": 10_000, "window_s": 1000.0, "wall_s": 1000.5}

    def at(rate: float, **changes: Any) -> list[tuple[str, str]]:
        return seen(
            with_case(case, images_per_s=rate, concurrency=rate / 10, idle_share=1 - rate / 20, **changes)
        )

    assert at(10.49, **many) == at(9.51, **many) == []
    assert at(10.51, **many) == at(9.49, **many) == [("rate", DOUBT)]
    assert at(7.6, images=140) == []
    assert at(7.4, images=140) == [("rate", DOUBT)]
    more = with_case(case, images_per_s=12.0, concurrency=1.2, idle_share=0.4, **many)
    assert only(more).advice == "measure longer"


@pytest.mark.parametrize(
    ("early", "middle", "late", "overloaded"),
    [
        (0.30, 0.38, 0.44, False),  # grows by less than half
        (0.30, 0.38, 0.46, True),
        (0.11, 0.15, 0.20, False),  # by less than a service time
        (0.11, 0.16, 0.22, True),
        (0.12, 5.00, 0.12, False),  # a burst in the middle that was worked off
        (5.00, 0.30, 0.12, False),
    ],
)
def test_where_a_growing_response_is_overload(
    early: float, middle: float, late: float, overloaded: bool
) -> None:
    times = (early,) * 46 + (middle,) * 48 + (late,) * 46
    found = seen(with_outcome(OPEN, response_s=times))
    assert found == ([("overload", DOUBT)] if overloaded else [])


@pytest.mark.parametrize(("rate", "overloaded"), [(18.9, False), (19.1, True)])
def test_where_busy_workers_are_overload(rate: float, overloaded: bool) -> None:
    found = seen(with_case(dataclasses.replace(OPEN, rate_per_s=rate)))
    assert found == ([("overload", DOUBT)] if overloaded else [])


def test_scatter_excuses_less_in_a_longer_window() -> None:
    """The same deviation of 11 % that 30 pictures excuse isn't excused by 300."""
    times = ((0.02, 0.26) * 10 + (0.1,) * 10) * 10
    assert seen(
        with_case(CLOSED, images=300, service_s=times, images_per_s=15.0, concurrency=1.7, idle_share=0.15)
    ) == [("little", FATAL)]
