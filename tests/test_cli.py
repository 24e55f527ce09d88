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

from conftest import qbg_command
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
    assert summary["model"] == "qbg-base"
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
    with pytest.raises(UsageError, match="must be a folder"):
        read_places([str(photo), str(photo), str(other)], None, None, False, None)
    named = read_places([str(photo)], str(other), None, False, None)
    assert (named.inputs, named.output, named.format) == ([str(photo)], str(other), "png")
    several = read_places([str(photo), str(other), str(tmp_path / "new")], None, None, False, None)
    assert several.output == os.path.join(str(tmp_path / "new"), "")
    assert several.count == 2
    folder = tmp_path / "folder.png"
    for inputs in ([str(photo), str(other)], [str(tmp_path)]):
        with pytest.raises(UsageError, match="name of one picture"):
            read_places(inputs, str(folder), None, False, None)
        assert read_places(inputs, f"{folder}{os.sep}", None, False, None).output == f"{folder}{os.sep}"
    with pytest.raises(UsageError, match="name of one picture"):
        read_places(["*.jpg"], str(folder), None, True, None)
    folder.mkdir()
    assert read_places([str(tmp_path)], str(folder), None, False, None).output == f"{folder}{os.sep}"


def test_the_same_command_again_skips(qbg: Run, picture: Path, tmp_path: Path) -> None:
    for want in ((1, 0), (0, 1)):
        outcome = qbg("remove", picture, tmp_path / "out.png", *QUICK, "--json")
        assert outcome.code == 0, outcome.err
        assert (outcome.summary["done"], outcome.summary["skipped"]) == want


@pytest.mark.parametrize("name", ["b.png", "b.jpg"])
def test_a_second_photo_is_no_output(name: str, qbg: Run, picture: Path) -> None:
    """As after a shell's `*.png` where there are two. Only --overwrite replaces what qbg didn't make."""
    other = picture.with_name(name)
    Image.new("RGB", (30, 20), "red").save(other)
    before = other.read_bytes()
    arguments = ("remove", picture, other, *QUICK, "--background", "white")
    refused = qbg(*arguments, "--json")
    assert refused.code == 1, refused.err
    assert other.read_bytes() == before
    assert refused.summary["failed"][0]["stage"] == "write"
    assert "--overwrite" in refused.err
    assert qbg(*arguments, "--overwrite").code == 0
    assert other.read_bytes() != before


def test_nothing_found_is_said(qbg: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = qbg("remove", empty, tmp_path / "out", *QUICK, "--json")
    assert (done.code, done.summary["images"]) == (0, 0)
    assert f"no pictures found in {empty}" in done.err
    pattern = f"{tmp_path}/*.jpg"
    globbed = qbg("remove", "--glob", pattern, tmp_path / "out", *QUICK)
    assert (globbed.code, globbed.out) == (0, "")
    assert f"no pictures found in {pattern}" in globbed.err
    planned = qbg("remove", empty, tmp_path / "out", "--dry-run")
    assert (planned.code, planned.out) == (0, "")
    assert f"no pictures found in {empty}" in planned.err


def test_json_of_a_streamed_picture(picture: Path, tmp_path: Path) -> None:
    target = tmp_path / "made.png"
    command = [str(Path(sys.executable).with_name("qbg")), "remove", "-", str(target), *QUICK, "--json"]
    done = subprocess.run(command, input=picture.read_bytes(), capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["done"], summary["failed"], summary["workers"]) == (1, 1, [], 1)
    assert summary["pixels"] == 50 * 40
    assert (summary["bytes_in"], summary["bytes_out"]) == (picture.stat().st_size, target.stat().st_size)
    assert summary["stage_seconds"]["decode"] > 0
    bad = subprocess.run([*command, "--overwrite"], input=b"text", capture_output=True, timeout=50)
    assert bad.returncode == 1
    summary = json.loads(bad.stdout)
    assert (summary["done"], summary["failed"][0]["file"], summary["failed"][0]["stage"]) == (
        0,
        "-",
        "decode",
    )


def test_files_that_options_name(qbg: Run, picture: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.png"
    for option in ("--background-image", "--from-file"):
        arguments = [picture] if option == "--background-image" else []
        done = qbg("remove", *arguments, option, absent, "-o", tmp_path / "out", *QUICK)
        assert done.code == 2, done.err
        assert f"{option} {absent}: no such file" in done.err
        assert "hint: " in done.err


def test_messages_name_the_margin(qbg: Run, picture: Path) -> None:
    done = qbg("remove", picture, "--margin", "-3", *QUICK)
    assert done.code == 2
    assert "margin" in done.err
    assert "crop" not in done.err


def test_a_level_that_does_not_exist(qbg: Run, picture: Path) -> None:
    environment = {**os.environ, "QBG_SIMD": "avx1024"}
    for arguments in (("doctor",), ("remove", picture, *QUICK)):
        done = qbg(*arguments, env=environment)
        assert done.code == 2, done.err
        assert "avx1024" in done.err
        assert "Traceback" not in done.err


def test_doctor_tells_a_refused_level(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from qbg import _native
    from qbg.cli import doctor

    def refuse() -> None:
        raise ValueError("no level `avx1024`")

    monkeypatch.setattr(_native, "system", refuse)
    assert doctor.command() == 2
    assert capsys.readouterr().err == "no level `avx1024`\n"


def test_doctor_counts_nodes() -> None:
    from qbg.cli.doctor import _line

    assert _line("nodes", [0]).split(maxsplit=1)[1] == "1 (id 0)"
    assert _line("nodes", [0, 2]).split(maxsplit=1)[1] == "2 (ids 0, 2)"


# Standard files that are full or closed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="SKIPPED: no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        ["--help"],
        ["--version"],
        ["models", "list"],
        ["remove", "photo.png", "out.png", *QUICK, "--json"],
        ["remove", "photo.png", "-", *QUICK],
    ],
)
def test_full_standard_output(arguments: list[str], picture: Path) -> None:
    command = [str(Path(sys.executable).with_name("qbg")), *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=50, cwd=picture.parent
        )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if " done, " not in line]
    assert lines == ["write standard output: No space left on device"]


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: a shell closes the files")
@pytest.mark.parametrize(
    ("arguments", "redirect", "code"),
    [
        ("remove photo.png out.png --json", ">&-", 1),
        ("remove photo.png -", ">&-", 1),
        ("models list", ">&-", 1),
        ("remove photo.png out.png", ">&-", 0),
        ("remove photo.png out.png", "2>&-", 0),
        ("remove photo.png out.png", "<&- >&- 2>&-", 0),
        ("remove photo.png out.png", "2>/dev/full", 0),
        ("remove absent.png out.png", "2>/dev/full", 1),
        ("remove --threshold 300 photo.png", "2>&-", 2),
        ("remove - out.png", "<&-", 1),
    ],
)
def test_closed_standard_files(arguments: str, redirect: str, code: int, picture: Path) -> None:
    program = Path(sys.executable).with_name("qbg")
    shell = f"{program} {arguments} --engine null --workers 1 {redirect}"
    if arguments.startswith("models"):
        shell = f"{program} {arguments} {redirect}"
    # As for most people: what isn't flushed is kept until the end.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=50, cwd=picture.parent, env=buffered
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    if ">&-" in redirect.split() and code == 1:
        assert "write standard output: it is closed" in done.stderr
    if code == 0:
        with Image.open(picture.with_name("out.png")) as cutout:
            cutout.load()


def test_doctor_and_models(qbg: Run) -> None:
    doctor = json.loads(qbg("doctor", "--json").out)
    assert doctor["usable"]
    assert doctor["model"]["name"] == "qbg-base"
    assert doctor["engines"]["onnxruntime"]["version"]
    assert {"cpu", "simd", "cpus_allowed", "nodes", "memory_bytes"} <= doctor["machine"].keys()
    assert "onnxruntime" in qbg("doctor").out
    assert qbg("doctor", "-m", "nothing.onnx").code == 3
    names = [row["name"] for row in json.loads(qbg("models", "list", "--json").out)]
    assert names[0] == "qbg-base"
    assert "built in" in qbg("models", "list").out
    info = json.loads(qbg("models", "info", "qbg-base", "--json").out)
    assert info["recipe"]["height"] == 384
    assert info["license"] == "Apache-2.0"
    for heading in ("## Data", "## Quality", "## Limits"):
        assert heading in info["card"]
        assert heading in qbg("models", "info", "qbg-base").out
    assert info["sha256"] in info["card"]
    assert qbg("models", "info", "nothing").code == 3


def test_version_and_help(qbg: Run) -> None:
    import qbg as package

    assert qbg("--version").out == f"qbg {package.__version__}\n"
    shown = qbg("remove", "--help").out
    options = (
        "--output --model --recipe --engine --only-mask --refine --no-refine --threshold --invert --feather "
        "--post-process --background --background-image --no-decontaminate --keep-hidden --crop --margin "
        "--format --png-level --quality --workers --pin --max-pixels --overwrite --fsync --no-recursive "
        "--from-file --glob --on-collision --fail-fast --dry-run --json --quiet --verbose --journal --resume "
        "--max-memory"
    )
    assert [option for option in options.split() if option not in shown] == []


def _under_way(folder: Path, target: Path, *, copies: int, seconds: float) -> subprocess.Popen[str]:
    """A run over copies of a picture, each `seconds` long, that has written its first output."""
    for copy in range(copies):
        (folder / f"copy{copy}.png").write_bytes((folder / "a.png").read_bytes())
    command = [*qbg_command(), "remove", str(folder), str(target), "--json"]
    command += ["--engine", f"simulated:{seconds}", "--workers", "1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and not list(target.glob("*.png")):
        time.sleep(0.01)
    return running


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_image_in_hand(number: int, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with _under_way(folder, target, copies=200, seconds=0.2) as running:
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


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: terminals and signals are POSIX's")
def test_a_second_signal_shows_the_cursor_again(picture: Path, tmp_path: Path) -> None:
    import pty

    program = str(Path(sys.executable).with_name("qbg"))
    command = [program, "remove", str(picture), str(tmp_path / "out.png"), "--engine", "simulated:50"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL) as running:
        os.close(theirs)
        shown = b""
        while b"\x1b[?25l" not in shown:
            shown += os.read(ours, 4096)
        running.send_signal(signal.SIGINT)
        while b"stopping: " not in shown:
            shown += os.read(ours, 4096)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:
            pass  # Linux says so that the other side is closed
    os.close(ours)
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: signals are POSIX's")
def test_a_signal_while_commands_are_loaded() -> None:
    """The signal comes from within the import of the application."""
    code = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "qbg.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from qbg.cli import main
assert "qbg.cli.exits" not in sys.modules, "too much is loaded before signals are handled"
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


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


def test_a_bundle_tells_no_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    from qbg.cli import doctor

    home = tmp_path / "homes" / "annabel"
    home.mkdir(parents=True)
    monkeypatch.setattr("pathlib.Path.home", lambda: home)
    monkeypatch.setattr("getpass.getuser", lambda: "annabel")
    monkeypatch.setattr("platform.node", lambda: "studio-7")
    monkeypatch.setenv("QBG_HOME", str(home / "secret project"))
    assert doctor.command(model=str(home / "my clients" / "net.onnx"), bundle=str(tmp_path / "b.json")) == 3
    assert "look at it" in capsys.readouterr().err
    text = (tmp_path / "b.json").read_text()
    for told in ("annabel", "studio-7", "clients", str(tmp_path), "homes"):
        assert told not in text
    report = json.loads(text)
    assert "net.onnx" in report["model"]["error"]
    assert report["machine"]["simd"]
    assert report["settings"]["QBG_HOME"] == "secret project"
    assert report["packages"]["onnxruntime"] != "none"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot open /a/b c/d.jpg: denied", "cannot open d.jpg: denied"),
        (r"C:\Users\x\d.jpg", "d.jpg"),
        ("/a/b/", ""),
        ("no path: 1.32.0", "no path: 1.32.0"),
        ("CPython 3.11 on Linux-6.1", "CPython 3.11 on Linux-6.1"),
    ],
)
def test_of_a_path_the_name_is_left(text: str, left: str) -> None:
    from qbg.cli.doctor import private

    assert private({"x": [text]}) == {"x": [left]}


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: signals are POSIX's")
def test_a_suspended_run_goes_on(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with _under_way(folder, target, copies=20, seconds=0.05) as running:
        running.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # what was under way in the kernel ends
        there = len(list(target.rglob("*.png")))
        time.sleep(0.5)
        assert len(list(target.rglob("*.png"))) == there
        running.send_signal(signal.SIGCONT)
        out, err = running.communicate(timeout=40)
    assert running.returncode == 0, err
    summary = json.loads(out)
    assert summary["done"] == summary["images"] > there
    assert len(list(target.rglob("*.png"))) == summary["done"]
