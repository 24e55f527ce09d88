"""Downloads from a server on this machine that cuts, lies, redirects or is gone; full disks; two at once."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import file_server
from file_server import Page, Server
from qbg.errors import ModelDownloadError, ModelError, ModelNotFoundError
from qbg.models import DEFAULT, MODELS, Model, resolve
from qbg.models import download as module
from qbg.models import transfer as transport
from qbg.models.download import Source, download, sources
from qbg.models.files import home, own_path, partial
from qbg.models.model import Evidence

SIZE = 3_000_017
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ticks: list[tuple[int, int | None]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def tick(self, here: int, whole: int | None) -> None:
        self.ticks.append((here, whole))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of this machine is seen, no proxy used, and nobody waits."""
    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME", "QBG_MIRROR", "QBG_OFFLINE", *PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("QBG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "PAUSE_S", 0.001)


@pytest.fixture(scope="module")
def data() -> bytes:
    """An ONNX file with an empty graph, made long by noise in its doc_string (field 6)."""
    noise = hashlib.shake_128(b"seed").digest(SIZE)
    return b"\x32" + varint(len(noise)) + noise + small_graph()


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def small_graph() -> bytes:
    """ir_version 8 and an empty graph."""
    return b"\x08\x08\x3a\x00"


@pytest.fixture
def server() -> Iterator[Server]:
    with file_server.serving() as running:
        yield running


@pytest.fixture
def model(data: bytes) -> Model:
    return replace(
        MODELS["u2net"], bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), md5=None, rembg=False
    )


@pytest.fixture
def page(server: Server, model: Model, data: bytes) -> Page:
    server.pages[f"/{model.file}"] = Page(data)
    return server.pages[f"/{model.file}"]


def fetch(model: Model, server: Server, **options: Any) -> tuple[Path, Ear]:
    ear = Ear()
    return download(model, mirrors=[server.base], listener=ear, **options), ear


def left() -> list[str]:
    """What lies in qbg's folder."""
    return sorted(path.name for path in (home() / "models").glob("*"))


def test_a_download(model: Model, server: Server, page: Page, data: bytes) -> None:
    path, ear = fetch(model, server)
    assert path == own_path(model)
    assert path.read_bytes() == data
    assert left() == ["u2net.onnx"]
    assert server.asked == [("/u2net.onnx", None)]
    assert ear.ticks[0] == (0, len(data))
    assert ear.ticks[-1] == (len(data), len(data))
    # Again: nothing is asked, online or not.
    assert fetch(model, server)[0] == path
    assert len(server.asked) == 1


def test_works_offline_afterwards(
    model: Model, server: Server, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QBG_OFFLINE", "1")
    with pytest.raises(ModelDownloadError, match="QBG_OFFLINE is set"):
        fetch(model, server)
    assert server.asked == []
    monkeypatch.setenv("QBG_OFFLINE", "0")
    path = fetch(model, server)[0]
    monkeypatch.setenv("QBG_OFFLINE", "1")
    assert fetch(model, server)[0] == path


def test_a_cut_connection_is_continued(model: Model, server: Server, page: Page, data: bytes) -> None:
    page.cuts = [1_000_000, 500_000]
    path, ear = fetch(model, server)
    assert path.read_bytes() == data
    assert server.asked == [
        ("/u2net.onnx", None),
        ("/u2net.onnx", "bytes=1000000-"),
        ("/u2net.onnx", "bytes=1500000-"),
    ]
    assert any("cut after 1,000,000 of" in line for line in ear.lines)
    assert left() == ["u2net.onnx"]


def test_what_is_here_stays_and_is_continued_another_day(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    page.cuts = [700_000] + [0] * 20
    with pytest.raises(ModelDownloadError, match=r"700,000 bytes are kept"):
        fetch(model, server)
    assert len(server.asked) == module.ATTEMPTS
    assert left() == ["u2net.onnx.part"]
    assert partial(own_path(model)).read_bytes() == data[:700_000]
    with pytest.raises(ModelNotFoundError):
        resolve("u2net")
    page.cuts, server.asked[:] = [], []
    assert fetch(model, server)[0].read_bytes() == data
    assert server.asked == [("/u2net.onnx", "bytes=700000-")]


def test_a_server_without_parts_starts_anew(model: Model, server: Server, page: Page, data: bytes) -> None:
    page.cuts, page.ranges = [1_000_000], False
    assert fetch(model, server)[0].read_bytes() == data


def test_a_server_that_sends_another_part(model: Model, server: Server, page: Page) -> None:
    page.cuts, page.shift = [1_000_000], 7
    with pytest.raises(ModelDownloadError, match="another part"):
        fetch(model, server)


@pytest.mark.parametrize("length", [10, SIZE])
def test_a_strange_beginning_is_found_by_the_checksum(
    length: int, model: Model, server: Server, page: Page, data: bytes
) -> None:
    part = partial(own_path(model))
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\xa5" * length)
    path, ear = fetch(model, server)
    assert path.read_bytes() == data
    assert [wanted for _, wanted in server.asked] == [f"bytes={length}-", None]
    assert any("starts anew" in line for line in ear.lines)


def test_a_beginning_that_is_too_long_is_dropped(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    part = partial(own_path(model))
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(data) + 1))
    assert fetch(model, server)[0].read_bytes() == data
    assert server.asked == [("/u2net.onnx", None)]


def test_a_whole_beginning_needs_no_request(model: Model, server: Server, page: Page, data: bytes) -> None:
    part = partial(own_path(model))
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    assert fetch(model, server)[0].read_bytes() == data
    assert server.asked == []


def test_without_a_size_416_starts_anew(model: Model, server: Server, page: Page, data: bytes) -> None:
    part = partial(own_path(model))
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(data)))
    assert fetch(replace(model, bytes=None), server)[0].read_bytes() == data


def test_without_any_checksum_nothing_is_continued(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    bare = replace(model, sha256=None, bytes=None, evidence=Evidence.NONE)
    page.cuts = [1_000_000]
    with pytest.raises(ModelDownloadError, match="cut after"):
        fetch(bare, server)
    path, _ = fetch(bare, server)
    assert path.read_bytes() == data
    assert [wanted for _, wanted in server.asked] == [None, None]
    assert hashlib.sha256(data).hexdigest() in module.describe(bare, path)


def test_md5_is_checked_where_there_is_nothing_better(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    good = replace(model, sha256=None, md5=hashlib.md5(data).hexdigest())
    with pytest.raises(ModelDownloadError, match="its MD5 is"):
        fetch(replace(good, md5="0" * 32), server)
    assert left() == []
    assert fetch(good, server)[0].read_bytes() == data


WRONG = [
    (lambda data: data[:999] + bytes([data[999] ^ 1]) + data[1000:], "other bytes: its SHA256 is"),
    (lambda data: data[:-5], r"it offers .* bytes, but the file has"),
    (lambda data: b"<!DOCTYPE html><html>sign in</html>".ljust(len(data)), "it is a web page"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it offers"),
    (lambda data: b"", "it offers 0 bytes"),
]


@pytest.mark.parametrize(("spoil", "word"), WRONG)
def test_wrong_bytes_leave_nothing(
    spoil: Any, word: str, model: Model, server: Server, page: Page, data: bytes
) -> None:
    page.data = spoil(data)
    with pytest.raises(ModelDownloadError, match=word) as caught:
        fetch(model, server)
    assert left() == []
    assert len(str(caught.value).splitlines()) == 2
    assert len(server.asked) == 1


def test_wrong_bytes_without_a_known_size(model: Model, server: Server, page: Page) -> None:
    page.data = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    page.announces = False
    for bare in (replace(model, bytes=None), replace(model, bytes=None, sha256=None)):
        with pytest.raises(ModelDownloadError, match="it is a Git LFS pointer"):
            fetch(bare, server)
        assert left() == []


def test_a_bad_download_leaves_the_old_file(model: Model, server: Server, page: Page, data: bytes) -> None:
    path = fetch(model, server)[0]
    page.data = bytes(len(data))
    with pytest.raises(ModelDownloadError):
        fetch(model, server, force=True)
    assert path.read_bytes() == data
    assert left() == ["u2net.onnx"]


def test_force_replaces_a_good_file_and_no_force_replaces_a_bad_one(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    path = fetch(model, server)[0]
    fetch(model, server, force=True)
    assert len(server.asked) == 2
    path.write_bytes(data[:-1])
    _, ear = fetch(model, server)
    assert path.read_bytes() == data
    assert any("is not the file of `u2net`" in line for line in ear.lines)


@pytest.mark.parametrize(
    ("status", "attempts", "word"),
    [
        (404, 1, "HTTP 404 Not Found"),
        (403, 1, "(?s)HTTP 403 Forbidden.*hint: .*browser"),
        (503, module.ATTEMPTS, "HTTP 503 Service Unavailable"),
        (429, module.ATTEMPTS, "HTTP 429"),
    ],
)
def test_refusals(status: int, attempts: int, word: str, model: Model, server: Server, page: Page) -> None:
    page.status = status
    with pytest.raises(ModelDownloadError, match=word) as caught:
        fetch(model, server)
    assert len(server.asked) == attempts
    assert isinstance(caught.value, ModelError)
    assert isinstance(caught.value, OSError)
    assert left() == []


def test_nobody_listens(model: Model) -> None:
    with file_server.serving() as gone:
        base = gone.base
    with pytest.raises(ModelDownloadError, match=r"can't be reached: .*refused"):
        download(model, mirrors=[base])
    with pytest.raises(ModelDownloadError, match="can't be reached"):
        download(model, mirrors=["http://no.such.host.invalid"])


def test_redirects_keep_the_range(model: Model, server: Server, page: Page, data: bytes) -> None:
    server.pages["/moved/u2net.onnx"] = Page(status=302, location="/u2net.onnx")
    page.cuts = [1_000_000]
    assert download(model, mirrors=[f"{server.base}/moved/"]).read_bytes() == data
    assert server.asked[-1] == ("/u2net.onnx", "bytes=1000000-")


def test_redirects_that_are_not_followed(model: Model, server: Server) -> None:
    for location in ("/u2net.onnx", "file:///etc/passwd", "ftp://127.0.0.1/u2net.onnx"):
        server.pages["/u2net.onnx"] = Page(status=302, location=location)
        with pytest.raises(ModelDownloadError, match="redirects"):
            fetch(model, server)
        assert left() == []


def test_a_redirect_from_https_to_http_is_refused() -> None:
    class Closed:
        def close(self) -> None: ...

    redirects = transport._Redirects()
    request = transport.urllib.request.Request("https://a.example/x")
    with pytest.raises(transport.TransferError, match="not https"):
        redirects.redirect_request(request, Closed(), 302, "", {}, "http://a.example/x")
    followed = redirects.redirect_request(request, Closed(), 302, "", {}, "https://b.example/x")
    assert followed is not None
    assert followed.full_url == "https://b.example/x"


def test_only_a_user_may_name_plain_http(model: Model, server: Server, page: Page) -> None:
    plain = replace(model, url=f"{server.base}/{model.file}", mirrors=())
    with pytest.raises(ModelDownloadError, match="no https address"):
        download(plain)
    assert server.asked == []
    with pytest.raises(ModelDownloadError, match="no https address"):
        download(model, mirrors=["ftp://127.0.0.1"])


def test_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["birefnet-general-lite"]
    assert sources(model) == [Source(url=url, given=False) for url in (model.url, *model.mirrors)]
    monkeypatch.setenv("QBG_MIRROR", "https://a.example/m/ https://b.example")
    file = "birefnet-general-lite.onnx"
    assert [source.url for source in sources(model)] == [
        f"https://a.example/m/{file}",
        f"https://b.example/{file}",
    ]
    assert sources(model, ["http://c.example/other.onnx"]) == [
        Source(url="http://c.example/other.onnx", given=True)
    ]


def test_the_next_mirror_is_tried_and_continues(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    server.pages["/one/u2net.onnx"] = Page(data, cuts=[900_000] + [0] * 20)
    ear = Ear()
    path = download(model, mirrors=[f"{server.base}/none", f"{server.base}/one", server.base], listener=ear)
    assert path.read_bytes() == data
    assert server.asked[-1] == ("/u2net.onnx", "bytes=900000-")
    assert any("HTTP 404" in line for line in ear.lines)


def test_all_sources_are_named_when_all_fail(model: Model, server: Server) -> None:
    with pytest.raises(ModelDownloadError) as caught:
        download(model, mirrors=[f"{server.base}/a", f"{server.base}/b"])
    assert "/a/u2net.onnx: HTTP 404 Not Found; " in str(caught.value)
    assert "/b/u2net.onnx: HTTP 404" in str(caught.value)


def test_a_password_is_never_shown(model: Model) -> None:
    for address in ("127.0.0.1:1/x?token=secret", "127.0.0.1/x", "no.such.host.invalid", "127.0.0.1:x/"):
        ear = Ear()
        with pytest.raises(ModelDownloadError) as caught:
            download(model, mirrors=[f"http://me:secret@{address}"], listener=ear)
        assert "secret" not in str(caught.value)
        assert not any("secret" in line for line in ear.lines)


def test_a_password_goes_to_its_own_host_only(model: Model, page: Page, server: Server) -> None:
    with file_server.serving() as first:
        first.pages["/u2net.onnx"] = Page(status=302, location=f"{server.base}/u2net.onnx")
        download(model, mirrors=[first.base.replace("//", "//me:p%40ss@")])
        assert first.accounts == ["Basic " + base64.b64encode(b"me:p@ss").decode()]
    assert server.accounts == [None]


def test_the_proxy_of_the_environment(
    model: Model, server: Server, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.base)
    server.pages["http://models.example/u2net.onnx"] = Page(data)
    assert download(model, mirrors=["http://models.example"]).read_bytes() == data
    assert server.asked == [("http://models.example/u2net.onnx", None)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up(
    code: int, model: Model, server: Server, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(file: Any, block: bytes) -> None:
        nonlocal written
        if written > 1_000_000:
            raise OSError(code, os.strerror(code))
        written += file.write(block)

    monkeypatch.setattr(transport, "write", write)
    with pytest.raises(ModelDownloadError, match=r"(?s) is full: .*hint: make room") as caught:
        fetch(model, server)
    assert left() == []
    assert caught.value.path == "u2net"


def test_a_limit_of_the_system_is_a_full_disk(server: Server, page: Page, model: Model) -> None:
    """The real write of the real system fails, at 1,000,000 bytes."""
    resource = pytest.importorskip("resource")
    program = (
        "import resource, signal, sys\n"
        "from dataclasses import replace\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from qbg.models import MODELS\n"
        "from qbg.models.download import download\n"
        f"model = replace(MODELS['u2net'], bytes={model.bytes}, sha256={model.sha256!r}, rembg=False)\n"
        f"download(model, mirrors=[{server.base!r}])\n"
    )
    assert resource is not None
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert "ModelDownloadError" in done.stderr.splitlines()[-2]
    assert "is full: File too large" in done.stderr
    assert left() == []


def test_no_room_is_seen_before_the_first_byte(model: Model, server: Server, page: Page) -> None:
    huge = replace(model, bytes=1 << 60)
    with pytest.raises(ModelDownloadError, match=r"is full: .* bytes are to come, .* are free"):
        fetch(huge, server)
    assert server.asked == []


def test_a_folder_that_cannot_be_made(
    model: Model, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QBG_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelDownloadError, match=r"(?s)can't be written.*QBG_HOME"):
        fetch(model, server)


def test_two_threads_at_once_ask_once(model: Model, server: Server, page: Page, data: bytes) -> None:
    page.hold = threading.Event()
    ears = [Ear(), Ear()]
    threads = [
        threading.Thread(target=download, args=(model,), kwargs={"mirrors": [server.base], "listener": ear})
        for ear in ears
    ]
    threads[0].start()
    server.wait_for(1)
    threads[1].start()
    for _ in range(2000):
        if any("waiting for it" in line for line in ears[1].lines):
            break
        threads[1].join(0.01)
    page.hold.set()
    for thread in threads:
        thread.join(30)
    assert server.asked == [("/u2net.onnx", None)]
    assert own_path(model).read_bytes() == data
    assert any("another process is downloading" in line for line in ears[1].lines)
    assert left() == ["u2net.onnx"]


PROGRAM = """
import sys
from dataclasses import replace
from qbg.models import MODELS
from qbg.models.download import download
model = replace(MODELS["u2net"], bytes=int(sys.argv[2]), sha256=sys.argv[3], rembg=False)
print(download(model, mirrors=[sys.argv[1]]))
"""


def start(model: Model, server: Server) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, server.base, str(model.bytes), str(model.sha256)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_ask_once(model: Model, server: Server, page: Page, data: bytes) -> None:
    page.hold = threading.Event()
    first = start(model, server)
    server.wait_for(1)
    second = start(model, server)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.0)
    assert len(server.asked) == 1
    page.hold.set()
    for process in (first, second):
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert out.strip() == str(own_path(model))
    assert server.asked == [("/u2net.onnx", None)]
    assert own_path(model).read_bytes() == data


@pytest.mark.skipif(os.name != "posix", reason="SKIPPED: SIGKILL is POSIX's")
def test_the_second_takes_over_what_a_killed_one_left(
    model: Model, server: Server, page: Page, data: bytes
) -> None:
    part = partial(own_path(model))
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:400_000])
    page.hold = threading.Event()
    first = start(model, server)
    server.wait_for(1)
    second = start(model, server)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    server.wait_for(2)
    page.hold.set()
    _, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    assert server.asked == [("/u2net.onnx", "bytes=400000-")] * 2
    assert own_path(model).read_bytes() == data
    assert left() == ["u2net.onnx"]


def test_what_has_to_be_built_says_how() -> None:
    with pytest.raises(ModelNotFoundError, match=r"(?s)built on this machine.*hint: qbg models build"):
        download(MODELS["inspyrenet-fast"])


def test_the_built_in_one_is_here() -> None:
    assert str(download(MODELS[DEFAULT])) == resolve(DEFAULT).network.path
