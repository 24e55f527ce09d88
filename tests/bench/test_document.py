"""What a report says of a record: every figure labelled, nothing that can't be defended, nothing mixed up."""

from __future__ import annotations

import dataclasses
import re

import pytest

from qbg.bench import difference, document, platforms
from qbg.report.document import LABELS, MEASURED, PROJECTED, PUBLISHED, SIMULATED, Document, Table
from qbg.report.record import Case, Record
from records import GATE, MEMORY, outcome, record

WIDTHS = tuple(Case(name=f"scaling-{n}", kind="scaling", workers=n, seconds=10.0) for n in (1, 2, 4))
NULL = Case(name="null-4", kind="null", workers=4, seconds=3.0, engine="null")
SIMULATION = Case(
    name="simulated-384-1.65s",
    kind="simulated",
    workers=384,
    seconds=10.0,
    service_s=1.65,
    engine="simulated",
)


def whole() -> Record:
    """A record with several widths, the null engine and a simulation."""
    cases = (*WIDTHS, NULL, SIMULATION)
    outcomes = [
        outcome(
            case,
            repeat,
            memory=dataclasses.replace(
                MEMORY,
                peak_rss_bytes=int(200e6 + 300e6 * case.workers),
                timeline=((0.0, 100_000_000), (1.0, 200_000_000)),
            ),
            stage_s={"decode": 0.002, "infer": 0.09, "encode": 0.008},
            images_per_s=10.0 * case.workers * (1 + repeat / 1000),
        )
        for repeat in range(3)
        for case in (*WIDTHS, NULL)
    ]
    # One picture each 1.65 s by each of 384 workers.
    outcomes.append(
        outcome(
            SIMULATION,
            0,
            images_per_s=384 / 1.652,
            concurrency=384.0,
            window_s=20.0,
            wall_s=24.0,
            service_s=(1.652,) * 400,
            images=400,
            asked_share=0.9988,
        )
    )
    gate = dataclasses.replace(GATE, case="scaling-4")
    return record(cases=cases, outcomes=tuple(outcomes), gate=gate, price_per_hour=0.5)


def tables(built: Document) -> list[Table]:
    return [table for section in built.sections for table in section.tables]


def table(built: Document, title: str) -> Table:
    [found] = [item for item in tables(built) if item.title.startswith(title)]
    return found


def test_a_sound_record_gives_a_valid_report_with_a_verdict() -> None:
    built = document.build(whole())
    assert built.valid, built.reasons
    assert "40.0" in built.verdict
    assert "InSPyReNet-Fast" in built.verdict
    assert "384 busy" in built.verdict


def test_shapes_fit() -> None:
    for item in tables(document.build(whole())):
        assert len(item.numeric) == len(item.columns)
        assert all(len(row.cells) == len(item.columns) for row in item.rows), item.title
        assert all(row.label is None or row.label in LABELS for row in item.rows)


def test_no_label_shares_a_table_with_another_but_in_cost_and_accounting() -> None:
    mixed = {
        item.title for item in tables(document.build(whole())) if len({row.label for row in item.rows}) > 1
    }
    assert mixed <= {"Cost by platform", "This process", "Memory bandwidth"}


def test_efficiency_and_speed_up_are_against_one_worker() -> None:
    rows = table(document.build(whole()), "Throughput, measured").rows
    assert [row.cells[3] for row in rows] == ["100.0 %", "100.0 %", "100.0 %"]
    assert [row.cells[4] for row in rows] == ["1.00", "2.00", "4.00"]


def test_projections_go_beyond_what_was_measured_and_simulations_stand_apart() -> None:
    built = document.build(whole())
    projected = table(built, "Projected")
    assert {row.label for row in projected.rows} == {PROJECTED}
    assert min(int(row.cells[0]) for row in projected.rows) > 4
    [row] = table(built, "Simulated").rows
    assert row.label == SIMULATED
    assert row.cells[4] == "99.88 %"


def test_published_tables_carry_every_doubt() -> None:
    built = document.build(whole())
    notes = {
        note for item in tables(built) for row in item.rows if row.label == PUBLISHED for note in row.notes
    }
    assert {doubt.sentence for doubt in platforms.doubts()} <= notes


def test_memory_per_worker_is_a_regression() -> None:
    rows = {row.cells[0]: row.cells[1] for row in table(document.build(whole()), "This process").rows}
    assert rows["each further worker"] == "300 MB"


def failing(reason: str) -> Record:
    gate = dataclasses.replace(GATE, case="scaling-4", passed=False, reason=reason)
    return dataclasses.replace(whole(), gate=gate)


def test_wrong_masks_leave_no_figure_of_the_network() -> None:
    built = document.build(failing("IoU against the reference is 0.91"))
    assert not built.valid
    assert any("0.91" in reason for reason in built.reasons)
    assert not re.search(r"\d", built.verdict)
    for title in ("Throughput, measured", "Without a network"):
        for row in table(built, title).rows:
            assert row.cells[1] == "INVALID"
    assert not any(
        row.label == MEASURED
        for item in tables(built)
        if item.title == "Cost by platform"
        for row in item.rows
    )


def test_a_case_that_breaks_littles_law_loses_its_own_figures_only() -> None:
    sound = whole()
    outcomes = tuple(
        dataclasses.replace(item, concurrency=item.concurrency * 0.5) if item.case == "scaling-2" else item
        for item in sound.outcomes
    )
    built = document.build(dataclasses.replace(sound, outcomes=outcomes))
    assert not built.valid
    figures = {row.cells[0]: row.cells[1] for row in table(built, "Throughput, measured").rows}
    assert figures["2"] == "INVALID"
    assert figures["1"] != "INVALID"


def test_stages_that_cannot_be_defended_say_so() -> None:
    plain = whole()
    built = document.build(
        dataclasses.replace(
            plain,
            cases=plain.cases[:3],
            outcomes=tuple(
                dataclasses.replace(item, concurrency=50.0)
                for item in plain.outcomes
                if item.case.startswith("scaling")
            ),
        )
    )
    [stages] = [section for section in built.sections if section.title == "Stages"]
    assert not stages.tables
    assert "can't be defended" in stages.text[0]


def test_a_partial_record_can_be_shown() -> None:
    partial = dataclasses.replace(whole(), finished=False, outcomes=(), gate=None)
    built = document.build(partial)
    assert not built.valid
    assert built.sections


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_a_difference_is_found_where_there_is_one(factor: float) -> None:
    before = whole()
    noisy = [
        dataclasses.replace(item, images_per_s=item.images_per_s * (1 + repeat / 500), repeat=repeat)
        for repeat in range(6)
        for item in before.outcomes
        if item.case == "scaling-4"
    ]
    first = dataclasses.replace(before, outcomes=tuple(noisy))
    second = dataclasses.replace(
        first,
        outcomes=tuple(dataclasses.replace(item, images_per_s=item.images_per_s * factor) for item in noisy),
    )
    built = difference.document(first, second)
    assert ("No significant" in built.verdict) == (factor == 1.0)


def test_what_is_not_alike_is_said() -> None:
    one = whole()
    other = dataclasses.replace(one, machine=dataclasses.replace(one.machine, cpu="another CPU"))
    assert difference.differences(one, other) == ["machine, cpu: a CPU and another CPU"]


def test_cases_that_only_one_record_has_are_named() -> None:
    one = whole()
    other = dataclasses.replace(one, cases=one.cases[1:])
    [table] = difference.document(one, other).sections[1].tables
    assert f"only in the first record: {one.cases[0].name}" in table.notes
    assert not any("second record" in note for note in table.notes)
