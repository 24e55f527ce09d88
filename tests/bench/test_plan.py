"""What is planned for which machine and which wish."""

from __future__ import annotations

import pytest

from qbg.bench import plan
from qbg.bench.plan import Host, standard

SMALL = Host(workers=2, nodes=1, simd="avx2")
LARGE = Host(workers=384, nodes=8, simd="avx512")


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 2, 3)),
        (6, (1, 2, 4, 6)),
        (384, (1, 2, 4, 8, 16, 32, 64, 128, 256, 384)),
    ],
)
def test_counts_are_those_of_the_published_table(most: int, expected: tuple[int, ...]) -> None:
    assert plan.counts(most) == expected


@pytest.mark.parametrize("host", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("parts", [(), *((part,) for part in plan.PARTS)])
def test_each_case_is_named_once_and_run(host: Host, full: bool, parts: tuple[str, ...]) -> None:
    planned = standard(host, parts, full=full)
    names = [case.name for case in planned.cases]
    assert len(names) == len(set(names)) == len(planned.repeats)
    turns = planned.turns()
    assert {name: sum(case.name == name for case, _turn in turns) for name in names} == planned.repeats
    assert turns or planned.kernels


def test_cases_take_turns_and_those_that_need_measured_times_come_last() -> None:
    turns = standard(SMALL, full=True).turns()
    first = [case.name for case, turn in turns if turn == 0 and case.kind == plan.SCALING]
    assert first == ["scaling-1", "scaling-2"]
    repeats = [turn for case, turn in turns if case.kind in (plan.SCALING, plan.NULL, plan.ABLATION)]
    assert repeats == sorted(repeats)
    kinds = [case.kind for case, _turn in turns]
    late = min(kinds.index(plan.OPEN_LOOP), kinds.index(plan.SIMULATED))
    assert set(kinds[late:]) == {plan.OPEN_LOOP, plan.SIMULATED}


def test_the_usual_bench_takes_about_three_minutes() -> None:
    for host in (SMALL, LARGE):
        planned = standard(host)
        seconds = sum(case.seconds or 0.0 for case, _turn in planned.turns())
        assert 60 <= seconds <= 150


def test_enablers_that_a_machine_lacks_are_not_switched_off() -> None:
    def switched(host: Host) -> set[str]:
        return {off for case in plan.ablations(host, 2, 5.0) for off in case.off}

    assert switched(LARGE) == set(plan.ENABLERS)
    assert switched(Host(workers=2, nodes=1, simd="scalar")) == set(plan.ENABLERS) - {"numa", "simd"}


def test_an_unknown_part_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="scaling"):
        standard(SMALL, ("speed",))
