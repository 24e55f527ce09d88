"""rembg's shapes on qbg: its API's types and arguments, its command line, and the second distribution.

That masks and colors equal rembg's own is measured against the real program (docs/rembg.md says when); here
stands what can be proved without it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import qbg
from conftest import ROOT, qbg_command
from qbg.compat import rembg
from qbg.compat.matting import trimap


@pytest.fixture(scope="module")
def session(quick_model):
    """A network that takes brightness for alpha, under a name of one's own files."""
    made = rembg.Session("quick", rembg.Elastic(str(quick_model)))
    yield made
    made.close()


@pytest.fixture
def ramp():
    """Soft everywhere: every alpha that the network can give."""
    rows = np.linspace(0, 255, 64).astype(np.uint8)
    return np.dstack([np.tile(rows, (48, 1)), np.full((48, 64), 90, np.uint8), np.tile(rows[::-1], (48, 1))])


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def encoded(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def test_results_are_of_the_kind_that_came_in(session, ramp):
    as_bytes = rembg.remove(encoded(ramp), session=session)
    assert as_bytes[:8] == b"\x89PNG\r\n\x1a\n"
    as_image = rembg.remove(Image.fromarray(ramp), session=session)
    assert (as_image.mode, as_image.size) == ("RGBA", (64, 48))
    as_array = rembg.remove(ramp, session=session)
    assert as_array.shape == (48, 64, 4)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_bytes))), as_array)
    assert np.array_equal(np.asarray(as_image), as_array)
    assert rembg.remove(Image.fromarray(ramp), session=session, force_return_bytes=True) == as_bytes
    assert rembg.remove(ramp[:, :, 0], session=session, only_mask=True).shape == (48, 64)
    with pytest.raises(ValueError, match="not supported"):
        rembg.remove(12, session=session)


def test_rembgs_positions_of_arguments_are_kept(session, ramp):
    mask = rembg.remove(ramp, False, 240, 10, 10, session, True)
    assert np.array_equal(mask, session.predict(Image.fromarray(ramp))[0])
    assert set(np.unique(rembg.remove(ramp, False, 240, 10, 10, session, True, True))) <= {0, 255}


def test_colors_are_straight_unless_rembgs_way_is_asked_for(session, ramp, monkeypatch):
    straight = rembg.remove(ramp, session=session)
    alpha = straight[:, :, 3:].astype(int)
    seen = alpha[:, :, 0] > 0
    assert np.array_equal(straight[seen][:, :3], ramp[seen])
    wanted = np.where(alpha > 0, np.rint(ramp * alpha / 255), 0)
    multiplied = rembg.remove(ramp, session=session, premultiplied=True)
    assert np.array_equal(multiplied[:, :, :3], wanted)
    monkeypatch.setenv("QBG_REMBG", "flat, premultiplied")
    assert np.array_equal(rembg.remove(ramp, session=session), multiplied)
    kept = rembg.remove(ramp, session=session, putalpha=True)
    assert np.array_equal(kept[:, :, :3], ramp)


def test_a_background_keeps_four_channels(session, ramp):
    alpha = rembg.remove(ramp, session=session, only_mask=True)[:, :, None].astype(int)
    red = np.array([255, 0, 0])
    made = rembg.remove(ramp, session=session, bgcolor=(255, 0, 0, 255))
    assert np.array_equal(made[:, :, 3], np.full((48, 64), 255))
    assert np.array_equal(made[:, :, :3], np.rint((ramp * alpha + red * (255 - alpha)) / 255))
    assert rembg.remove(Image.fromarray(ramp), session=session, bgcolor=(0, 0, 9, 255)).mode == "RGBA"
    bare = rembg.remove(ramp, session=session)
    assert np.array_equal(rembg.remove(ramp, session=session, bgcolor=(9, 9, 9, 0)), bare)


def test_what_is_not_there_is_refused_with_its_reason(session, ramp, monkeypatch):
    with pytest.raises(ValueError, match="ViTMatte isn't part of qbg"):
        rembg.remove(ramp, session=session, vitmatte=True)
    with pytest.raises(ValueError, match="no such model"):
        rembg.new_session("no-such")
    with pytest.raises(qbg.ModelError, match="points or boxes"):
        rembg.new_session("sam")
    with pytest.raises(ValueError, match="model_path"):
        rembg.new_session("u2net_custom")


def test_the_default_model_is_told_once_asked_for(monkeypatch):
    monkeypatch.delenv("QBG_REMBG", raising=False)
    with pytest.warns(rembg.Rembg, match="qbg-base"):
        assert rembg.new_session().model_name == "qbg-base"
    monkeypatch.setenv("QBG_REMBG", "model=qbg-base")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rembg.new_session().model_name == "qbg-base"
    with pytest.warns(rembg.Rembg, match="CPUs"):
        rembg.new_session("qbg-base", providers=["CUDAExecutionProvider"])


def test_a_model_that_is_not_here_is_fetched_with_a_word(monkeypatch, tmp_path):
    monkeypatch.setenv("QBG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QBG_OFFLINE", "1")
    with (
        pytest.warns(rembg.Rembg, match="silueta isn't on this machine: it is being downloaded, 44 MB"),
        pytest.raises(qbg.ModelDownloadError),
    ):
        rembg.new_session("silueta")


def test_a_lone_caller_gets_all_cores_and_a_crowd_a_core_each(quick_model):
    from qbg.elastic import Elastic

    with Elastic(str(quick_model), workers=3) as elastic:
        assert elastic.use(lambda remover: remover.workers) == 1
        assert elastic.use(lambda one: elastic.use(lambda other: (one.workers, other.workers))) == (1, 3)
        assert elastic.use(lambda remover: remover.workers) == 1
    with Elastic(str(quick_model), workers=1) as elastic:
        assert elastic.quick is elastic.wide


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10])
def test_the_trimap_is_eroded_as_defined(size):
    mask = np.random.default_rng(size).choice([0, 128, 250], (24, 31), p=[0.1, 0.05, 0.85]).astype(np.uint8)
    mask[:12, :14] = 0
    made = trimap(mask, 240, 10, size)
    # SciPy's window: its middle is size // 2; outside the picture there is background and no subject.
    window = [
        (y, x) for y in range(-(size // 2), size - size // 2) for x in range(-(size // 2), size - size // 2)
    ]
    if size == 0:
        window = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]

    def everywhere(plane: np.ndarray, y: int, x: int, outside: bool) -> bool:
        return all(
            plane[y + dy, x + dx] if 0 <= y + dy < 24 and 0 <= x + dx < 31 else outside for dy, dx in window
        )

    for y in range(24):
        for x in range(31):
            wanted = 128
            if everywhere(mask > 240, y, x, False):
                wanted = 255
            if everywhere(mask < 10, y, x, True):
                wanted = 0
            assert made[y, x] == wanted


def test_alpha_matting(session):
    pytest.importorskip("pymatting", reason="SKIPPED: no PyMatting: pip install 'qbg[matting]'")
    yy, xx = np.mgrid[:60, :80]
    soft = np.clip((22 - np.hypot(yy - 30, xx - 40)) / 6 + 0.5, 0, 1)[:, :, None]
    picture = np.rint(soft * [250, 250, 240] + (1 - soft) * [5, 8, 10]).astype(np.uint8)
    made = rembg.remove(picture, True, 200, 60, 2, session)
    assert made.shape == (60, 80, 4)
    assert np.abs(made[:, :, 3] / 255 - soft[:, :, 0]).mean() < 0.02
    assert (
        rembg.remove(Image.fromarray(picture), True, session=session, bgcolor=(0, 0, 0, 255)).mode == "RGBA"
    )
    # Nothing is surely subject: the usual way is gone.
    gray = np.full((20, 20, 3), 128, np.uint8)
    assert rembg.remove(gray, alpha_matting=True, session=session).shape == (20, 20, 4)


def test_one_file_through_the_command_line(qbg, photos, quick_model, tmp_path):
    picture = sorted(photos.glob("*.jpg"))[0]
    done = qbg("rembg", "i", "-m", quick_model, picture, tmp_path / "out.any")
    assert done.code == 0, done.err
    assert opened(tmp_path / "out.any").mode == "RGBA"
    assert qbg("rembg", "i", "-m", quick_model, "-om", picture, tmp_path / "mask.png").code == 0
    assert opened(tmp_path / "mask.png").mode == "L"
    refused = qbg("rembg", "i", "-m", quick_model, tmp_path / "mask.png", tmp_path / "mask.png")
    assert (refused.code, "never replaces" in refused.err) == (2, True)
    piped = subprocess.run(
        [*qbg_command(), "rembg", "i", "-m", str(quick_model), "-bgc", "255", "0", "0", "255"],
        input=picture.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert Image.open(io.BytesIO(piped.stdout)).mode in ("RGB", "RGBA")
    for words, message in [
        (["-vm"], "ViTMatte"),
        (["-x", "{"], "isn't JSON"),
        (["-x", '{"bgcolor": 5}'], "not iterable"),
    ]:
        refused = qbg("rembg", "i", "-m", quick_model, *words, picture, tmp_path / "x.png")
        assert (refused.code, message in refused.err) == (2, True), refused.err


def test_a_folder_keeps_its_structure_unless_flat(qbg, photos, quick_model, tmp_path):
    names = [path.name for path in sorted(photos.glob("*.jpg"))[:2]]
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / names[0]).write_bytes((photos / names[0]).read_bytes())
    (tmp_path / "in" / "sub" / names[1]).write_bytes((photos / names[1]).read_bytes())
    stems = [Path(name).stem for name in names]
    done = qbg("rembg", "p", "-m", quick_model, tmp_path / "in", tmp_path / "out")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "sub" / f"{stems[1]}.png").is_file()
    assert qbg("rembg", "p", "-m", quick_model, "--flat", tmp_path / "in", tmp_path / "flat").code == 0
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == sorted(f"{s}.png" for s in stems)
    # Somebody else's picture at an output's place counts as done, as it does for rembg.
    (tmp_path / "other").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "other" / f"{stems[0]}.png")
    assert qbg("rembg", "p", "-m", quick_model, tmp_path / "in", tmp_path / "other").code == 0
    assert opened(tmp_path / "other" / f"{stems[0]}.png").size == (3, 3)
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no picture")
    assert qbg("rembg", "p", "-m", quick_model, tmp_path / "in", tmp_path / "out").code == 1
    assert qbg("rembg", "p", "-m", quick_model, "--exit-zero", tmp_path / "in", tmp_path / "out").code == 0


def test_inputs_are_deleted_only_where_their_outputs_are(qbg, photos, quick_model, tmp_path):
    first, second = sorted(photos.glob("*.jpg"))[:2]
    source = tmp_path / "in"
    source.mkdir()
    for path in (first, second):
        (source / path.name).write_bytes(path.read_bytes())
    (source / "bad.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (3, 3)).save(out / f"{second.stem}.png")
    assert qbg("rembg", "p", "-d", "-m", quick_model, source, out).code == 1
    assert sorted(path.name for path in source.iterdir()) == sorted(["bad.jpg", second.name])
    assert (out / f"{first.stem}.png").is_file()


def test_frames_come_out_in_their_order(quick_model, tmp_path):
    rng = np.random.default_rng(5)
    frames = rng.integers(0, 256, (7, 20, 30, 3), np.uint8)
    command = [*qbg_command(), "rembg", "b", "30", "20", "-m", str(quick_model)]
    done = subprocess.run(
        [*command, "-o", f"{tmp_path}/f/%02d.png"], input=frames.tobytes() + b"rest", capture_output=True
    )
    assert (done.returncode, b"last 4 bytes" in done.stderr) == (1, True)
    session = rembg.Session("quick", rembg.Elastic(str(quick_model)))
    for number, frame in enumerate(frames):
        assert np.array_equal(
            opened(tmp_path / "f" / f"{number:02d}.png"), rembg.remove(frame, session=session)
        )
    streamed = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=True).stdout
    assert streamed == b"".join((tmp_path / "f" / f"{n:02d}.png").read_bytes() for n in range(7))
    wrong = subprocess.run([*command, "-o", "same.png"], input=b"", capture_output=True)
    assert (wrong.returncode, b"same.png" in wrong.stderr) == (2, True)


def test_a_watched_folder_goes_on_until_it_is_stopped(photos, quick_model, tmp_path):
    pytest.importorskip("watchdog", reason="SKIPPED: no watchdog: pip install 'qbg[watch]'")
    picture = sorted(photos.glob("*.jpg"))[0]
    source = tmp_path / "in"
    source.mkdir()
    (source / "first.jpg").write_bytes(picture.read_bytes())
    run = subprocess.Popen(
        [*qbg_command(), "rembg", "p", "-w", "-m", str(quick_model), source, tmp_path / "out"]
    )

    def until(path: Path) -> None:
        end = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end, f"{path} didn't come"
            assert run.poll() is None
            time.sleep(0.05)

    try:
        until(tmp_path / "out" / "first.png")
        (source / "deep").mkdir()
        (source / "deep" / "second.jpg").write_bytes(picture.read_bytes())
        until(tmp_path / "out" / "deep" / "second.png")
        (source / "stop.txt").touch()
        assert run.wait(20) == 0
    finally:
        run.kill()
    assert not (source / "stop.txt").exists()


def test_the_second_distribution_has_rembgs_modules_and_its_command(monkeypatch):
    import tomllib

    home = ROOT / "compat" / "qbg-rembg"
    facts = tomllib.loads((home / "pyproject.toml").read_text())
    assert facts["project"]["scripts"] == {"rembg": "qbg.cli.rembg:main"}
    script = (
        f"import sys; sys.path.insert(0, {str(home)!r}); import rembg; from rembg.bg import remove;"
        "from rembg.session_factory import new_session; from rembg.sessions import sessions_names;"
        "import qbg.compat.rembg as own; assert rembg.remove is own.remove is remove;"
        "assert new_session is rembg.new_session; assert 'u2netp' in sessions_names;"
        "sys.argv = ['rembg', '--version']; from qbg.cli.rembg import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith("rembg, version 2.0.86")) == (0, True), done.stderr


def test_the_shape_of_transparent_background(quick_model, ramp):
    from qbg.compat.transparent_background import Remover

    remover = Remover(ckpt=str(quick_model))
    mask = remover.process(ramp, type="map")
    assert mask.shape == (48, 64, 3)
    assert remover.process(Image.fromarray(ramp)).mode == "RGBA"
    white = remover.process(ramp, type="white")
    assert np.array_equal(white, remover.process(ramp, type="[255, 255, 255]"))
    hard = remover.process(ramp, type="map", threshold=0.5)
    assert np.array_equal(hard, np.where(mask >= 128, 255, 0))
    back = remover.process(ramp, type="map", reverse=True)
    assert np.array_equal(back, 255 - mask)
    for kind in ("green", "blur", "overlay"):
        assert remover.process(ramp, type=kind).shape == (48, 64, 3)
    with pytest.raises(ValueError, match="must be rgba"):
        remover.process(ramp, type="other")
    with pytest.raises(ValueError, match="static"):
        Remover(resize="dynamic")
