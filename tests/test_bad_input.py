"""Bad input through the real program: one line for each bad file, the good ones done, nothing left over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bad_files
import graphs
from conftest import Outcome, digests, qbg_command
from qbg.report.console import FAILURES_SHOWN

Run = Callable[..., Outcome]


def whole_outputs(folder: Path) -> list[str]:
    """Names of all files below, each of which must be a whole PNG."""
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        assert path.suffix == ".png", f"not an output: {path!r}"
        with Image.open(path) as image:
            image.load()
        names.append(os.fsencode(path).decode("utf-8", "replace"))
    return names


def failure_line(stage: str, stem: str) -> re.Pattern[str]:
    """`stage path: what happened`, all on one line."""
    return re.compile(rf"^\W*{re.escape(stage)} [^\n]*{re.escape(stem)}[^\n]*: \S", re.MULTILINE)


@pytest.fixture(scope="module")
def bad_run(
    qbg: Run, quick_model: Path, obeying: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Outcome, Path, list[bad_files.Bad], list[str], bool]]:
    """One batch over everything: its outcome, the outputs, what was bad, what was good, inputs unchanged."""
    root = tmp_path_factory.mktemp("bad")
    source, target = root / "in", root / "out"
    bad = bad_files.make(source)
    good = bad_files.write_good(source)
    before = digests(source)
    outcome = qbg("remove", source, target, "-m", quick_model, "--workers", "2", "--json", **obeying)
    yield outcome, target, bad, good, digests(source) == before
    (source / "secret.jpg").chmod(0o600)


def test_every_bad_file_is_reported_and_nothing_else(bad_run: Any) -> None:
    outcome, _, bad, _, _ = bad_run
    summary = outcome.summary
    assert outcome.code == 1
    left = {os.fsdecode(failure["file"]): failure for failure in summary["failed"]}
    problems = []
    for entry in bad:
        mine = [name for name in left if entry.stem in name]
        if not mine and entry.may_pass:
            continue
        if len(mine) != 1:
            problems.append(f"{entry.stem} ({entry.wrong}): {len(mine)} reports")
            continue
        failure = left.pop(mine[0])
        message = failure["message"].lower()
        if failure["stage"] not in entry.stages:
            problems.append(f"{entry.stem} ({entry.wrong}): stage {failure['stage']}: {message}")
        elif entry.says and not any(word in message for word in entry.says):
            problems.append(f"{entry.stem} ({entry.wrong}): says {message!r}")
        elif "internal error" in message or "panick" in message:
            problems.append(f"{entry.stem} ({entry.wrong}): {message}")
    problems += [f"good file reported: {failure}" for failure in left.values()]
    assert not problems, "\n".join(problems)


def test_each_failure_is_one_line_on_standard_error(bad_run: Any) -> None:
    outcome, _, bad, _, _ = bad_run
    reported = {
        entry.stem: f["stage"] for entry in bad for f in outcome.summary["failed"] if entry.stem in f["file"]
    }
    assert reported
    missing = [stem for stem, stage in reported.items() if not failure_line(stage, stem).search(outcome.err)]
    # A long list is cut on the terminal; --json, read above, has all of it.
    cut = max(0, len(outcome.summary["failed"]) - FAILURES_SHOWN)
    assert len(missing) <= cut, f"no line for {missing} in:\n{outcome.err}"
    assert f"and {cut} more failures" in outcome.err
    assert "hint: " in outcome.err
    assert "Traceback" not in outcome.err


def test_good_files_beside_the_bad_are_done(bad_run: Any) -> None:
    outcome, target, bad, good, _ = bad_run
    names = whole_outputs(target)
    for stem in good:
        assert len([name for name in names if stem in name]) == 1, f"{stem} in {names}"
    harmless = [entry.stem for entry in bad if entry.may_pass]
    assert all(any(stem in name for stem in good + harmless) for name in names), names
    summary = outcome.summary
    assert summary["done"] == len(names)
    assert summary["images"] == summary["done"] + len(summary["failed"])


def test_inputs_are_untouched(bad_run: Any) -> None:
    assert bad_run[4]


def test_bombs_are_not_unpacked(bad_run: Any, qbg: Run, quick_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.png").write_bytes(bad_files.encoded("PNG"))
    plain = qbg("remove", tmp_path / "in", tmp_path / "out", "-m", quick_model, "--workers", "2", "--json")
    grown = bad_run[0].summary["peak_rss_bytes"] - plain.summary["peak_rss_bytes"]
    # Each zip bomb alone would need UNPACKED, each header bomb 10 GB; a profile may take its cap of 16 MB.
    assert grown < bad_files.UNPACKED // 2


def test_a_single_bad_file_says_what_to_do(qbg: Run, quick_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bomb.ppm").write_bytes(b"P6\n60000 60000\n255\n")
    outcome = qbg("remove", tmp_path / "bomb.ppm", tmp_path / "bomb.png", "-m", quick_model)
    assert outcome.code == 1
    assert failure_line("decode", "bomb.ppm").search(outcome.err), outcome.err
    assert "--max-pixels" in outcome.err
    assert not (tmp_path / "bomb.png").exists()


def test_absent_input(qbg: Run, quick_model: Path, tmp_path: Path) -> None:
    outcome = qbg("remove", tmp_path / "nothing.jpg", tmp_path / "out.png", "-m", quick_model)
    assert outcome.code in (1, 2)
    assert "nothing.jpg" in outcome.err
    assert "Traceback" not in outcome.err


def test_files_removed_and_truncated_while_the_batch_runs(qbg: Run, photos: Path, tmp_path: Path) -> None:
    """With the real network on one worker there is a third of a second per photo to do it in."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(8):
        shutil.copy(photos / "coat.jpg", source / f"coat{number}.jpg")
    command = [*qbg_command(), "remove", str(source), str(target), "--workers", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not (target.exists() and list(target.glob("*.png"))):
            time.sleep(0.005)
        victims = [path for path in sorted(source.iterdir()) if not (target / f"{path.stem}.png").exists()][
            -2:
        ]
        victims[0].write_bytes(victims[0].read_bytes()[:3000])
        victims[1].unlink()
        out, err = running.communicate(timeout=50)
    summary = Outcome(running.returncode, out, err).summary
    assert running.returncode == 1, err
    stages = {Path(failure["file"]).name: failure["stage"] for failure in summary["failed"]}
    assert stages.keys() == {path.name for path in victims}
    assert stages[victims[0].name] in ("map", "decode")
    assert stages[victims[1].name] in ("discover", "map")
    assert len(whole_outputs(target)) == summary["done"] == 6


# Outputs that can't be written


@pytest.fixture
def good_folder(tmp_path: Path) -> Path:
    """Ten pictures whose cut-outs don't compress well."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        noise = Image.frombytes("RGB", (160, 120), os.urandom(160 * 120 * 3))
        noise.save(folder / f"noise{number}.png")
    return folder


def test_output_folder_that_may_not_be_written(
    qbg: Run, quick_model: Path, obeying: dict[str, Any], good_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    target.mkdir(mode=0o555)
    outcome = qbg("remove", good_folder, target, "-m", quick_model, "--json", **obeying)
    target.chmod(0o755)
    assert outcome.code == 1
    assert {failure["stage"] for failure in outcome.summary["failed"]} == {"write"}
    assert len(outcome.summary["failed"]) == 10
    assert "denied" in outcome.err
    assert not list(target.iterdir())


def assert_disk_full(outcome: Outcome, target: Path) -> None:
    """Some were done before it was full; each other has its line; no temporary file is left."""
    summary = outcome.summary
    assert outcome.code == 1
    assert 0 < summary["done"] < 10
    assert {failure["stage"] for failure in summary["failed"]} == {"write"}
    assert len(whole_outputs(target)) == summary["done"]


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: tmpfs is Linux's")
def test_full_disk(qbg: Run, quick_model: Path, good_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "qbg-test", target], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"SKIPPED: no small disk to fill, mount says: {mounted.stderr.decode().strip()}")
    try:
        outcome = qbg("remove", good_folder, target, "-m", quick_model, "--json")
        assert_disk_full(outcome, target)
        assert "hint: free some space" in outcome.err
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="SKIPPED: file size limits are tested on Linux only")
def test_write_that_fails_half_way(qbg: Run, quick_model: Path, good_folder: Path, tmp_path: Path) -> None:
    """The stand-in for a full disk where nothing may be mounted: files may not grow beyond 40 kB."""
    Image.new("RGB", (16, 16), "red").save(good_folder / "noise0.png")
    target = tmp_path / "out"

    import resource  # POSIX only

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    outcome = qbg("remove", good_folder, target, "-m", quick_model, "--json", preexec_fn=limit)
    assert_disk_full(outcome, target)


# Models that can't be used


@pytest.mark.parametrize("fault", ["absent", "corrupt", "empty", "a folder", "two inputs", "no map"])
def test_model_that_cannot_be_used(fault: str, qbg: Run, photos: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    if fault == "corrupt":
        model.write_bytes(b"\x08\x08" + os.urandom(2000))
    elif fault == "empty":
        model.touch()
    elif fault == "a folder":
        model.mkdir()
    elif fault == "two inputs":
        graphs.two_inputs(model)
    elif fault == "no map":
        graphs.flat_output(model)
    outcome = qbg("remove", photos, tmp_path / "out", "-m", model)
    assert outcome.code == 3, outcome.err
    assert re.search(r"^\W*(model|engine) [^\n]*model\.onnx[^\n]*: \S", outcome.err, re.MULTILINE), (
        outcome.err
    )
    assert "hint: " in outcome.err
    assert "Traceback" not in outcome.err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_unknown_model_name_lists_the_known_ones(qbg: Run, photos: Path, tmp_path: Path) -> None:
    outcome = qbg("remove", photos, tmp_path / "out", "-m", "u3net")
    assert outcome.code == 3
    assert "u3net" in outcome.err
    assert "u2netp" in outcome.err
