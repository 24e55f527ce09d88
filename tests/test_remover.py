"""The Python interface on the real core: kinds, threads, windows, folders, closing, forking."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import qbg


@pytest.fixture
def remover(quick_model: Path) -> Iterator[qbg.Remover]:
    with qbg.Remover(quick_model, workers=2, pin="off") as made:
        yield made


@pytest.fixture
def array() -> np.ndarray:
    """(40, 48, 3): a slope with a bright disc."""
    y, x = np.mgrid[0:40, 0:48]
    pixels = np.stack([x * 5, y * 6, x + y], axis=2).astype(np.uint8)
    pixels[(x - 24) ** 2 + (y - 20) ** 2 < 150] = (250, 240, 230)
    return pixels


@pytest.fixture
def folder(tmp_path: Path, array: np.ndarray) -> Path:
    source = tmp_path / "in"
    (source / "below").mkdir(parents=True)
    for name in ("a.png", "b.png", "below/c.png"):
        Image.fromarray(array).save(source / name)
    return source


def png(array: np.ndarray) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(array).save(memory, "PNG")
    return memory.getvalue()


def test_each_kind_comes_back(remover: qbg.Remover, array: np.ndarray, tmp_path: Path) -> None:
    want = remover.cutout(array)
    assert want.shape == (40, 48, 4)
    assert want.dtype == np.uint8
    hidden = want[..., 3] == 0
    assert (want[hidden] == 0).all()
    (tmp_path / "x.png").write_bytes(png(array))
    for given in (tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(array)):
        image = remover.cutout(given)
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), want)
    encoded = remover.cutout(png(array))
    assert isinstance(encoded, bytes)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded))), want)
    webp = remover.cutout(png(array), format="webp")
    assert Image.open(io.BytesIO(webp)).format == "WEBP"


def test_mask_is_the_cutouts_alpha(remover: qbg.Remover, array: np.ndarray) -> None:
    mask = remover.mask(array)
    np.testing.assert_array_equal(mask, remover.cutout(array)[..., 3])
    assert remover.mask(Image.fromarray(array)).mode == "L"


def test_options_override_defaults(quick_model: Path, array: np.ndarray) -> None:
    with qbg.Remover(quick_model, workers=1, background="red") as made:
        assert made.cutout(array).shape == (40, 48, 3)
        assert made.cutout(array, background=None).shape == (40, 48, 4)
        assert set(np.unique(made.mask(array, threshold=128))) <= {0, 255}
        with pytest.raises(TypeError, match="no option"):
            made.cutout(array, only_masks=True)


def test_results_are_the_callers_own(remover: qbg.Remover, array: np.ndarray) -> None:
    first = remover.cutout(array)
    kept = first.copy()
    remover.cutout(255 - array)
    np.testing.assert_array_equal(first, kept)
    first[:] = 7
    remover.mask(array)[0, 0] = 7


def test_errors_have_class_stage_and_path(remover: qbg.Remover, tmp_path: Path) -> None:
    with pytest.raises(qbg.InputNotFoundError) as caught:
        remover.cutout(tmp_path / "absent.png")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.path == str(tmp_path / "absent.png")
    with pytest.raises(qbg.InputError) as wrong:
        remover.cutout(b"not a picture")
    assert wrong.value.stage == "decode"
    assert wrong.value.path is None


def test_many_threads(remover: qbg.Remover, array: np.ndarray) -> None:
    pictures = [np.roll(array, shift, axis=1) for shift in range(24)]
    want = [remover.cutout(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as threads:
        for got, expected in zip(threads.map(remover.cutout, pictures), want, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_many_keeps_order_and_window(remover: qbg.Remover, array: np.ndarray) -> None:
    taken = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal taken
        for shift in range(20):
            taken += 1
            yield np.roll(array, shift, axis=1)

    want = [remover.cutout(picture) for picture in pictures()]
    taken = 0
    for number, got in enumerate(remover.cutout_many(pictures())):
        np.testing.assert_array_equal(got, want[number])
        assert taken <= number + 2 * remover.workers
    assert taken == 20
    unordered = [got.tobytes() for got in remover.cutout_many(pictures(), ordered=False)]
    assert sorted(unordered) == sorted(expected.tobytes() for expected in want)


def test_many_with_failures(remover: qbg.Remover, array: np.ndarray) -> None:
    items: list[Any] = [array, b"bad", array, 3]
    results = list(remover.cutout_many(items, errors="return"))
    assert [type(result) for result in results] == [np.ndarray, qbg.InputError, np.ndarray, TypeError]
    stream = remover.cutout_many(items)
    next(stream)
    with pytest.raises(qbg.InputError):
        next(stream)
    with pytest.raises(ValueError, match="raise, return"):
        remover.cutout_many(items, errors="ignore")


def test_many_wants_many(remover: qbg.Remover, array: np.ndarray) -> None:
    for one in ("photo.jpg", b"data", Path("photo.jpg"), array):
        with pytest.raises(TypeError, match="one picture"):
            remover.cutout_many(one)


def test_many_can_be_left_early(remover: qbg.Remover, array: np.ndarray) -> None:
    stream = remover.cutout_many(array for _ in range(1000))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("qbg-many")]


def test_folder(remover: qbg.Remover, folder: Path, tmp_path: Path) -> None:
    (folder / "bad.jpg").write_text("not a picture")
    seen: list[qbg.Progress] = []
    target = tmp_path / "out"
    summary = remover.remove_folder(folder, target, on_progress=seen.append)
    assert (summary.images, summary.done, summary.skipped, len(summary.failed)) == (4, 3, 0, 1)
    assert summary.failed[0].stage == "decode"
    assert summary.failed[0].file == str(folder / "bad.jpg")
    assert summary.failed[0].line.startswith(f"decode {folder / 'bad.jpg'}: ")
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.png")) == [
        "a.png",
        "b.png",
        f"below{os.sep}c.png",
    ]
    assert seen[-1].over == 4
    assert summary.workers == 2
    assert summary.service_s.keys() == {"p50", "p90", "p95", "p99", "max"}
    assert json.loads(json.dumps(summary.to_json()))["failed"][0]["stage"] == "decode"
    again = remover.remove_folder(folder, target)
    assert (again.done, again.skipped, len(again.failed)) == (0, 3, 1)
    other = remover.remove_folder(folder, target, only_mask=True)
    assert other.done == 3, "other options make other outputs"
    assert remover.remove_folder(folder, tmp_path / "flat", recursive=False).done == 2


def test_raising_in_on_progress_cancels(remover: qbg.Remover, folder: Path, tmp_path: Path) -> None:
    def stop(_: qbg.Progress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        remover.remove_folder(folder, tmp_path / "out", on_progress=stop)
    assert remover.remove_folder(folder, tmp_path / "out").images == 3


def test_digest_tells_outputs_apart(remover: qbg.Remover, quick_model: Path) -> None:
    from qbg.options import make_options

    plain = remover.digest()
    assert len(plain) == 32
    assert plain == remover.digest(make_options(None, max_pixels=5))
    assert plain != remover.digest(make_options(None, feather=1.0))
    with qbg.Remover(quick_model, workers=1, engine="null") as other:
        assert other.digest() != plain


def test_close(quick_model: Path, array: np.ndarray) -> None:
    made = qbg.Remover(quick_model, workers=1)
    made.close()
    made.close()
    for use in (lambda: made.cutout(array), lambda: made.cutout_many([array])):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert "closed" in repr(made)
    with pytest.raises(RuntimeError, match="closed"):
        made.__enter__()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"workers": 0}, "workers"),
        ({"pin": "tight"}, "auto, cpu, node, off"),
        ({"engine": "gpu"}, "onnxruntime"),
        ({"threads_per_worker": 0}, "threads"),
        ({"format": "bmp"}, "png, webp"),
    ],
)
def test_wrong_words(options: dict[str, Any], word: str, quick_model: Path) -> None:
    with pytest.raises(ValueError, match=word):
        qbg.Remover(quick_model, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": "2"},
        {"workers": True},
        {"threads_per_worker": "2"},
        {"engine": None},
        {"recipe": 5},
        {"background": 5},
        {"background_image": 5},
        {"feather": "x"},
        {"only_mask": "no"},
        {"crop": "x"},
        {"model": 5},
    ],
)
def test_wrong_types_are_named(options: dict[str, Any], quick_model: Path) -> None:
    (name,) = options
    with pytest.raises(TypeError, match=f"`{name}`"):
        qbg.Remover(**{"model": quick_model, **options})


def test_profile_and_density_are_kept(remover: qbg.Remover, array: np.ndarray) -> None:
    from PIL import ImageCms

    image = Image.fromarray(array)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info.update(icc_profile=profile, dpi=(300, 300))
    cutout = remover.cutout(image)
    assert cutout.info["icc_profile"] == profile
    assert cutout.info["dpi"] == (300, 300)
    assert "icc_profile" not in remover.mask(image).info


@pytest.mark.parametrize(("orientation", "want"), [(1, (300, 150)), (6, (150, 300))])
def test_density_of_a_file_is_kept(
    orientation: int, want: tuple[int, int], remover: qbg.Remover, array: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.jpg"
    Image.fromarray(array).save(path, dpi=(300, 150), exif=exif)
    assert remover.cutout(path).info["dpi"] == pytest.approx(want, rel=0.01)
    with Image.open(path) as image:
        assert remover.cutout(image).info["dpi"] == pytest.approx(want, rel=0.01)
    Image.fromarray(array).save(tmp_path / "plain.png")
    assert "dpi" not in remover.cutout(tmp_path / "plain.png").info


ENDING = """
import sys, threading, time, qbg
from qbg.options import FolderOptions
source, target, way = sys.argv[1:]
remover = qbg.Remover(workers=2, engine="simulated:0.2")
if way == "daemon calls":
    import numpy
    quick = qbg.Remover(workers=1, engine="simulated:0.001")
    def work():
        try:
            while True:
                quick.cutout(numpy.zeros((9, 9, 3), numpy.uint8))
        except RuntimeError as error:
            assert "ending" in str(error), error
    threading.Thread(target=work, daemon=True).start()
    time.sleep(0.5)
if way == "daemon":
    work = threading.Thread(target=remover.remove_folder, args=(source, target), daemon=True)
    work.start()
else:
    batch = remover.start([source], target + "/", FolderOptions())
import pathlib
while not list(pathlib.Path(target).glob("*.png")):
    time.sleep(0.01)
if way == "raise":
    raise LookupError("enough")
"""


@pytest.mark.parametrize(("way", "code"), [("end", 0), ("daemon", 0), ("daemon calls", 0), ("raise", 1)])
def test_the_interpreter_ends_with_a_live_batch(
    way: str, code: int, array: np.ndarray, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(100):
        Image.fromarray(array).save(source / f"{number}.png")
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(source), str(target), way],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == code, done.stderr
    assert "Fatal Python error" not in done.stderr
    assert "panicked" not in done.stderr
    assert ("LookupError: enough" in done.stderr) == (way == "raise")
    names = [path.name for path in target.iterdir()]
    assert 0 < len(names) < 100
    assert all(name.endswith(".png") for name in names), "nothing partial is left"


FORKING = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, qbg
picture = np.zeros((8, 8, 3), np.uint8)
model = sys.argv[1]
made = qbg.Remover(model, workers=1)
qbg.remove(picture, model)
child = os.fork()
if child == 0:
    try:
        made.cutout(picture)
    except RuntimeError as error:
        assert "fork" in str(error)
    else:
        os._exit(3)
    made.close()
    assert qbg.remove(picture, model).shape == (8, 8, 4)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SKIPPED: fork is POSIX's")
def test_fork(quick_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(quick_model)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr


def test_remove_keeps_one_remover_for_a_model(
    quick_model: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qbg import remover as module

    made: list[qbg.Remover] = []

    class Counted(module.Remover):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(module, "Remover", Counted)
    monkeypatch.setattr(module, "_shared", {})
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: qbg.remove(array, quick_model, invert=True), range(8)))
    assert len(made) == 1
    assert all((result == results[0]).all() for result in results)
    assert not (qbg.remove(array, quick_model) == results[0]).all(), "options don't stick"
    made[0].close()


WORKING = """
import multiprocessing, sys
import numpy as np, qbg
picture = np.zeros((8, 8, 3), np.uint8)

def work(model):
    with qbg.Remover(model, workers=1) as remover:
        return remover.cutout(picture).shape

if __name__ == "__main__":
    model, method = sys.argv[1:]
    qbg.remove(picture, model)  # threads live in the parent
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(work, [model] * 4) == [(8, 8, 4)] * 4
"""


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: the ways to start a process are POSIX's")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_each_make_their_own(method: str, quick_model: Path, tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(WORKING)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(quick_model), method],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import qbg
made = interpreters.create()
code = '''
try:
    from qbg import _native
except ImportError as error:
    assert "subinterpreter" in str(error), error
'''
failed = interpreters.run_string(made, code)
assert not failed, failed
interpreters.destroy(made)
from qbg import _native
assert _native.system()
"""


def test_a_subinterpreter_is_refused_or_works() -> None:
    done = subprocess.run([sys.executable, "-c", SUBINTERPRETER], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "panicked" not in done.stderr


DROPPED = """
import gc, sys, threading, numpy as np, qbg
picture = np.zeros((8, 8, 3), np.uint8)
for _ in range(5):
    remover = qbg.Remover(workers=2, engine="simulated:0.01")
    threads = [threading.Thread(target=remover.cutout, args=(picture,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    del remover  # while they work
    gc.collect()
    for thread in threads:
        thread.join()
    remover = qbg.Remover(workers=2, engine="simulated:0.01")
    left = remover.cutout_many([picture] * 50)
    next(left)
    del left, remover
    gc.collect()
    remover = qbg.Remover(workers=2, engine="simulated:0.01")
    threads = [threading.Thread(target=remover.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("alive")
"""


def test_dropped_and_closed_while_working() -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "alive\n"


def test_the_first_failure_stops_even_if_nothing_has_begun_yet(
    photos: Path, quick_model: Path, tmp_path: Path
) -> None:
    """The very first picture fails while the batch is still being set up: that must not be lost."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "000.jpg").write_bytes(b"no picture")
    tiny = Image.new("RGB", (8, 8), (200, 100, 50))
    for number in range(1, 200):
        tiny.save(source / f"{number:03d}.png")
    with qbg.Remover(quick_model, workers=2) as remover:
        for attempt in range(60):
            summary = remover.remove_folder(source, tmp_path / f"out{attempt}", fail_fast=True)
            assert len(summary.failed) == 1
            assert summary.done < 199, attempt
