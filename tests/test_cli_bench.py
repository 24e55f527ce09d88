"""`qbg bench` as a person types it, on a network that takes microseconds or none at all."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SAMPLES, Outcome, qbg_command
from qbg.bench import platforms
from qbg.report import record as records

Run = Callable[..., Outcome]
SHORT = ("--seconds", "0.4", "--repeats", "2", "--workers", "2")


@pytest.fixture(scope="module")
def bench(qbg: Run, quick_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """One whole short bench with every report, and the folder that holds them."""
    place = tmp_path_factory.mktemp("bench")
    reports = ("--json", "r.json", "--html", "r.html", "--markdown", "r.md", "--histogram", "r.hgrm")
    priced = ("--price-per-hour", "0.5", "--watts", "90")
    return qbg("bench", "-m", quick_model, *SHORT, *reports, *priced, cwd=place), place


def test_a_bench_gives_every_report(bench: tuple[Outcome, Path]) -> None:
    outcome, place = bench
    assert outcome.code in (0, 1), outcome.err
    record = records.load(place / "r.json")
    assert record.finished
    assert {case.name for case in record.cases} == {"scaling-1", "scaling-2", "null-2"}
    assert all(len(record.of(case.name)) == 2 for case in record.cases)
    assert record.gate is not None
    assert record.gate.passed, record.gate.reason
    assert record.price_per_hour == 0.5
    assert set(record.bandwidth_bytes_per_s) == {"1", "2"}
    for outcome_ in record.outcomes:
        assert outcome_.images_per_s > 0
        assert outcome_.failed == 0
        assert outcome_.memory.peak_rss_bytes
    for name in ("r.html", "r.md"):
        text = (place / name).read_text(encoding="utf-8")
        assert "230.14" in text
        assert "published" in text
    assert "#[Max" in (place / "r.hgrm").read_text()
    assert not list(place.glob(".*")), "a temporary name was left"


def test_every_published_cell_is_in_the_reports(bench: tuple[Outcome, Path]) -> None:
    _outcome, place = bench
    text = (place / "r.md").read_text(encoding="utf-8")
    for table in platforms.TABLES:
        if table.key == "machine":
            continue
        for row in table.rows:
            for cell in row:
                assert cell in text, (table.key, cell)


def test_a_record_holds_no_path_of_this_machine(bench: tuple[Outcome, Path], quick_model: Path) -> None:
    _outcome, place = bench
    text = (place / "r.json").read_text(encoding="utf-8")
    for private in (str(place), str(quick_model.parent), str(SAMPLES)):
        assert private not in text


def test_an_old_record_is_shown_again(bench: tuple[Outcome, Path], qbg: Run) -> None:
    first, place = bench
    again = qbg("bench", "show", place / "r.json", "--markdown", "-")
    assert again.code == first.code
    assert again.out.rstrip() == (place / "r.md").read_text(encoding="utf-8").rstrip()


def test_a_record_does_not_differ_from_itself(bench: tuple[Outcome, Path], qbg: Run) -> None:
    _outcome, place = bench
    same = qbg("bench", "diff", place / "r.json", place / "r.json")
    assert same.code == 0
    assert "No significant difference" in same.out


def test_a_partial_record_is_gone_on_from(
    bench: tuple[Outcome, Path], qbg: Run, quick_model: Path, tmp_path: Path
) -> None:
    _outcome, place = bench
    data = json.loads((place / "r.json").read_text(encoding="utf-8"))
    kept, data["outcomes"], data["finished"] = data["outcomes"][:2], data["outcomes"][:2], False
    partial = tmp_path / "p.json"
    partial.write_text(json.dumps(data))
    priced = ("--price-per-hour", "0.5", "--watts", "90")
    done = qbg(
        "bench", "-m", quick_model, *SHORT, *priced, "--resume", partial, "--json", tmp_path / "r.json"
    )
    assert done.code in (0, 1), done.err
    record = records.load(tmp_path / "r.json")
    assert record.finished
    assert len(record.outcomes) == 6
    assert [outcome.began_s for outcome in record.outcomes[:2]] == [old["began_s"] for old in kept]
    other = qbg("bench", "--engine", "null", *SHORT, "--resume", partial)
    assert other.code == 2
    assert "hint:" in other.err


def test_the_massive_test_counts_and_judges_itself(qbg: Run, quick_model: Path, tmp_path: Path) -> None:
    options = ("--workers", "2", "--images", SAMPLES, "--count", "400", "--json", tmp_path / "r.json")
    done = qbg("bench", "massive_test", "-m", quick_model, *options)
    assert done.code in (0, 1), done.err
    record = records.load(tmp_path / "r.json")
    [outcome] = record.of("massive-2")
    assert outcome.wall_images == 400
    assert outcome.images + outcome.warm_up_images <= 400
    assert record.gate is not None
    assert record.gate.passed
    assert len(record.gate.samples) >= 32


def test_too_short_a_run_declines_with_advice(qbg: Run, quick_model: Path) -> None:
    done = qbg("bench", "massive_test", "-m", quick_model, "--workers", "2", "--count", "3")
    assert done.code == 1
    assert "too short" in done.err
    assert "--count" in done.err


def test_a_run_that_says_too_little_is_invalid_and_shows_no_figure(qbg: Run, quick_model: Path) -> None:
    done = qbg(
        "bench", "massive_test", "-m", quick_model, "--workers", "1", "--count", "12", "--markdown", "-"
    )
    assert done.code == 1
    assert "INVALID" in done.out
    [row] = [line for line in done.out.splitlines() if line.startswith("| **1** | **INVALID**")]
    assert "measured" in row


WRONG = {
    ("bench", "speed"): "no part `speed`",
    ("bench", "show"): "needs 1 record",
    ("bench", "show", "nowhere.json"): "No such file",
    ("bench", "diff", "nowhere.json"): "needs 2 records",
    ("bench", "compare"): "needs its rival",
    ("bench", "scaling", "--count", "5"): "--count says nothing to `scaling`",
    ("bench", "massive_test", "--full"): "--full says nothing to `massive_test`",
    ("bench", "--html", "no/such/r.html"): "no such folder",
    ("bench", "--images", "nowhere"): "no such folder",
    ("bench", "scaling", "latency"): "takes no `latency`",
    ("bench", "--json", "-", "--html", "-"): "only one report",
    ("bench", "--json", "."): "is a folder",
    ("bench", "--json", "a", "--html", "./a"): "--json and --html name one file",
    ("bench", "--engine", "magic", "--seconds", "1"): "no engine `magic`",
    ("bench", "--seconds", "inf"): "inf is not a number",
    ("bench", "--full", "--rate", "nan"): "Invalid value for '--rate'",
    ("tune", "--budget", "inf"): "inf is not a number",
}


@pytest.mark.parametrize("arguments", WRONG, ids=lambda words: " ".join(words[1:]))
def test_mistakes_are_told_at_once(arguments: tuple[str, ...], qbg: Run, tmp_path: Path) -> None:
    done = qbg(*arguments, cwd=tmp_path)
    assert done.code == (1 if "nowhere" in arguments else 2), "what isn't there is no mistake in the words"
    assert WRONG[arguments] in done.err
    assert "Traceback" not in done.err


def test_a_file_that_is_no_record(qbg: Run, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = qbg("bench", "show", tmp_path / "x.json")
    assert done.code == 2
    assert "no record" in done.err


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    command = [*qbg_command(), "bench", "--engine", "null", "--seconds", "1", "--repeats", "30"]
    with subprocess.Popen(
        [*command, "--workers", "1", "--json", "r.json"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        # The first line that tells of a run's end.
        for line in process.stderr:
            if "images/s" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 130
    record = records.load(tmp_path / "r.json")
    assert record.outcomes
    assert not record.finished
    assert "--resume" in rest
    assert "Traceback" not in rest
