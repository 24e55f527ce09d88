"""The command line through the installed program: places, formats, exit codes, JSON, signals."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qbg.cli.exits import UsageError
from qbg.cli.places import read_places

Run = Callable[..., Any]
QUICK = ("--engine", "null", "--workers", "1")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.linear_gradient("L").convert("RGB").resize((50, 40)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, picture: Path) -> Path:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    for name in ("a.png", "b.png", "below/c.png"):
        (source / name).write_bytes(picture.read_bytes())
    return source


def test_without_out_it_lies_beside(qbg: Run, picture: Path) -> None:
    done = qbg("remove", picture, *QUICK)
    assert done.code == 0, done.err
    with Image.open(picture.with_name("photo.cutout.png")) as cutout:
        assert cutout.mode == "RGBA"
    assert done.out == ""
    assert "1 done" in done.err


def test_format_by_name_of_out(qbg: Run, picture: Path, tmp_path: Path) -> None:
    for name, kind in (("x.webp", "WEBP"), ("x.tif", "TIFF"), ("x.png", "PNG")):
        assert qbg("remove", picture, tmp_path / name, *QUICK).code == 0
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    done = qbg("remove", picture, tmp_path / "x.jpg", "--background", "white", *QUICK)
    assert done.code == 0, done.err
    with Image.open(tmp_path / "x.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")


def test_folder_json_and_resume(qbg: Run, folder: Path, tmp_path: Path) -> None:
    done = qbg("remove", folder, tmp_path / "out", *QUICK, "--json")
    summary = done.summary
    assert done.code == 0, done.err
    assert (summary["images"], summary["done"], summary["failed"]) == (3, 3, [])
    assert summary["model"] == "u2netp"
    assert summary["engine"] == "null"
    assert (tmp_path / "out" / "below" / "c.png").exists()
    again = qbg("remove", folder, tmp_path / "out", *QUICK, "--json").summary
    assert (again["done"], again["skipped"]) == (0, 3)
    forced = qbg("remove", folder, tmp_path / "out", *QUICK, "--json", "--overwrite").summary
    assert forced["done"] == 3


def test_lists_globs_and_no_recursive(qbg: Run, folder: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text(f"{folder / 'a.png'}\n{folder / 'b.png'}\n")
    listed = qbg("remove", "--from-file", names, tmp_path / "one", *QUICK, "--json")
    assert listed.summary["done"] == 2, listed.err
    globbed = qbg("remove", "--glob", f"{folder}/**/c.png", tmp_path / "two", *QUICK, "--json")
    assert globbed.summary["done"] == 1, globbed.err
    flat = qbg("remove", folder, tmp_path / "three", "--no-recursive", *QUICK, "--json")
    assert flat.summary["done"] == 2, flat.err


def test_dry_run_writes_nothing(qbg: Run, folder: Path, tmp_path: Path) -> None:
    done = qbg("remove", folder, tmp_path / "out", "--dry-run")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 3
    assert f"{folder / 'a.png'} -> {tmp_path / 'out' / 'a.png'}" in done.out
    assert not (tmp_path / "out").exists()


def test_streams(picture: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("qbg")), "remove"]
    data = picture.read_bytes()
    done = subprocess.run([*command, "-", "-", *QUICK], input=data, capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.mode == "RGBA"
    out = subprocess.run([*command, str(picture), "-", *QUICK], capture_output=True, timeout=50)
    assert out.stdout == done.stdout
    target = tmp_path / "made.webp"
    into = subprocess.run([*command, "-", str(target), *QUICK], input=data, capture_output=True, timeout=50)
    assert into.returncode == 0, into.stderr
    with Image.open(target) as image:
        assert image.format == "WEBP"
    bad = subprocess.run([*command, "-", "-", *QUICK], input=b"text", capture_output=True, timeout=50)
    assert bad.returncode == 1
    assert bad.stderr.startswith(b"decode: ")
    assert bad.stdout == b""


def test_closed_pipe_is_quiet(picture: Path) -> None:
    command = [str(Path(sys.executable).with_name("qbg")), "remove", str(picture), "-", *QUICK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["photo.png", "--threshold", "300"],
        ["photo.png", "out.jpg"],
        ["photo.png", "out.bmp"],
        ["photo.png", "out.png", "--format", "webp"],
        ["photo.png", "--background", "nocolor"],
        ["photo.png", "--engine", "nothing"],
        ["photo.png", "--pin", "tight"],
        ["photo.png", "--workers", "0"],
        ["photo.png", "--unknown"],
        ["a.png", "b.png", "c.png"],
        ["--glob", "--from-file", "x", "out"],
        ["-", "-", "--json"],
        [],
    ],
)
def test_usage_ends_with_2(arguments: list[str], qbg: Run, picture: Path) -> None:
    done = qbg("remove", *arguments, cwd=picture.parent)
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


def test_failures_end_with_1_and_models_with_3(qbg: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.jpg").write_text("text")
    done = qbg("remove", folder, tmp_path / "out", *QUICK)
    assert done.code == 1
    assert f"decode {folder / 'bad.jpg'}: " in done.err
    assert "hint: " in done.err
    assert "3 done, 0 skipped, 1 failed" in done.err
    for model in ("nothing", "nothing.onnx"):
        assert qbg("remove", folder, tmp_path / "no", "-m", model).code == 3
    assert not (tmp_path / "no").exists()


def test_last_of_several_is_out_only_where_that_is_safe(tmp_path: Path) -> None:
    photo, other = tmp_path / "a.jpg", tmp_path / "b.png"
    photo.touch()
    other.touch()
    with pytest.raises(UsageError, match="exists already"):
        read_places([str(photo), str(other)], None, None, False, None, False)
    with pytest.raises(UsageError, match="must be a folder"):
        read_places([str(photo), str(photo), str(other)], None, None, False, None, True)
    named = read_places([str(photo)], str(other), None, False, None, False)
    assert (named.inputs, named.output, named.format) == ([str(photo)], str(other), "png")
    several = read_places([str(photo), str(other), str(tmp_path / "new")], None, None, False, None, False)
    assert several.output == os.path.join(str(tmp_path / "new"), "")
    assert several.count == 2


def test_doctor_and_models(qbg: Run) -> None:
    doctor = json.loads(qbg("doctor", "--json").out)
    assert doctor["usable"]
    assert doctor["model"]["name"] == "u2netp"
    assert doctor["engines"]["onnxruntime"]["version"]
    assert {"cpu", "simd", "cpus_allowed", "nodes", "memory_bytes"} <= doctor["machine"].keys()
    assert "onnxruntime" in qbg("doctor").out
    assert qbg("doctor", "-m", "nothing.onnx").code == 3
    names = [row["name"] for row in json.loads(qbg("models", "list", "--json").out)]
    assert names[0] == "u2netp"
    assert "built in" in qbg("models", "list").out
    info = json.loads(qbg("models", "info", "u2netp", "--json").out)
    assert info["recipe"]["height"] == 320
    assert info["license"] == "Apache-2.0"
    assert qbg("models", "info", "nothing").code == 3


def test_version_and_help(qbg: Run) -> None:
    import qbg as package

    assert qbg("--version").out == f"qbg {package.__version__}\n"
    shown = qbg("remove", "--help").out
    options = (
        "--output --model --recipe --engine --only-mask --threshold --invert --feather --post-process "
        "--background --background-image --no-decontaminate --keep-hidden --crop --margin --format "
        "--png-level --quality --workers --pin --max-pixels --overwrite --fsync --no-recursive --from-file "
        "--glob --on-collision --fail-fast --dry-run --json --quiet --verbose"
    )
    assert [option for option in options.split() if option not in shown] == []


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_image_in_hand(number: int, folder: Path, tmp_path: Path) -> None:
    for copy in range(200):
        (folder / f"copy{copy}.png").write_bytes((folder / "a.png").read_bytes())
    target = tmp_path / "out"
    command = [str(Path(sys.executable).with_name("qbg")), "remove", str(folder), str(target), "--json"]
    command += ["--engine", "simulated:0.2", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not list(target.glob("*.png")):
            time.sleep(0.01)
        running.send_signal(number)
        out, err = running.communicate(timeout=40)
    assert running.returncode == 130, err
    summary = json.loads(out)
    assert summary["cancelled"]
    assert 0 < summary["done"] < 203
    written = [path for path in target.rglob("*") if path.is_file()]
    assert len(written) == summary["done"]
    assert "stopped: " in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: signals are POSIX's")
def test_a_second_signal_leaves_at_once(picture: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("qbg")), "remove", str(picture), str(tmp_path / "out.png")]
    command += ["--engine", "simulated:50", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        time.sleep(2.0)
        running.send_signal(signal.SIGINT)
        line = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        assert line.startswith(("stopping: ", "interrupted")), line
        assert "Traceback" not in running.stderr.read()
    assert not (tmp_path / "out.png").exists()


def test_a_bug_says_so(qbg: Run, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner  # noqa: TID251

    from qbg.cli import work
    from qbg.cli.app import app

    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(work, "run_batch", broken)
    result = CliRunner().invoke(app, ["remove", str(picture), *QUICK])
    assert result.exit_code == 1
    assert "this is a bug in qbg" in result.output
    assert "Traceback" not in result.output
