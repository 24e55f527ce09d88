"""The texts of progress and summary, and records as JSON."""

from __future__ import annotations

import json

import pytest

from qbg.errors import InputError, QbgError
from qbg.report.console import FAILURES_SHOWN, Console, progress_line, summary_line
from qbg.summary import Failure, Progress, Summary, readable


def summary(failed: tuple[Failure, ...] = (), *, cancelled: bool = False) -> Summary:
    return Summary(
        images=300,
        done=298,
        skipped=0,
        failed=failed,
        warnings=("x.gif: first frame only",),
        cancelled=cancelled,
        seconds=35.1,
        images_per_s=298 / 35.1,
        stage_seconds={"infer": 60.0, "encode": 3.0},
        service_s={"p50": 0.2},
        steals={"own": 1, "injector": 2, "local": 3, "remote": 0},
        idle_seconds=0.0,
        pixels=1,
        bytes_in=1,
        bytes_out=1,
        peak_rss_bytes=1,
        model="u2netp",
        model_digest="0",
        engine="onnxruntime",
        precision="fp32",
        workers=2,
    )


def failures(count: int) -> tuple[Failure, ...]:
    return tuple(
        Failure(file=f"{n}.jpg", stage="decode", message="broken", hint="mend it") for n in range(count)
    )


def test_progress_line() -> None:
    now = Progress(done=100, skipped=20, failed=2, total=300, seconds=10.0)
    assert progress_line(now) == "122/300 images, 20 skipped, 2 failed, 10.0 images/s, about 18 s left"
    early = Progress(done=0, skipped=0, failed=0, total=None, seconds=0.1)
    assert progress_line(early) == "0/? images, 0.0 images/s"


def test_summary_line() -> None:
    assert summary_line(summary(failures(2))) == (
        "298 done, 0 skipped, 2 failed in 35.1 s: 8.5 images/s with 2 workers"
    )
    assert summary_line(summary(cancelled=True)).startswith("stopped: ")


def test_long_lists_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Console().summary(summary(failures(FAILURES_SHOWN + 7)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: x.gif: first frame only"
    assert lines.count("hint: mend it") == FAILURES_SHOWN
    assert lines[1] == "decode 0.jpg: broken"
    assert "and 7 more failures; --json lists all of them" in lines


def test_quiet_shows_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.progress(Progress(done=1, skipped=0, failed=0, total=2, seconds=60.0))
    console.summary(summary(failures(1)))
    captured = capsys.readouterr()
    assert captured.err == "decode 0.jpg: broken\nhint: mend it\n"
    assert captured.out == ""


def test_lines_without_a_terminal_are_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    for tenth in range(200):
        console.progress(Progress(done=tenth, skipped=0, failed=0, total=200, seconds=tenth / 10))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_json_has_the_promised_fields() -> None:
    values = json.loads(json.dumps(summary(failures(1)).to_json()))
    promised = (
        "images done skipped failed seconds images_per_s stage_seconds steals peak_rss_bytes model engine "
        "precision workers"
    )
    assert set(promised.split()) <= values.keys()
    assert values["failed"] == [{"file": "0.jpg", "stage": "decode", "message": "broken", "hint": "mend it"}]


def test_every_summary_field_is_documented() -> None:
    for name in Summary.__slots__:
        assert f"        {name}: " in (Summary.__doc__ or ""), name


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a b.jpg", "a b.jpg"),
        ("café.jpg", "café.jpg"),
        ("two\nlines.jpg", r"'two\nlines.jpg'"),
        ("caf\udce9.jpg", r"'caf\xe9.jpg'"),
    ],
)
def test_paths_stay_on_one_line(path: str, text: str) -> None:
    assert readable(path) == text


def test_error_text() -> None:
    error = InputError("broken", stage="decode", path="x.jpg", hint="mend it")
    assert str(error) == "decode x.jpg: broken\nhint: mend it"
    assert str(QbgError("broken")) == "broken"
