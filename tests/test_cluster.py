"""The way through a cluster: places and journal by themselves, and a local Ray cluster that loses a node.

Slow where Ray is needed; `pip install 'qbg[ray]'`.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import qbg
from conftest import digests, qbg_command

pytest.importorskip("pyarrow", reason="SKIPPED: no PyArrow: pip install 'qbg[ray]'")

from qbg.cluster.journal import Journal, read
from qbg.cluster.places import Item, Place, discover
from qbg.cluster.worker import Task, Worker


@pytest.fixture
def many(photos: Path, tmp_path: Path) -> Path:
    """Sixty pictures in three folders, one that is broken, and some that are none."""
    folder = tmp_path / "in"
    picture = min(photos.glob("*.jpg"), key=lambda path: path.stat().st_size)
    for number in range(60):
        target = folder / f"part{number % 3}" / f"{number:02d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.jpg").write_bytes(b"none")
    return folder


def row(source: str, outcome: str = "done") -> dict:
    return {
        "input": source,
        "output": source,
        "outcome": outcome,
        "stage": "",
        "message": "",
        "bytes_in": 1,
        "bytes_out": 1,
        "seconds": 0.1,
        "node": "n",
    }


def test_a_folder_gives_each_picture_once_with_a_name_of_its_own(many):
    shutil.copy(many / "part0" / "00.jpg", many / "part0" / "00.png")
    items = list(discover(Place(str(many)), "webp"))
    assert len(items) == 62
    names = {item.source[len(str(many)) + 1 :]: item.name for item in items}
    assert names["part1/01.jpg"] == "part1/01.webp"
    assert names["part0/00.jpg"] == "part0/00.webp"
    assert names["part0/00.png"] == "part0/00.png.webp"
    with pytest.raises(qbg.InputNotFoundError):
        list(discover(Place(str(many / "none")), "png"))
    with pytest.raises(qbg.InputNotFoundError, match="address"):
        list(discover(Place("nosuch://place"), "png"))


def test_what_a_picture_is_the_core_says(tmp_path):
    for name in ("a.jpg", "b.JFIF", "c.heic", "d.dib", "notes.txt", ".hidden.png", "jpg"):
        (tmp_path / name).write_bytes(b"x")
    found = [item.source[len(str(tmp_path)) + 1 :] for item in discover(Place(str(tmp_path)), "png")]
    assert found == ["a.jpg", "b.JFIF", "c.heic", "d.dib"]


def test_who_has_a_name_keeps_it_and_who_comes_later_gets_another(many):
    """`00.bmp` comes before `00.jpg`, but after its cut-out was made: that must not be overwritten."""
    first = {item.source: item.name for item in discover(Place(str(many)), "png")}
    shutil.copy(many / "part0" / "00.jpg", many / "part0" / "00.bmp")
    again = {item.source: item.name for item in discover(Place(str(many)), "png", first)}
    assert again[f"{many}/part0/00.jpg"] == "part0/00.png"
    assert again[f"{many}/part0/00.bmp"] == "part0/00.bmp.png"
    assert {source: again[source] for source in first} == first
    assert len(set(again.values())) == len(again)


def test_a_manifest_may_be_lines_or_parquet(many, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    lines = many / "list.txt"
    lines.write_text("part0/00.jpg\n\npart1/01.jpg\n")
    items = list(discover(Place(str(lines)), "png"))
    assert items == [
        Item(f"{many}/part0/00.jpg", "part0/00.png"),
        Item(f"{many}/part1/01.jpg", "part1/01.png"),
    ]
    table = many / "list.parquet"
    absolute = f"{many}/part2/02.jpg"
    parquet.write_table(pa.table({"other": [1], "input": [absolute]}), table)
    assert list(discover(Place(str(table)), "png")) == [Item(absolute, "part2/02.png")]


def test_a_place_is_sent_as_its_address(many, monkeypatch):
    monkeypatch.chdir(many)
    place = Place("part0")
    place.system  # noqa: B018  # opened here, and not taken along
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(place))
    assert again.read(f"{many}/part0/00.jpg")[:2] == b"\xff\xd8"


def test_the_journal_tells_what_is_done_by_the_same_model_and_options(tmp_path):
    out = Place(str(tmp_path / "out"))
    assert list(read(out)) == []
    journal = Journal(out, "one")
    journal.add([row("a"), row("b", "failed")])
    journal.flush()
    journal.add([row("c")])
    journal.flush()
    journal.flush()
    assert Journal(out, "one").done() == {"a": "a", "c": "c"}
    assert Journal(out, "two").done() == {}
    assert [found["input"] for found in read(out)] == ["a", "b", "c"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_chunk_is_worked_on_whole_whatever_fails_in_it(many, quick_model, tmp_path):
    task = Task(Place(str(many)), Place(str(tmp_path / "out")), str(quick_model), {})
    items = [
        Item(f"{many}/part0/00.jpg", "a.png"),
        Item(f"{many}/bad.jpg", "b.png"),
        Item(f"{many}/none.jpg", "c.png"),
        Item(f"{many}/part1/01.jpg", "d/e.png"),
    ]
    rows = Worker(task, 2, "node").work(items)
    assert [found["outcome"] for found in rows] == ["done", "failed", "failed", "done"]
    assert [found["stage"] for found in rows] == ["", "decode", "map", ""]
    with qbg.Remover(quick_model) as remover:
        wanted = remover.encoded(Path(items[0].source))
    assert (tmp_path / "out" / "a.png").read_bytes() == wanted
    assert rows[3]["bytes_out"] == (tmp_path / "out" / "d" / "e.png").stat().st_size
    assert not (tmp_path / "out" / "b.png").exists()


def test_what_a_lost_node_left_of_a_file_goes_when_it_is_made_again(many, quick_model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".a.png.4711.part").write_bytes(b"half")
    (out / ".b.png.4711.part").write_bytes(b"another's")
    task = Task(Place(str(many)), Place(str(out)), str(quick_model), {})
    Worker(task, 1, "node").work([Item(f"{many}/part0/00.jpg", "a.png")], again=True)
    assert sorted(path.name for path in out.iterdir()) == [".b.png.4711.part", "a.png"]


def test_the_stage_for_ray_data_keeps_rows_and_order(photos, quick_model):
    from qbg.ray import Cutout

    paths = sorted(photos.glob("*.jpg"))[:3]
    contents = [path.read_bytes() for path in paths]
    batch = {
        "bytes": np.array([contents[0], b"no picture", contents[1]], object),
        "path": np.array(["a", "b", "c"]),
    }
    stage = Cutout(str(quick_model), only_mask=True)
    made = stage(batch)
    assert list(made) == ["path", "cutout", "error"]
    with qbg.Remover(quick_model) as remover:
        wanted = [remover.encoded(content, only_mask=True) for content in contents[:2]]
    assert [made["cutout"][0], made["cutout"][2]] == wanted
    assert made["cutout"][1] is None
    assert "not an image" in made["error"][1]
    assert list(made["error"][[0, 2]]) == ["", ""]


@pytest.fixture
def store(monkeypatch, tmp_path):
    """An object store on loopback, that speaks S3; gives the address of a bucket."""
    pytest.importorskip("moto.server", reason="SKIPPED: no moto: pip install 'moto[server]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
    try:
        query = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
        yield lambda path: f"s3://{path}?{query}"
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore")
def test_object_storage_is_read_and_written(store, many, quick_model):
    root = Place(store("bucket"))
    root.system.create_dir("bucket")
    for path in sorted((many / "part0").iterdir())[:5]:
        with root.system.open_output_stream(f"bucket/in/deep/{path.name}") as stream:
            stream.write(path.read_bytes())
    source, out = Place(store("bucket/in")), Place(store("bucket/out"))
    items = list(discover(source, "png"))
    assert [item.name for item in items] == [f"deep/{number:02d}.png" for number in range(0, 15, 3)]
    rows = Worker(Task(source, out, str(quick_model), {}), 2, "node").work(items)
    assert {found["outcome"] for found in rows} == {"done"}
    with qbg.Remover(quick_model) as remover:
        wanted = remover.encoded(many / "part0" / "00.jpg")
    assert out.read("bucket/out/deep/00.png") == wanted
    journal = Journal(out, "one")
    journal.add(rows)
    journal.flush()
    assert Journal(out, "one").done() == {item.source: item.name for item in items}


@pytest.fixture
def cluster():
    """Three nodes of one CPU each, all on this machine."""
    pytest.importorskip("ray", reason="SKIPPED: no Ray: pip install 'qbg[ray]'")
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield made
    finally:
        made.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_lost_loses_nothing_and_doubles_nothing(cluster, many, photos, quick_model, tmp_path):
    large = max(photos.glob("*.jpg"), key=lambda path: path.stat().st_size)
    for number in range(600):  # enough for the loss to be in the middle
        shutil.copy(large, many / "part0" / f"more{number:03d}.jpg")
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    out = tmp_path / "out"
    command = [*qbg_command(), "cluster", "run", str(many), str(out), "-m", str(quick_model), "--json"]
    command += ["--address", cluster.address, "--chunk", "8"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not out.exists() or len(list(out.rglob("*.png"))) < 60:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    cluster.remove_node(nodes[1], allow_graceful=False)
    told, complaints = run.communicate(timeout=240)
    assert run.returncode == 1, complaints  # one picture is broken
    summary = json.loads(told)
    assert (summary["images"], summary["done"], summary["failed"]) == (661, 660, 1)
    assert "is lost" in complaints
    assert summary["lost_chunks"] > 0
    counts = Counter(found["input"] for found in read(Place(str(out))))
    assert len(counts) == 661
    assert set(counts.values()) == {1}
    made = {name: digest for name, digest in digests(out).items() if not name.startswith("_qbg_journal")}
    assert len(made) == 660
    with qbg.Remover(quick_model) as remover:
        alone = tmp_path / "alone"
        remover.remove_folder(many / "part1", alone / "part1")
    assert _same_pixels(out, alone)
    # Once more: nothing is left to do but what failed.
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert json.loads(again.stdout)["skipped"] == 660
    assert json.loads(again.stdout)["done"] == 0


def _same_pixels(one: Path, other: Path) -> bool:
    """A batch's outputs carry a tag, a cluster's carry none."""
    from PIL import Image

    for path in other.rglob("*.png"):
        with Image.open(path) as left, Image.open(one / path.relative_to(other)) as right:
            if left.tobytes() != right.tobytes():
                return False
    return True


def test_ray_is_imported_by_nothing_that_does_not_need_it():
    script = (
        "import sys, qbg, qbg.ray, qbg.cli.app; sys.exit('ray' in sys.modules or 'pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
