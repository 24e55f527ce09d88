"""`qbg models ...` and `qbg remove --download` as a person uses them: texts, exit codes, where things lie."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import file_server
import graphs
from conftest import Outcome
from file_server import Page, Server
from qbg.models import MODELS, UNSUPPORTED
from qbg.report.download_console import DownloadConsole, progress_line

Run = Callable[..., Outcome]

# The command line with one entry whose file is small: the real ones are 44 MB and more.
PROGRAM = """
import sys
from dataclasses import replace
from qbg.models import MODELS
MODELS["silueta"] = replace(MODELS["silueta"], bytes=int(sys.argv[1]), sha256=sys.argv[2])
del sys.argv[1:3]
from qbg.cli import main
main()
"""


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    return graphs.brightness(tmp_path / "good.onnx", 320).read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """An environment without models, proxies or mirrors."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("QBG_", "U2NET_", "REMBG_", "XDG_")) and "proxy" not in name.lower()
    }
    return {**kept, "HOME": str(tmp_path / "user"), "QBG_HOME": str(tmp_path / "home")}


@pytest.fixture
def small(good: bytes, place: dict[str, str]) -> Run:
    """`qbg ARGUMENTS...` where `silueta` is the small graph."""

    def run(*arguments: str | Path, **more: str) -> Outcome:
        facts = [str(len(good)), hashlib.sha256(good).hexdigest()]
        command = [sys.executable, "-c", PROGRAM, *facts, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=55, env={**place, **more})
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def server(good: bytes) -> Iterator[Server]:
    with file_server.serving() as running:
        running.pages["/silueta.onnx"] = Page(good)
        yield running


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def own(place: dict[str, str]) -> Path:
    return Path(place["QBG_HOME"]) / "models" / "silueta.onnx"


def test_list(qbg: Run, place: dict[str, str]) -> None:
    outcome = qbg("models", "list", env=place)
    lines = outcome.out.splitlines()
    found = {line.split()[0]: line for line in lines if line.strip()}
    assert MODELS.keys() | UNSUPPORTED.keys() <= found.keys()
    assert "built in" in found["qbg-base"]
    assert "absent" in found["u2net"]
    assert "176.0" in found["u2net"]
    assert "Apache-2.0" in found["u2net"]
    for name, model in MODELS.items():
        assert (" ! " in found[name]) == (model.commercial is False), name
        assert (" ? " in found[name]) == (model.commercial is None), name
    assert "not for commercial use" in outcome.out
    rows = json.loads(qbg("models", "list", "--json", env=place).out)
    assert [row["name"] for row in rows] == list(MODELS)
    assert {row["state"] for row in rows} == {"built in", "absent", "to be built"}
    assert rows[0]["commercial"] is True


def test_info_says_license_and_evidence(qbg: Run, place: dict[str, str]) -> None:
    text = qbg("models", "info", "bria-rmbg", env=place).out
    assert "NOT for commercial use" in text
    assert "pinned in the source of rembg" in text
    assert "qbg models download bria-rmbg" in text
    card = qbg("models", "info", "qbg-turbo", env=place).out
    assert "256x256" in card
    assert "# qbg-base" in card
    outcome = qbg("models", "info", "sam", env=place)
    assert (outcome.code, outcome.out) == (3, "")
    assert "two graphs" in outcome.err


def test_an_absent_model_is_one_line_and_a_hint(qbg: Run, place: dict[str, str], photo: Path) -> None:
    outcome = qbg("remove", "-m", "u2net", photo, env=place)
    assert outcome.code == 3
    assert outcome.err.splitlines() == [
        "model u2net: not on this machine",
        "hint: qbg models download u2net",
    ]


def test_the_whole_life_of_a_model(
    small: Run, server: Server, place: dict[str, str], photo: Path, good: bytes
) -> None:
    mirror = ("--mirror", server.base)
    assert small("models", "verify", "silueta").code == 3
    outcome = small("models", "download", "silueta", *mirror)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{own(place)}\n"
    assert "nobody who made it says what is allowed" in outcome.err
    assert "SHA-256 as two or more independent public copies have it" in outcome.err
    assert own(place).read_bytes() == good
    verified = small("models", "verify")
    assert verified.code == 0
    assert verified.out.count("\nok") + verified.out.startswith("ok") == 3, (
        "the built-in file by its two names, and silueta"
    )
    # From here on nothing is asked.
    asked = len(server.asked)
    target = photo.with_name("cut.png")
    assert small("remove", "-m", "silueta", photo, target, QBG_OFFLINE="1").code == 0
    assert target.exists()
    assert small("models", "download", "silueta", *mirror, QBG_OFFLINE="1").code == 0
    assert len(server.asked) == asked
    removed = small("models", "remove", "silueta")
    assert (removed.code, removed.out) == (0, f"{own(place)}\n")
    assert small("models", "remove", "silueta").code == 3
    assert list(own(place).parent.iterdir()) == []


def test_remove_downloads_when_told_to(
    small: Run, server: Server, place: dict[str, str], photo: Path
) -> None:
    target = photo.with_name("cut.png")
    arguments = ("remove", "-m", "silueta", photo, target, "--overwrite")
    assert small(*arguments, QBG_MIRROR=server.base).code == 3
    assert server.asked == []
    outcome = small(*arguments, "--download", QBG_MIRROR=server.base)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("license of silueta: not stated") == 1
    assert len(server.asked) == 1
    assert small(*arguments, "--download", QBG_MIRROR=server.base).code == 0
    assert len(server.asked) == 1
    assert small("remove", "--download", photo, target, "--overwrite").code == 0, (
        "the built-in one comes along"
    )


BAD = {
    "cut": (lambda good: good[:-10], "bytes, not"),
    "page": (lambda good: b"<!doctype html>".ljust(len(good)), "its SHA256 is"),
    "other": (lambda good: good[:50] + b"x" + good[51:], "its SHA256 is"),
    "empty": (lambda good: b"", "it has 0 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_in_the_cache(
    name: str, small: Run, server: Server, place: dict[str, str], photo: Path, good: bytes
) -> None:
    spoil, word = BAD[name]
    own(place).parent.mkdir(parents=True)
    own(place).write_bytes(spoil(good))
    outcome = small("remove", "-m", "silueta", photo)
    assert outcome.code == 3
    assert word in outcome.err
    assert len(outcome.err.splitlines()) == 2
    assert "hint: qbg models download silueta" in outcome.err
    checked = small("models", "verify", "silueta", "--json")
    assert checked.code == 3
    assert json.loads(checked.out)[0]["state"] == "bad"
    # --download mends it, as `models download` does.
    assert small("remove", "-m", "silueta", "--download", photo, QBG_MIRROR=server.base).code == 0
    assert own(place).read_bytes() == good


def test_failures_of_a_download(small: Run, server: Server, place: dict[str, str], good: bytes) -> None:
    server.pages["/silueta.onnx"].data = good[:60] + b"x" + good[61:]
    for arguments, more, word in (
        (("--mirror", server.base), {}, "it sent other bytes"),
        (("--mirror", f"{server.base}/none"), {}, "HTTP 404 Not Found"),
        ((), {"QBG_OFFLINE": "1"}, "QBG_OFFLINE is set"),
    ):
        outcome = small("models", "download", "silueta", "-q", *arguments, **more)
        assert (outcome.code, outcome.out) == (3, "")
        assert word in outcome.err
        assert len(outcome.err.splitlines()) == 2
        assert not own(place).parent.exists() or list(own(place).parent.iterdir()) == []
    assert small("models", "download", "silueta", "--mirror", "ftp://x").code == 2
    assert small("models", "download", "u3net").code == 3
    assert small("models", "download", "inspyrenet-fast").code == 3


def test_one_failure_does_not_keep_others_away(small: Run, server: Server, place: dict[str, str]) -> None:
    outcome = small("models", "download", "u2net", "silueta", "--mirror", server.base)
    assert outcome.code == 3
    assert "HTTP 404" in outcome.err
    assert own(place).exists()


def test_rembgs_files_are_used_and_left_alone(
    small: Run, place: dict[str, str], photo: Path, good: bytes
) -> None:
    theirs = Path(place["HOME"]) / ".u2net" / "silueta.onnx"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(good)
    assert small("remove", "-m", "silueta", photo).code == 0
    rows = json.loads(small("models", "list", "--json").out)
    row = next(row for row in rows if row["name"] == "silueta")
    assert (row["state"], row["path"]) == ("here", str(theirs))
    outcome = small("models", "remove", "silueta")
    assert outcome.code == 3
    assert "is rembg's and stays" in outcome.err
    assert theirs.exists()
    theirs.write_bytes(good[:-1])
    assert "wrong size" in small("models", "list").out


def test_the_built_in_one_stays(qbg: Run, place: dict[str, str]) -> None:
    assert qbg("models", "remove", "qbg-base", env=place).code == 3
    assert qbg("models", "download", "qbg-base", env=place).code == 0
    assert qbg("models", "verify", "qbg-base", env=place).code == 0


def test_a_folder_that_is_not_ours_is_told(small: Run, server: Server, tmp_path: Path, obeying: dict) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    done = subprocess.run(
        [sys.executable, "-m", "qbg", "models", "download", "u2net", "-q", "--mirror", server.base],
        capture_output=True,
        text=True,
        timeout=55,
        env={**os.environ, "QBG_HOME": str(locked / "home")},
        **obeying,
    )
    assert done.returncode == 3
    assert "can't be written: Permission denied" in done.stderr
    assert "set QBG_HOME" in done.stderr


# What is seen meanwhile


def test_progress_line() -> None:
    assert progress_line("u2net.onnx", 33_000_000, 176_000_000, 30_000_000, 2.5) == (
        "u2net.onnx: 33.0 of 176.0 MB, 12.0 MB/s, about 12 s left"
    )
    assert progress_line("x", 5_000_000, None, 5_000_000, 1.0) == "x: 5.0 MB, 5.0 MB/s"
    assert progress_line("x", 7_000_000, 9_000_000, 0, 0.0) == "x: 7.0 of 9.0 MB"


def test_the_console_draws_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        console = DownloadConsole("x.onnx")
        console.say("x.onnx from somewhere")
        for step in range(4):
            console.tick(step * 10**6, 3 * 10**6)
            clock[0] += 2.0
        console.close()
        text = capsys.readouterr().err
        assert text.startswith("x.onnx from somewhere\n")
        if terminal:
            assert text.count("\r") == 4 + 2
            assert text.endswith("\r")
        else:
            assert "\r" not in text
            assert len(text.splitlines()) == 2, "one line in five seconds"
    quiet = DownloadConsole("x.onnx", quiet=True)
    quiet.say("nothing")
    quiet.tick(1, 2)
    quiet.close()
    assert capsys.readouterr().err == ""
