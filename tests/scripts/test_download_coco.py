"""scripts/download_coco.sh against a server on the loopback: cuts, wrong bytes, refusals, hostile archives.

Each of the tools that it can use is tested where it is installed; python3's way always. What counts is what
lies in the folder afterwards, the exit code, and what the server was asked for. No test leaves the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SKIPPED: a shell script of POSIX systems")

SCRIPT = ROOT / "scripts" / "download_coco.sh"
NAMES = [f"val2017/{number:012d}.jpg" for number in (139, 285, 632)]


def archive(members: dict[str, bytes]) -> bytes:
    """A zip of those files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return stream.getvalue()


# 300 kB that don't repeat, so that a part in the wrong place is noticed.
CONTENT = {name: hashlib.shake_256(name.encode()).digest(100_000) for name in NAMES}
GOOD = archive({"val2017/": b"", **CONTENT})


class Mirror(ThreadingHTTPServer):
    """What it serves, how it misbehaves, and what it was asked.

    Attributes:
        data: of /zips/val2017.zip.
        cuts: bytes after which the next answers break off; the ones after those are whole.
        ranges: whether parts are served.
        refuse: status of the next answers, until it is empty.
        shift: bytes by which parts begin too late, until they are asked for from the start.
        hold: whether an answer that is cut waits in the middle, until this is False, instead of breaking off.
        asked: path and Range header of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.data, self.cuts, self.ranges, self.refuse, self.hold = GOOD, [], True, [], False
        self.shift = 0
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/zips/val2017.zip"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        mirror, wanted = self.server, self.headers.get("Range")
        mirror.asked.append((self.path, wanted))
        if self.path == "/elsewhere/val2017.zip":
            self.answer(302, {"Location": "/zips/val2017.zip"})
        elif self.path == "/loop/val2017.zip":
            self.answer(302, {"Location": "/loop/val2017.zip"})
        elif self.path != "/zips/val2017.zip":
            self.answer(404, {})
        elif mirror.refuse:
            self.answer(mirror.refuse.pop(0), {})
        else:
            self.send_data(mirror, wanted)

    def send_data(self, mirror: Mirror, wanted: str | None) -> None:
        begin, size = 0, len(mirror.data)
        if wanted and mirror.ranges:
            begin = int(wanted.removeprefix("bytes=").partition("-")[0]) + mirror.shift
            if begin >= size:
                self.answer(416, {"Content-Range": f"bytes */{size}"})
                return
            head = {"Content-Range": f"bytes {begin}-{size - 1}/{size}"}
            self.answer(206, head, size - begin)
        else:
            self.answer(200, {}, size)
        cut = mirror.cuts.pop(0) if mirror.cuts else size
        self.wfile.write(mirror.data[begin : begin + cut])
        while mirror.hold and cut < size:
            time.sleep(0.02)

    def answer(self, status: int, headers: dict[str, str], length: int = 0) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A server on the loopback."""
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["python3", "curl", "wget"])
def tool(request: pytest.FixtureRequest) -> str:
    """Each tool that is installed here."""
    if shutil.which(request.param) is None:
        pytest.skip(f"SKIPPED: no {request.param} here")
    return str(request.param)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def without_proxies() -> dict[str, str]:
    """The environment, without what would take the loopback elsewhere."""
    return {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}


def download(folder: Path, *options: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the script."""
    command = [str(SCRIPT), "--wait", "0", "--need-mb", "1", *options, str(folder)]
    if url is not None:
        command[1:1] = ["--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, env=without_proxies())


def assert_whole(folder: Path) -> None:
    """Every picture, and nothing else."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*NAMES, "val2017/.downloaded"}
    assert all((folder / name).read_bytes() == data for name, data in CONTENT.items())


def visible(folder: Path) -> list[str]:
    """What has its final name."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_downloads_checks_and_unpacks(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD).upper(), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)
    assert "as expected" in done.stderr
    assert mirror.asked == [("/zips/val2017.zip", None)]


def test_a_second_call_asks_nobody(mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(2):
        done = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
        assert done.returncode == 0, done.stderr
    assert len(mirror.asked) == 1
    assert "3 files" in done.stderr
    done = download(tmp_path, "--sha256", "0" * 64, url=mirror.url)
    assert done.returncode == 5
    assert_whole(tmp_path)


def test_a_cut_connection_is_gone_on_with(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    mirror.cuts = [100_000, 50_000]
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)
    assert [wanted for _, wanted in mirror.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_what_a_failed_call_got_is_gone_on_with(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    mirror.cuts = [100_000]
    done = download(tmp_path, "--tool", tool, "--tries", "1", "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 4
    assert "100000 bytes are kept" in done.stderr
    assert visible(tmp_path) == []
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)
    assert mirror.asked[-1][1] == "bytes=100000-"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_in_the_middle(how: signal.Signals, mirror: Mirror, tool: str, tmp_path: Path) -> None:
    """A signal to the whole group, as Ctrl-C gives one; or a kill, after which even the lock stays."""
    mirror.cuts, mirror.hold = [150_000], True
    command = [str(SCRIPT), "--tool", tool, "--need-mb", "1", "--url", mirror.url, str(tmp_path)]
    part = tmp_path / ".val2017.zip.part"
    with subprocess.Popen(
        command, start_new_session=True, env=without_proxies(), stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size > 50_000):
            time.sleep(0.02)
        os.killpg(process.pid, how)
    mirror.hold = False
    assert process.returncode == (130 if how == signal.SIGTERM else -how)
    assert visible(tmp_path) == []
    have = part.stat().st_size
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)
    assert mirror.asked[-1][1] == f"bytes={have}-"


def test_all_of_it_is_there_already(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    """It came, and the script died before it could say so: the server answers 416."""
    (tmp_path / ".val2017.zip.part").write_bytes(GOOD)
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)


def test_a_server_without_ranges(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    mirror.ranges, mirror.cuts = False, [100_000]
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)


def test_a_part_from_another_place_is_not_put_there(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts, mirror.shift = [100_000], 5
    done = download(tmp_path, "--tool", "python3", "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert "beginning anew" in done.stderr
    assert_whole(tmp_path)


def test_a_wrong_digest_leaves_nothing(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    done = download(tmp_path, "--tool", tool, "--sha256", "ab" * 32, url=mirror.url)
    assert done.returncode == 5
    assert sha256(GOOD) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_default_digest_is_asked_for(mirror: Mirror, tmp_path: Path) -> None:
    """A mirror that serves something else in COCO's place is found out without any option."""
    done = download(tmp_path, url=mirror.url)
    assert done.returncode == 5
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_something_else_is_found_out(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / ".val2017.zip.part").write_bytes(b"x" * 1000)
    first = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert first.returncode == 5
    again = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert again.returncode == 0, again.stderr
    assert_whole(tmp_path)


def test_unverified_says_so(mirror: Mirror, tmp_path: Path) -> None:
    done = download(tmp_path, "--unverified", "--keep-zip", url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert "UNVERIFIED" in done.stderr
    assert sha256(GOOD) in done.stderr
    assert (tmp_path / "val2017.zip").read_bytes() == GOOD


def test_not_found_is_not_tried_again(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    done = download(tmp_path, "--tool", tool, url=mirror.url.replace("zips", "nowhere"))
    assert done.returncode == 4
    assert "404" in done.stderr
    assert len(mirror.asked) == 1
    assert visible(tmp_path) == []


def test_a_busy_server_is_tried_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.refuse = [503, 503]
    done = download(tmp_path, "--tool", "python3", "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert len(mirror.asked) == 3


def test_a_redirect_is_followed(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    url = mirror.url.replace("zips", "elsewhere")
    done = download(tmp_path, "--tool", tool, "--sha256", sha256(GOOD), url=url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)


def test_a_loop_of_redirects_ends(mirror: Mirror, tool: str, tmp_path: Path) -> None:
    done = download(tmp_path, "--tool", tool, "--tries", "1", url=mirror.url.replace("zips", "loop"))
    assert done.returncode == 4
    assert visible(tmp_path) == []


def test_nobody_answers(tool: str, tmp_path: Path) -> None:
    with Mirror() as gone:
        url = gone.url
    done = download(tmp_path, "--tool", tool, "--tries", "2", url=url)
    assert done.returncode == 4
    assert "gave up" in done.stderr


def linked() -> bytes:
    """An archive with a symbolic link and a file that goes through it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        link = zipfile.ZipInfo("val2017/out")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/tmp")
        packed.writestr("val2017/out/a.jpg", b"a")
    return stream.getvalue()


def damaged() -> bytes:
    """A picture's byte changed after its checksum was taken."""
    data = bytearray(GOOD)
    at = data.index(CONTENT[NAMES[1]][:64])
    data[at + 10] ^= 1
    return bytes(data)


HOSTILE = {
    "climbs": archive({"val2017/../../evil.jpg": b"a"}),
    "absolute": archive({"/tmp/qbg-evil.jpg": b"a"}),
    "hidden": archive({"val2017/.bashrc": b"a"}),
    "backslash": archive({"val2017\\..\\evil.jpg": b"a"}),
    "newline": archive({"val2017/a\nb.jpg": b"a"}),
    "option": archive({"-rf/a.jpg": b"a"}),
    "twice": archive({"val2017/a.jpg": b"a", "val2017/A.jpg": b"b"}),
    "link": linked(),
    "damaged": damaged(),
    "empty": archive({}),
    "no_zip": b"<html>not here</html>",
    "cut": GOOD[: len(GOOD) - 50],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives(what: str, mirror: Mirror, tmp_path: Path) -> None:
    """With the right digest even: nothing is unpacked, beside the folder nothing is touched."""
    mirror.data = HOSTILE[what]
    folder = tmp_path / "a" / "b"
    done = download(folder, "--sha256", sha256(mirror.data), url=mirror.url)
    assert done.returncode == 6, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not Path("/tmp/qbg-evil.jpg").exists()


def test_a_full_disk_is_noticed_before(mirror: Mirror, tmp_path: Path) -> None:
    done = download(tmp_path, "--need-mb", "999999999", url=mirror.url)
    assert done.returncode == 3
    assert "MB free" in done.stderr
    assert mirror.asked == []
    assert list(tmp_path.iterdir()) == []


def test_anothers_folder_is_left_alone(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "mine.jpg").write_bytes(b"mine")
    done = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 4
    assert mirror.asked == []
    assert (tmp_path / "val2017" / "mine.jpg").read_bytes() == b"mine"


def test_anothers_archive_is_taken_or_left_alone(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "val2017.zip").write_bytes(b"mine")
    done = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 5
    assert (tmp_path / "val2017.zip").read_bytes() == b"mine"
    (tmp_path / "val2017.zip").write_bytes(GOOD)
    done = download(tmp_path, "--sha256", sha256(GOOD), "--keep-zip", url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert mirror.asked == []


def test_two_calls_at_once(mirror: Mirror, tmp_path: Path) -> None:
    lock = tmp_path / ".val2017.lock"
    lock.mkdir()
    (lock / "pid").write_text(f"{os.getpid()}\n")
    done = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 4
    assert str(os.getpid()) in done.stderr
    assert lock.is_dir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (lock / "pid").write_text(f"{ended.pid}\n")
    done = download(tmp_path, "--sha256", sha256(GOOD), url=mirror.url)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["--url", "file:///etc/passwd"],
        ["--url", "http://127.0.0.1/"],
        ["--url", "http://127.0.0.1/.zip"],
        ["--sha256", "abc"],
        ["--tries", "0"],
        ["--tries", "many"],
        ["--tool", "telnet"],
        ["--what"],
        ["another"],
    ],
)
def test_wrong_usage(options: list[str], tmp_path: Path) -> None:
    done = download(tmp_path / "new", *options)
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "new").exists()


def test_a_missing_value_is_wrong_usage() -> None:
    for option in ("--url", "--sha256", "--tries"):
        done = subprocess.run([str(SCRIPT), "folder", option], capture_output=True, text=True, timeout=50)
        assert done.returncode == 2
        assert "needs a value" in done.stderr


def test_help() -> None:
    done = subprocess.run([str(SCRIPT), "--help"], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0
    assert "--sha256" in done.stdout
