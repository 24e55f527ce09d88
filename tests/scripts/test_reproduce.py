"""scripts/reproduce.sh: what it would do, and that it does that, with stand-ins for pip, qbg and make.

The stand-ins write down how they were called. Nothing is installed, measured or downloaded here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SKIPPED: a shell script of POSIX systems")

SCRIPT = ROOT / "scripts" / "reproduce.sh"

QBG = f"""#!{sys.executable}
import json, os, sys
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(["qbg", *arguments]) + "\\n")
for option in ("--json", "--html", "--markdown"):
    if option in arguments:
        open(arguments[arguments.index(option) + 1], "w").write("made by " + " ".join(arguments[:2]))
print("said by", *arguments[:2])
sys.exit(1 if os.environ.get("FAIL", "nothing") in arguments else 0)
"""

PYTHON = f"""#!{sys.executable}
import json, os, subprocess, sys
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(["python", *arguments]) + "\\n")
if arguments[:2] == ["-m", "venv"]:
    os.makedirs(arguments[2] + "/bin")
    for name in ("python", "qbg"):
        os.symlink(os.environ["STANDINS"] + "/" + name, arguments[2] + "/bin/" + name)
elif arguments[0].endswith(".py"):
    sys.exit(subprocess.call([sys.executable, *arguments]))
elif "install" in arguments and os.environ.get("FAIL") == "pip":
    sys.exit("no such package")
"""


class Place:
    """A folder with stand-ins, and the script run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls"
        standins = folder / "standins"
        standins.mkdir()
        for name, text in (("qbg", QBG), ("python", PYTHON)):
            (standins / name).write_text(text)
            (standins / name).chmod(0o755)
        self.python = standins / "python"
        self.environment = {
            **os.environ, "CALLS": str(self.log), "STANDINS": str(standins), "PYTHON": str(self.python),
        }  # fmt: skip

    def run(self, *options: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *map(str, options)]
        environment = {**self.environment, **more}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=55
        )

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "qbg-1-py3.whl"
    path.write_bytes(b"")
    return path


def commands(text: str) -> list[list[str]]:
    """The printed commands, as a shell would read them."""
    return [shlex.split(line, comments=True) for line in text.splitlines() if line and line[0] != "#"]


def test_without_yes_nothing_happens(place: Place, wheel: Path, photos: Path) -> None:
    before = sorted(place.folder.rglob("*"))
    done = place.run("--wheel", wheel, "--photos", photos, "--workers", "384", "--out", "my results")
    assert done.returncode == 0, done.stderr
    assert place.calls == []
    assert sorted(place.folder.rglob("*")) == before
    printed = commands(done.stdout)
    work = "my results-work"
    assert [f"{work}/venv/bin/python", "-m", "pip"] in [line[:3] for line in printed]
    full, massive = (line for line in printed if line[:2] == [f"{work}/venv/bin/qbg", "bench"])
    assert full[2:7] == ["--full", "--json", "my results/full.json", "--html", "my results/full.html"]
    asked = f"massive_test --workers 384 --model qbg-base --images '{work}/images' --count 38418"
    assert massive[2:11] == shlex.split(asked)
    assert massive[massive.index("--work") + 1] == f"{work}/outputs"


def test_a_checkout_is_built_where_it_lies(place: Place, photos: Path) -> None:
    done = place.run("--photos", photos)
    assert ["make", "-C", str(ROOT), "build-prod", f"PYTHON={place.python}"] in commands(done.stdout)
    assert f"{ROOT}/.venv/bin/qbg" in [line[0] for line in commands(done.stdout)]


def test_coco_is_downloaded_where_no_photos_are_named(place: Place) -> None:
    printed = commands(place.run("--install", "pypi").stdout)
    assert [str(ROOT / "scripts" / "download_coco.sh"), "qbg-results-work"] in printed
    assert ["qbg-results-work/val2017", "qbg-results-work/images"] in [line[2:4] for line in printed]
    assert "qbg" in [line[-1] for line in printed if "pip" in line]


def test_all_of_it(place: Place, wheel: Path, photos: Path) -> None:
    options = ["--yes", "--wheel", wheel, "--photos", photos, "--count", "3", "--workers", "2"]
    options += ["--price-per-hour", "3.84", "--out", "a b"]
    done = place.run(*options)
    assert done.returncode == 0, done.stderr
    out = place.folder / "a b"
    reports = {f"{bench}.{kind}" for bench in ("full", "massive") for kind in ("json", "html", "md", "log")}
    assert reports | {"doctor.txt", "system.txt", "dataset.json", "SHA256SUMS"} <= {
        path.name for path in out.iterdir()
    }
    assert len(list((place.folder / "a b-work" / "images").glob("*.jpg"))) == 3
    assert "said by bench massive_test" in (out / "massive.log").read_text()
    for line in (out / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert not list(out.glob("*.part"))
    with tarfile.open(place.folder / "a b.tar.gz") as packed:
        assert {"a b/massive.json", "a b/SHA256SUMS"} <= set(packed.getnames())
    benches = [call for call in place.calls if call[:2] == ["qbg", "bench"]]
    assert len(benches) == 2
    assert all(call[call.index("--price-per-hour") + 1] == "3.84" for call in benches)
    assert all("--resume" not in call for call in benches)


def test_what_is_printed_is_what_runs(place: Place, wheel: Path, photos: Path) -> None:
    options = ["--wheel", wheel, "--photos", photos, "--count", "2", "--workers", "2", "--out", 'o\'dd "one"']
    planned = commands(place.run(*options).stdout)
    done = place.run("--yes", *options)
    assert done.returncode == 0, done.stderr
    ran = [call[1:] for call in place.calls if call[0] == "qbg"]
    printed = [line[1:] for line in planned if line[0].endswith("/qbg")]
    assert [line[: len(call)] for line, call in zip(printed, ran, strict=True)] == ran


def test_a_second_call_goes_on(place: Place, wheel: Path, photos: Path) -> None:
    options = [
        "--yes",
        "--wheel",
        wheel,
        "--photos",
        photos,
        "--count",
        "2",
        "--workers",
        "1",
        "--massive-only",
    ]
    for _ in range(2):
        assert place.run(*options).returncode == 0
    benches = [call for call in place.calls if call[:2] == ["qbg", "bench"]]
    resume = ["--resume", "qbg-results/massive.json"]
    assert [call[-2:] == resume for call in benches] == [False, True]
    assert sum("venv" in call for call in place.calls) == 1


def test_a_failing_bench_stops_nothing_and_is_told(place: Place, wheel: Path, photos: Path) -> None:
    options = ["--yes", "--wheel", wheel, "--images", photos, "--workers", "1"]
    done = place.run(*options, FAIL="--full")
    assert done.returncode == 1
    assert "exit code 1" in done.stderr
    assert (place.folder / "qbg-results" / "massive.json").exists()
    assert (place.folder / "qbg-results.tar.gz").exists()


def test_a_failing_install_stops_all(place: Place, wheel: Path, photos: Path) -> None:
    done = place.run("--yes", "--wheel", wheel, "--images", photos, FAIL="pip")
    assert done.returncode == 1
    assert "no such package" in done.stderr
    assert not [call for call in place.calls if call[0] == "qbg"]


def test_pictures_are_taken_as_they_are(place: Place, wheel: Path, photos: Path) -> None:
    done = place.run("--yes", "--wheel", wheel, "--images", photos, "--workers", "1", "--massive-only")
    assert done.returncode == 0, done.stderr
    massive = next(call for call in place.calls if "massive_test" in call)
    assert massive[massive.index("--images") + 1] == str(photos)
    assert not [call for call in place.calls if call[-1].endswith(".py")]


@pytest.mark.parametrize(
    "options",
    [
        ["--count", "0"],
        ["--count", "many"],
        ["--workers", "-1"],
        ["--price-per-hour", "cheap"],
        ["--wheel", "nowhere.whl"],
        ["--images", "nowhere"],
        ["--photos", "nowhere"],
        ["--images", ".", "--photos", "."],
        ["--install", "wheel"],
        ["--install", "conda"],
        ["--what"],
        ["--out"],
    ],
)
def test_wrong_usage(place: Place, options: list[str]) -> None:
    done = place.run("--yes", *options)
    assert done.returncode == 2, done.stderr
    assert place.calls == []


def test_help(place: Place) -> None:
    done = place.run("--help")
    assert done.returncode == 0
    assert "massive_test" in done.stdout
