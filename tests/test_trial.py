"""Measured batches: repeated inputs, arrivals, batches without pictures, and what each image leaves.

The core is driven directly, with callables in the place of a network. Nothing here asserts how long
anything takes, only the order in which moments lie.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qbg import Remover
from qbg._native import SAMPLE_COLUMNS, Core, Run, Slot, system
from qbg.options import FolderOptions, Options
from qbg.recipe import Recipe
from qbg.trial import Trial

TINY = Recipe(height=8, width=8, filter="bilinear")
ROW = np.dtype([(name, np.uint64) for name in SAMPLE_COLUMNS])
STAGES = ("discover", "map", "decode", "preprocess", "infer", "mask", "composite", "encode", "write")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures, two of them in a folder below."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for index, name in enumerate(("a", "b", "c", "deep/d", "deep/e")):
        Image.new("RGB", (6 + index, 5), (index, 100, 200)).save(folder / f"{name}.png")
    return folder


def nothing() -> None:
    """An infer that leaves the output as it is."""


@contextmanager
def core(
    make_worker: Callable[[Slot], Callable[..., None]] = lambda slot: nothing,
    workers: int = 2,
    **options: Any,
) -> Iterator[Core]:
    made = Core(TINY, (1, 8, 8), make_worker, workers=workers, **options)
    try:
        yield made
    finally:
        made.close()


def begin(
    made: Core,
    inputs: list[Path] | list[str],
    output: Path | None,
    trial: Trial | None,
    options: Options | None = None,
    **folder: Any,
) -> Run:
    chosen = FolderOptions(**{"overwrite": True, **folder})
    target = None if output is None else f"{output}/"
    return made.run([str(path) for path in inputs], target, options or Options(), chosen, "test", trial)


def rows(run: Run, start: int = 0) -> Any:
    while not run.poll(0.2):
        pass
    return np.frombuffer(run.samples(start), ROW)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


ROUND = ("a.png", "b.png", "c.png", "deep/d.png", "deep/e.png")


def below(number: int) -> set[str]:
    return {name if number == 0 else f"round-{number}/{name}" for name in ROUND}


def test_the_columns_are_those_of_the_contract() -> None:
    facts = (
        "index",
        "worker",
        "arrival_ns",
        "begin_ns",
        "end_ns",
        "status",
        "pixels",
        "bytes_in",
        "bytes_out",
    )
    assert (*facts, *(f"{stage}_ns" for stage in STAGES)) == SAMPLE_COLUMNS


def test_each_image_leaves_a_row(pictures: Path, tmp_path: Path) -> None:
    with core() as made:
        run = begin(made, [pictures], tmp_path / "out", Trial())
        table = rows(run)
        summary = run.summary()
        assert len(rows(run, 3)) == 2
        assert len(rows(run, 99)) == 0
    assert sorted(table["index"]) == [0, 1, 2, 3, 4]
    assert set(table["worker"]) <= {0, 1}
    assert Counter(table["worker"].tolist()) == {
        worker: jobs for worker, jobs in enumerate(summary["jobs"]) if jobs
    }
    assert set(table["status"]) == {0}
    assert set(table["arrival_ns"]) == {0}
    assert sorted(table["pixels"]) == [30, 35, 40, 45, 50]
    ordered = table[np.argsort(table["index"])]
    assert [int(row["bytes_in"]) for row in ordered] == [(pictures / name).stat().st_size for name in ROUND]
    written = [(tmp_path / "out" / name).stat().st_size for name in ROUND]
    assert [int(row["bytes_out"]) for row in ordered] == written
    stages = sum(table[f"{stage}_ns"] for stage in STAGES)
    assert (table["begin_ns"] + stages <= table["end_ns"]).all(), "stages lie within begin and end"
    assert (table["end_ns"] <= summary["seconds"] * 1e9).all()
    for stage in STAGES:
        assert table[f"{stage}_ns"].sum() / 1e9 == pytest.approx(summary["stage_seconds"][stage])
    for worker in (0, 1):
        mine = table[table["worker"] == worker]
        assert (mine["end_ns"][:-1] <= mine["begin_ns"][1:]).all(), "one at a time"


def test_a_batch_without_a_trial_keeps_no_rows(pictures: Path, tmp_path: Path) -> None:
    with core() as made:
        run = begin(made, [pictures], tmp_path / "out", None)
        while not run.poll(0.2):
            pass
        with pytest.raises(ValueError, match="trial"):
            run.samples()


def test_rows_come_after_the_end(pictures: Path, tmp_path: Path) -> None:
    go = threading.Event()

    def make_worker(slot: Slot):
        def infer() -> None:
            assert go.wait(50)

        return infer

    with core(make_worker) as made:
        run = begin(made, [pictures], tmp_path / "out", Trial())
        with pytest.raises(RuntimeError, match="end"):
            run.samples()
        go.set()
        assert len(rows(run)) == 5


@pytest.mark.parametrize("kind", ["folder", "globs", "list"])
def test_inputs_are_taken_again(kind: str, pictures: Path, tmp_path: Path) -> None:
    inputs, folder = [pictures], {}
    if kind == "globs":
        inputs, folder = [pictures / "**" / "*.png"], {"inputs_are": "globs"}
    elif kind == "list":
        names = tmp_path / "names"
        names.write_text("\n".join(ROUND))
        inputs, folder = [names], {"inputs_are": "list"}
    out = tmp_path / "out"
    with core() as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(pictures)
        run = begin(made, inputs, out, Trial(count=12), **folder)
        assert run.progress()[3] == 12
        table = rows(run)
    assert sorted(table["index"]) == list(range(12))
    expected = below(0) | below(1) | {"round-2/a.png", "round-2/b.png"}
    assert files(out) == expected
    assert run.summary()["done"] == 12


def test_fewer_than_there_are(pictures: Path, tmp_path: Path) -> None:
    with core() as made:
        assert len(rows(begin(made, [pictures], tmp_path / "out", Trial(count=2)))) == 2
    assert files(tmp_path / "out") == {"a.png", "b.png"}


def test_outputs_below_the_inputs_are_not_taken_for_inputs(pictures: Path) -> None:
    """OUT inside IN, and OUT = IN: no round eats what another has written."""
    with core() as made:
        run = begin(made, [pictures], pictures / "out", Trial(count=15))
        rows(run)
        assert files(pictures / "out") == below(0) | below(1) | below(2)
        for path in sorted((pictures / "out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (pictures / "out").rmdir()
        table = rows(begin(made, [pictures], pictures, Trial(count=15)))
    assert len(table) == 15
    assert set(table["status"]) == {0}
    cutouts = {name.replace(".png", ".cutout.png") for name in below(0) | below(1) | below(2)}
    assert files(pictures) == cutouts | set(ROUND)


def test_several_inputs_and_a_single_one(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with core() as made:
        rows(begin(made, [pictures / "a.png", pictures / "b.png"], out, Trial(count=3)))
        assert files(out) == {"a.png", "b.png", "round-1/a.png"}
        rows(begin(made, [pictures / "c.png"], out, Trial(count=3)))
        assert files(out) >= {"c.png", "round-1/c.png", "round-2/c.png"}


def test_an_empty_folder_ends(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with core() as made:
        assert len(rows(begin(made, [tmp_path / "in"], tmp_path / "out", Trial(count=7)))) == 0


@pytest.mark.parametrize(
    ("keep_every", "kept"), [(1, {0, 1, 2, 3, 4, 5, 6}), (3, {0, 3, 6}), (100, {0}), (0, set())]
)
def test_some_outputs_stay(keep_every: int, kept: set[int], pictures: Path, tmp_path: Path) -> None:
    with core() as made:
        run = begin(made, [pictures], tmp_path / "out", Trial(count=7, keep_every=keep_every))
        table = rows(run)
    names = [*ROUND, "round-1/a.png", "round-1/b.png"]
    assert files(tmp_path / "out") == {names[index] for index in kept}
    assert (table["bytes_out"] > 0).all()
    assert (table["write_ns"] > 0).all(), "each was written"
    assert run.summary()["done"] == 7


def test_an_output_that_was_there_already_stays(pictures: Path, tmp_path: Path) -> None:
    with core() as made:
        rows(begin(made, [pictures], tmp_path / "out", Trial(count=3)))
        table = rows(begin(made, [pictures], tmp_path / "out", Trial(keep_every=0), overwrite=False))
    assert files(tmp_path / "out") == {"a.png", "b.png", "c.png"}
    assert sorted(table["status"]) == [0, 0, 1, 1, 1]


def test_failures_have_rows_and_indices_of_their_own(pictures: Path, tmp_path: Path) -> None:
    (pictures / "b.png").write_bytes(b"no picture")
    (pictures / "c.jpg").write_bytes(b"claims the name of c.png")
    with core(workers=1) as made:
        run = begin(made, [pictures], tmp_path / "out", Trial(count=8))
        table = rows(run)
    # a, b (broken), c and c (clash), d, e; and again a, b.
    assert table["index"].tolist() == list(range(8))
    assert table["status"].tolist() == [0, 2, 2, 2, 0, 0, 0, 2]
    assert [failure.stage for failure in run.failures()] == ["decode", "discover", "discover", "decode"]


def test_cancel_lets_the_images_in_hand_finish(pictures: Path, tmp_path: Path) -> None:
    go, inside = threading.Event(), threading.Semaphore(0)

    def make_worker(slot: Slot):
        def infer() -> None:
            inside.release()
            assert go.wait(50)

        return infer

    with core(make_worker) as made:
        run = begin(made, [pictures], tmp_path / "out", Trial(count=1_000_000))
        assert inside.acquire(timeout=50)
        assert inside.acquire(timeout=50)
        run.cancel()
        go.set()
        table = rows(run)
        assert run.summary()["cancelled"]
    assert sorted(table["worker"]) == [0, 1]
    assert set(table["status"]) == {0}
    names = [*ROUND, *(f"round-1/{name}" for name in ROUND)]
    assert files(tmp_path / "out") == {names[index] for index in table["index"]}


def test_images_are_taken_when_they_arrive(pictures: Path, tmp_path: Path) -> None:
    arrivals = (0, 0, 5_000_000, 30_000_000, 30_000_000, 30_000_000, 31_000_000)
    with core() as made:
        run = begin(made, [pictures], tmp_path / "out", Trial(arrivals_ns=arrivals))
        table = rows(run)
    assert sorted(table["index"]) == list(range(7))
    ordered = table[np.argsort(table["index"])]
    assert tuple(ordered["arrival_ns"]) == arrivals
    assert (table["begin_ns"] >= table["arrival_ns"]).all(), "none is begun before it is there"


def test_waiting_for_arrivals_is_idle_time(pictures: Path, tmp_path: Path) -> None:
    arrivals = tuple(number * 60_000_000 for number in range(1, 6))
    with core() as made:
        run = begin(made, [pictures], tmp_path / "out", Trial(arrivals_ns=arrivals))
        table, summary = rows(run), run.summary()
    busy = float((table["end_ns"] - table["begin_ns"]).sum()) / 1e9
    assert busy + summary["idle_seconds"] > 0.8 * 2 * arrivals[-1] / 1e9


def test_cancel_wakes_who_waits_for_an_arrival(tmp_path: Path) -> None:
    with core() as made:
        run = begin(made, [], None, Trial(pixels=False, arrivals_ns=(0, 10**18)))
        while run.progress()[0] < 1:
            run.poll(0.01)
        run.cancel()
        assert len(rows(run)) == 1


def test_without_pixels_each_job_is_one_call() -> None:
    calls: Counter[int] = Counter()

    def make_worker(slot: Slot):
        def infer() -> None:
            calls[slot.index] += 1

        return infer

    with core(make_worker, workers=3) as made:
        run = begin(made, [], None, Trial(count=500, pixels=False))
        table = rows(run)
    assert sorted(table["index"]) == list(range(500))
    assert Counter(table["worker"].tolist()) == calls
    for name in ("pixels", "bytes_in", "bytes_out", "decode_ns", "write_ns"):
        assert not table[name].any(), name
    assert (table["infer_ns"] > 0).all()
    assert run.summary()["done"] == 500


def test_without_pixels_a_call_may_fail() -> None:
    def make_worker(slot: Slot):
        def infer() -> None:
            raise ValueError("no luck")

        return infer

    with core(make_worker) as made:
        run = begin(made, [], None, Trial(count=3, pixels=False))
        assert rows(run)["status"].tolist() == [2, 2, 2]
    assert [failure.message for failure in run.failures()] == ["ValueError: no luck"] * 3


def test_a_dynamic_network_is_called_with_its_largest_size() -> None:
    sizes: list[tuple[int, int]] = []

    def make_worker(slot: Slot):
        return lambda height, width: sizes.append((height, width))

    recipe = Recipe(fit="long", side=64, multiple=32, filter="bilinear")
    made = Core(recipe, (1, 0, 0), make_worker, workers=1)
    rows(begin(made, [], None, Trial(count=2, pixels=False)))
    made.close()
    assert sizes == [(64, 64), (64, 64)]


@pytest.mark.parametrize(
    ("trial", "why"),
    [
        (Trial(count=0), "1 to"),
        (Trial(count=-3), "less than 0"),
        (Trial(keep_every=-1), "less than 0"),
        (Trial(arrivals_ns=()), "1 to"),
        (Trial(arrivals_ns=(3, 2)), "ascend"),
        (Trial(arrivals_ns=(-1, 2)), "less than 0"),
        (Trial(arrivals_ns=(1, 2), count=3), "one for each"),
        (Trial(pixels=False), "count"),
        (Trial(pixels=False, count=3), "no inputs"),
    ],
)
def test_impossible_trials_are_refused_at_the_door(
    trial: Trial, why: str, pictures: Path, tmp_path: Path
) -> None:
    with core() as made, pytest.raises(ValueError, match=why):
        begin(made, [pictures], tmp_path / "out", trial)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_taken_again_is_refused(pictures: Path, tmp_path: Path) -> None:
    one = str(pictures / "a.png")
    many = Trial(count=3)
    with core() as made:
        for inputs, output, folder, why in (
            ([one], None, {}, "output folder"),
            ([one], str(tmp_path / "out.png"), {}, "output folder"),
            (["-"], f"{tmp_path}/out/", {"inputs_are": "list"}, "standard input"),
        ):
            with pytest.raises(ValueError, match=why):
                made.run(inputs, output, Options(), FolderOptions(**folder), "test", many)


def eight_nodes(root: Path) -> Path:
    """A machine of 384 CPUs on 8 nodes, as its `sys` folder tells it."""
    cpus = root / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    (cpus / "online").write_text("0-383\n")
    for node in range(8):
        folder = root / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{node * 48}-{node * 48 + 47}\n")
    return root


def test_workers_are_placed_on_another_machine(tmp_path: Path) -> None:
    nodes: Counter[int | None] = Counter()

    def make_worker(slot: Slot):
        nodes[slot.node] += 1
        return nothing

    root = eight_nodes(tmp_path)
    with core(make_worker, workers=384, root=str(root)) as made:
        run = begin(made, [], None, Trial(count=2000, pixels=False))
        table = rows(run)
        summary = run.summary()
    assert sorted(table["index"]) == list(range(2000))
    assert summary["workers"] == 384
    # Seats are made by workers that come before the end, so not all need to have one.
    assert set(nodes) <= set(range(8))
    assert summary["unpinned"] >= 384 - system()["cpus_online"]


def test_the_remover_passes_it_on(quick_model: Path, pictures: Path, tmp_path: Path) -> None:
    with Remover(quick_model, workers=2, simd="scalar", root=str(eight_nodes(tmp_path / "root"))) as remover:
        batch = remover.start([str(pictures)], str(tmp_path / "out"), FolderOptions(), trial=Trial(count=6))
        summary = batch.wait()
        samples = batch.samples()
        assert sorted(samples["index"]) == list(range(6))
        assert samples.dtype.names == SAMPLE_COLUMNS
        assert len(batch.samples(4)) == 2
    assert summary.done == 6
    assert summary.unpinned >= 0
    with pytest.raises(ValueError, match="level"):
        Remover(quick_model, simd="mmx")


OFF = ("stealing", "lock_free", "ring", "reuse", "mmap")


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("off", [(), *((name,) for name in OFF), OFF], ids="-".join)
def test_parts_switched_off_do_each_picture_once_and_alike(
    off: tuple[str, ...], workers: int, pictures: Path, tmp_path: Path
) -> None:
    trial = Trial(count=40, **dict.fromkeys(off, False))
    plain, switched = tmp_path / "plain", tmp_path / "switched"
    with core(workers=workers) as made:
        rows(begin(made, [pictures], plain, Trial(count=40)))
        run = begin(made, [pictures], switched, trial)
        table, summary = rows(run), run.summary()
    assert sorted(table["index"]) == list(range(40))
    assert set(table["status"]) == {0}
    assert files(switched) == files(plain)
    assert all((switched / name).read_bytes() == (plain / name).read_bytes() for name in files(plain))
    steals = {name: summary["steals"][name] for name in ("own", "injector", "local", "remote")}
    assert sum(steals.values()) == 40
    if "stealing" in off:
        assert steals["local"] == steals["remote"] == 0
        assert all(int(row["index"]) % workers == int(row["worker"]) for row in table), "fixed shares"
    elif "lock_free" in off:
        assert steals == {"own": 0, "injector": 40, "local": 0, "remote": 0}, "one queue"
