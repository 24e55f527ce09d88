"""The server: a real process on a loopback port, and its queue by itself.

Pixels are held against `qbg.Remover`, which has its own oracles; here stands what the server adds.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import io
import ipaddress
import json
import signal
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bad_files
import qbg
from conftest import qbg_command

for package in ("starlette", "uvicorn", "httptools", "python_multipart", "prometheus_client"):
    pytest.importorskip(package, reason="SKIPPED: no server: pip install 'qbg[serve]'")

from qbg.naming import Names  # noqa: E402
from qbg.serve import bundle, fetch, wishes  # noqa: E402
from qbg.serve.desk import Desk  # noqa: E402
from qbg.serve.metrics import Metrics  # noqa: E402
from qbg.serve.problems import ClientLeftError, ProblemError  # noqa: E402


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def pixels(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.body)))


@dataclass
class Server:
    port: int
    process: subprocess.Popen
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: bytes, kind: str = "image/jpeg", **headers: str) -> Answer:
        return self.ask("POST", path, body, Content_Type=kind, **headers)

    def form(self, path: str, fields: dict[str, str | bytes], **headers: str) -> Answer:
        return self.post(path, form(fields), "multipart/form-data; boundary=edge", **headers)

    def events(self) -> list[dict]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def form(fields: dict[str, str | bytes]) -> bytes:
    parts = []
    for name, value in fields.items():
        data = value if isinstance(value, bytes) else value.encode()
        file = f'; filename="{name}.jpg"' if isinstance(value, bytes) else ""
        parts.append(
            b"--edge\r\n" + f'Content-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data
        )
    return b"\r\n".join(parts) + b"\r\n--edge--\r\n"


@contextmanager
def serving(folder: Path, *options: str | Path) -> Iterator[Server]:
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*qbg_command(), "serve", "-p", "0", *map(str, options)], stderr=stream, stdout=subprocess.DEVNULL
        )
    try:
        end = time.monotonic() + 40
        while "listening on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        port = int(log.read_text().partition("http://127.0.0.1:")[2].partition(",")[0].split('"')[0])
        yield Server(port, process, log)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def server(quick_model, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("serve"), "-m", quick_model, "--max-upload", "1M") as running:
        yield running


@pytest.fixture(scope="module")
def remover(quick_model):
    with qbg.Remover(quick_model, workers=1) as made:
        yield made


@pytest.fixture
def photo(photos) -> bytes:
    return min(photos.glob("*.jpg"), key=lambda path: path.stat().st_size).read_bytes()


def test_a_picture_may_come_in_any_wrapping(server, remover, photo):
    wanted = remover.encoded(photo)
    assert server.post("/v1/cutout", photo).body == wanted
    assert server.post("/v1/cutout", photo, "application/x-www-form-urlencoded").body == wanted
    assert server.form("/v1/cutout", {"image": photo}).body == wanted
    text = base64.b64encode(photo).decode()
    for image in (text, f"data:image/jpeg;base64,{text}"):
        answer = server.post("/v1/cutout", json.dumps({"image": image}).encode(), "application/json")
        assert answer.body == wanted
    assert answer.headers["Content-Type"] == "image/png"
    assert "infer;dur=" in answer.headers["Server-Timing"]


def test_parameters_are_those_of_the_command_line(server, remover, photo):
    for query, options in [
        ("only_mask=true", {"only_mask": True}),
        ("threshold=100&invert=true", {"threshold": 100, "invert": True}),
        ("background=tomato&feather=1.5", {"background": "tomato", "feather": 1.5}),
        ("margin=3&decontaminate=false", {"crop": 3, "decontaminate": False}),
        ("format=webp&quality=50", {"format": "webp", "quality": 50}),
        ("format=jpeg", {"format": "jpeg", "background": "white"}),
        ("format=jpeg&background=%2300000080", {"format": "jpeg", "background": (127, 127, 127)}),
        ("premultiply=true&png_level=9", {"premultiply": True, "png_level": 9}),
    ]:
        assert server.post(f"/v1/cutout?{query}", photo).body == remover.encoded(photo, **options), query
    fields = {"image": photo, "only_mask": "true", "format": "tiff"}
    assert server.form("/v1/cutout", fields).body == remover.encoded(photo, only_mask=True, format="tiff")
    given = {"image": base64.b64encode(photo).decode(), "post_process": True, "threshold": 9}
    answer = server.post("/v1/cutout", json.dumps(given).encode(), "application/json")
    assert answer.body == remover.encoded(photo, post_process=True, threshold=9)


def test_a_picture_can_fill_the_background(server, remover, photo, photos, tmp_path):
    other = sorted(photos.glob("*.jpg"))[1]
    answer = server.form(
        "/v1/cutout", {"image": photo, "background_image": other.read_bytes(), "format": "jpeg"}
    )
    assert answer.body == remover.encoded(photo, background_image=other, format="jpeg")


def test_the_answer_is_what_accept_asks_for(server, remover, photo):
    for accept, kind in [
        ("image/webp", "image/webp"),
        ("image/webp;q=0.2, image/jpeg", "image/jpeg"),
        ("image/*", "image/png"),
        ("text/html, */*;q=0.1", "image/png"),
    ]:
        assert server.post("/v1/cutout", photo, Accept=accept).headers["Content-Type"] == kind
    made = server.post("/v1/cutout?format=webp", photo, Accept="application/json").json
    assert base64.b64decode(made["image"]) == remover.encoded(photo, format="webp")
    assert made["format"] == "webp"
    assert server.post("/v1/cutout", photo, Accept="text/html").status == 406


@pytest.mark.parametrize(
    ("query", "body", "kind", "status", "words"),
    [
        ("?thresold=5", None, "image/jpeg", 400, "no parameter `thresold`"),
        ("?threshold=0", None, "image/jpeg", 400, "from 1 to 255"),
        ("?threshold=1_0", None, "image/jpeg", 400, "must be a number"),
        ("?only_mask=yes", None, "image/jpeg", 400, "true or false"),
        ("?feather=nan", None, "image/jpeg", 400, "must be a number"),
        ("?background=nocolor", None, "image/jpeg", 400, "not a color"),
        ("?format=bmp", None, "image/jpeg", 400, "one of: png"),
        ("?model=other", None, "image/jpeg", 400, "no model `other`"),
        ("?invert=true&invert=true", None, "image/jpeg", 400, "given twice"),
        ("?url=http://example.com/x.jpg", b"", "image/jpeg", 400, "fetches nothing"),
        ("", b"", "image/jpeg", 400, "exactly one picture"),
        ("", b"no picture", "image/jpeg", 422, "not an image"),
        ("", b"{", "application/json", 400, "not JSON"),
        ("", b"[1]", "application/json", 400, "an object"),
        ("", b'{"image": "***"}', "application/json", 422, "no base64"),
        ("", b'{"image": 5}', "application/json", 400, "base64 text"),
        ("", b"[" * 100_000, "application/json", 400, "not JSON"),
        ("", b"hello", "text/plain", 415, "text/plain"),
        ("", b"garbage", "multipart/form-data; boundary=edge", 400, ""),
        ("", b"garbage", "multipart/form-data", 400, ""),
        (
            "",
            b"--edge\r\nContent-Disposition: form-data\r\n\r\nx",
            "multipart/form-data; boundary=edge",
            400,
            "",
        ),
        ("", bytes(2 << 20), "image/jpeg", 413, "more than 1 MiB"),
    ],
)
def test_what_is_wrong_is_named(server, photo, query, body, kind, status, words):
    answer = server.post(f"/v1/cutout{query}", photo if body is None else body, kind)
    assert answer.status == status, answer.body
    assert words in answer.json["error"]["message"]
    assert answer.json["error"]["code"]


def test_bad_files_are_told_and_stop_nothing(server, photo, tmp_path):
    asked = 0
    for entry in bad_files.make(tmp_path / "bad"):
        found = [path for path in (tmp_path / "bad").rglob("*") if entry.stem in path.name and path.is_file()]
        if (
            len(found) != 1
            or found[0].stat().st_size > 1 << 20
            or not entry.stages
            or entry.stages[0] != "decode"
        ):
            continue  # folders, links, pipes and permissions don't go through a request
        answer = server.post("/v1/cutout", found[0].read_bytes())
        asked += 1
        if entry.may_pass and answer.status == 200:
            continue
        assert answer.status in (400, 413, 422), (entry.wrong, answer.status, answer.body)
        assert answer.json["error"]["message"]
    assert asked > 40
    assert server.post("/v1/cutout", photo).status == 200


def test_a_body_is_limited_whatever_its_head_says(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        raw.sendall(b"POST /v1/cutout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        try:
            for _ in range(64):
                raw.sendall(chunk)
        except OSError:
            pass  # it has heard enough
        assert b" 413 " in raw.recv(1000)


def test_many_pictures_in_one_request(server, remover, photo):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/x.jpg", photo)
        archive.writestr("a/x.jpeg", photo)
        archive.writestr("../../y.jpg", photo)
        archive.writestr("C:\\z.jpg", photo)
        archive.writestr("bad.jpg", b"no picture")
        archive.writestr("__MACOSX/a/._x.jpg", b"no picture")
        archive.writestr("big.jpg", bytes(2 << 20), zipfile.ZIP_DEFLATED)
    answer = server.post("/v1/batch?only_mask=true", packed.getvalue(), "application/zip")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    made = zipfile.ZipFile(io.BytesIO(answer.body))
    assert made.testzip() is None
    assert sorted(made.namelist()) == ["a/x.jpeg.png", "a/x.png", "errors.json", "y.png", "z.png"]
    assert {made.read(name) for name in made.namelist() if name != "errors.json"} == {
        remover.encoded(photo, only_mask=True)
    }
    errors = {item["file"]: item["code"] for item in json.loads(made.read("errors.json"))}
    assert errors == {"bad.jpg": "decode", "big.jpg": "too large"}
    parts = server.form("/v1/batch", {"images": photo, "more": photo}, Accept="multipart/mixed")
    assert parts.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    assert parts.body.count(remover.encoded(photo)) == 2
    assert server.post("/v1/batch", b"no zip", "application/zip").status == 400
    assert server.post("/v1/batch?threshold=x", packed.getvalue(), "application/zip").status == 400


def test_clients_of_rembg_find_their_routes(server, remover, photo):
    answer = server.form("/api/remove?bgc=255,0,0,255", {"file": photo, "ppm": "true"})
    wanted = remover.encoded(photo, post_process=True, decontaminate=False, background=(255, 0, 0, 255))
    assert (answer.status, answer.body == wanted) == (200, True)
    mask = server.form("/api/remove", {"file": photo, "om": "1"})
    assert mask.body == remover.encoded(photo, only_mask=True)
    for fields, words in [
        ({"a": "true"}, "dc"),
        ({"vm": "1"}, "ViTMatte"),
        ({"om": "maybe"}, "true or false"),
    ]:
        refused = server.form("/api/remove", {"file": photo, **fields})
        assert (refused.status, words in refused.json["detail"]) == (422, True)
    assert server.ask("GET", "/api/remove?url=http://127.0.0.1/").status == 400


def test_clients_of_removebg_find_theirs(server, remover, photo):
    fields = {"image_file": photo, "size": "auto", "bg_color": "81d4fa", "format": "jpg"}
    answer = server.form("/v1.0/removebg", fields, X_Api_Key="any")
    assert answer.body == remover.encoded(photo, background="#81d4fa", format="jpeg")
    given = json.dumps({"image_file_b64": base64.b64encode(photo).decode(), "channels": "alpha"}).encode()
    answer = server.post("/v1.0/removebg", given, "application/json", Accept="application/json")
    assert base64.b64decode(answer.json["data"]["result_b64"]) == remover.encoded(photo, only_mask=True)
    refused = server.form("/v1.0/removebg", {"image_file": photo, "add_shadow": "true"})
    assert (refused.status, refused.json["errors"][0]["code"]) == (400, "unsupported_parameter")


def test_health_metrics_and_documents(server, photo):
    server.post("/v1/cutout", photo)
    assert server.ask("GET", "/healthz").json == {"status": "ok"}
    assert server.ask("GET", "/readyz").json == {"status": "ready"}
    text = server.ask("GET", "/metrics").body.decode()
    for name in (
        "qbg_pictures_total",
        "qbg_stage_seconds_total",
        "qbg_request_seconds_bucket",
        "qbg_workers",
    ):
        assert name in text
    assert "qbg_working_pictures 0.0" in text
    api = server.ask("GET", "/openapi.json").json
    assert set(api["paths"]) >= {"/v1/cutout", "/v1/batch", "/healthz", "/readyz"}
    page = server.ask("GET", "/")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ("main.js", "style.css"):
        assert server.ask("GET", f"/page/{path}").status == 200
    assert server.ask("GET", "/page/../app.py").status == 404
    assert server.ask("GET", "/nowhere").json["error"]["code"] == "not found"
    assert server.ask("GET", "/v1/cutout").status == 405
    assert all("?" not in json.dumps(event) for event in server.events())


def test_pages_from_elsewhere_may_ask_where_they_are_named(server, quick_model, photo, tmp_path):
    origin = "https://shop.example"
    assert "Access-Control-Allow-Origin" not in server.post("/v1/cutout", photo, Origin=origin).headers
    with serving(tmp_path, "-m", quick_model, "--allow-origin", origin) as open_:
        asked = {"Origin": origin, "Access_Control_Request_Method": "POST"}
        assert open_.ask("OPTIONS", "/v1/cutout", **asked).headers["Access-Control-Allow-Origin"] == origin
        assert open_.post("/v1/cutout", photo, Origin=origin).headers["Access-Control-Allow-Origin"] == origin
        other = open_.post("/v1/cutout", photo, Origin="https://other.example")
        assert "Access-Control-Allow-Origin" not in other.headers


def test_a_batch_whose_client_leaves_gives_its_place_back(quick_model, photo, tmp_path):
    with serving(tmp_path, "-m", quick_model, "--workers", "1", "--queue", "0") as one:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for number in range(50):
                archive.writestr(f"{number}.jpg", photo)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", one.port), timeout=20) as raw:
                head = "POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/zip\r\n"
                raw.sendall(head.encode() + f"Content-Length: {len(packed.getvalue())}\r\n\r\n".encode())
                raw.sendall(packed.getvalue())
        end = time.monotonic() + 20
        while one.post("/v1/cutout", photo).status == 429:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_every_documented_parameter_is_read_and_every_read_one_documented(server):
    api = server.ask("GET", "/openapi.json").json
    for path in ("/v1/cutout", "/v1/batch"):
        names = [parameter["name"] for parameter in api["paths"][path]["post"]["parameters"]]
        assert names == ["model", *wishes.BY_NAME]


def test_keys_and_their_rates(quick_model, photo, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# who may ask\nann secret-1\nbob secret-2\n")
    with serving(tmp_path, "-m", quick_model, "--keys", keys, "--rate", "0.2") as server:
        refused = server.post("/v1/cutout", photo)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert server.post("/v1/cutout", photo, Authorization="Bearer secret-3").status == 401
        assert server.ask("GET", "/metrics").status == 401
        assert server.ask("GET", "/healthz").status == 200
        assert server.ask("GET", "/").status == 200
        # Ten seconds' worth at a fifth per second: two.
        codes = [server.post("/v1/cutout", photo, Authorization="Bearer secret-1").status for _ in range(3)]
        assert codes == [200, 200, 429]
        assert server.post("/v1/cutout", photo, X_Api_Key="secret-2").status == 200
    # An answer goes out before its line is written: only the whole log has them all.
    assert {event.get("key") for event in server.events()} == {None, "ann", "bob"}
    assert "secret" not in server.log.read_text()


def test_slow_heads_and_slow_bodies_are_cut_off(quick_model, tmp_path, photo):
    options = ("-m", quick_model, "--header-time", "0.4", "--upload-time", "0.6")
    with serving(tmp_path, *options) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
            slow.sendall(b"POST /v1/cutout HTTP/1.1\r\nHost: x\r\n")
            assert slow.recv(100) == b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as slow:
            slow.sendall(b"POST /v1/cutout HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            assert b" 408 " in slow.recv(1000)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as half:
            half.sendall(b"POST /v1/cutout HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            half.shutdown(socket.SHUT_WR)
            half.recv(1000)
        assert server.post("/v1/cutout", photo).status == 200
        assert "no whole head" in server.log.read_text()


def test_a_signal_lets_what_is_in_hand_be_finished(quick_model, tmp_path, photo):
    with serving(tmp_path, "-m", quick_model) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("POST", "/v1/cutout")
        connection.putheader("Content-Length", str(len(photo)))
        connection.endheaders()
        connection.send(photo[:100])
        time.sleep(0.2)  # it has arrived
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(photo[100:])
        assert connection.getresponse().status == 200
        connection.close()
        assert server.process.wait(20) == 0


def settle(main) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


def test_the_queue_is_bounded_and_says_when_to_come_again():
    async def main() -> None:
        desk = Desk(1, 2, 10.0, Metrics())
        places = [desk.admit() for _ in range(3)]
        with pytest.raises(ProblemError) as refused:
            desk.admit()
        assert refused.value.status == 429
        first = int(refused.value.headers["Retry-After"])
        turns = []
        for _ in range(200):
            with pytest.raises(ProblemError) as refused:
                desk.admit()
            turns.append(int(refused.value.headers["Retry-After"]))
        assert 1 <= first <= turns[0]
        assert turns == sorted(turns)  # a crowd is spread out
        assert turns[-1] == 30  # but nobody waits for ever
        places[0].__exit__()
        places[0].__exit__()  # a place is given back once
        desk.admit()
        with pytest.raises(ProblemError):
            desk.admit()
        desk.close()

    settle(main())


def test_a_deadline_ends_the_wait_and_work_that_goes_on_keeps_its_place():
    async def main() -> None:
        metrics = Metrics()
        desk = Desk(1, 0, 0.2, metrics)
        hold = threading.Event()
        with pytest.raises(ProblemError) as late, desk.admit() as place:
            await place.run(hold.wait)
        assert late.value.status == 504
        with pytest.raises(ProblemError):  # the worker still has it in hand
            desk.admit()
        hold.set()
        while True:
            try:
                desk.admit().__exit__()
                break
            except ProblemError:
                await asyncio.sleep(0.01)
        desk.close()
        assert metrics.waiting._value.get() == 0

    settle(main())


def test_what_waits_for_a_client_that_has_left_is_never_begun():
    async def main() -> None:
        metrics = Metrics()
        desk = Desk(1, 5, 10.0, metrics)
        hold, begun = threading.Event(), threading.Event()
        first = desk.admit()
        busy = asyncio.create_task(first.run(hold.wait))
        gone = asyncio.Event()
        with desk.admit() as place:
            waiting = asyncio.create_task(place.run(begun.set, gone.wait()))
            await asyncio.sleep(0.05)
            gone.set()
            with pytest.raises(ClientLeftError):
                await waiting
        hold.set()
        assert await busy
        first.__exit__()
        await asyncio.sleep(0.05)
        assert not begun.is_set()
        assert desk._taken == 0
        assert metrics.waiting._value.get() == 0
        desk.close()

    settle(main())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "2002:7f00:1::"),
        *("64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
    ],
)
def test_private_addresses_are_not_fetched(address, monkeypatch):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 0))]
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))]
    assert not fetch._is_public(address)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public + found)
    with pytest.raises(ProblemError, match="public"):
        fetch.fetch("http://example.com/x.jpg", 1000, 5.0)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/x",
        "http://",
        "http://a:b@example.com/",
        "http://example.com:22/",
        "http://[::1",
        "//example.com",
        "http://example.com/" + "x" * 5000,
    ],
)
def test_strange_addresses_are_refused(url):
    with pytest.raises(ProblemError) as refused:
        fetch.fetch(url, 1000, 5.0)
    assert refused.value.status == 400


def test_redirects_are_checked_anew_and_bytes_counted(monkeypatch):
    """Against a server on loopback that is passed off as public, through the only two seams there are."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/small":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"picture")
            elif self.path == "/large":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(bytes(5000))
            elif self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
                self.end_headers()
            else:
                self.send_response(302)
                self.send_header("Location", "http://inside.example/secret")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def look_up(host: str, port: int | None, *_: object, **__: object) -> list:
        address = "10.0.0.7" if host == "inside.example" else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(
        fetch, "_is_public", lambda text: ipaddress.ip_address(text) != ipaddress.ip_address("10.0.0.7")
    )
    monkeypatch.setitem(fetch.PORTS, "http", server.server_port)
    try:
        assert fetch.fetch("http://out.example/small", 1000, 5.0) == b"picture"
        for path, words in [("large", "more than"), ("loop", "redirects"), ("inside", "public")]:
            with pytest.raises(ProblemError, match=words):
                fetch.fetch(f"http://out.example/{path}", 1000, 5.0)
    finally:
        server.shutdown()
        server.server_close()


def test_a_zip_that_unpacks_to_more_than_it_says():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"{number}.jpg", bytes(1 << 20))
    data = packed.getvalue()
    items = list(bundle.unpacked(data, 10, 1000, 1 << 30))
    assert all(isinstance(item, ProblemError) and item.status == 413 for _, item in items)
    with pytest.raises(ProblemError, match="unpacked"):
        list(bundle.unpacked(data, 10, 2 << 20, 3 << 20))
    with pytest.raises(ProblemError, match="more than 4"):
        list(bundle.unpacked(data, 4, 1000, 1000))
    lying = data.replace((1 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert all(isinstance(item, ProblemError) for _, item in bundle.unpacked(lying, 10, 1 << 21, 1 << 30))


def test_names_in_a_batch_stay_below_and_stay_apart():
    names = Names("png", fold_case=True)
    given = ["a.jpg", "a.png", "a.webp", "A.JPG", "/etc/x.jpg", "..\\..\\w.jpg", "", "..", "a/./b.jpg"]
    made = [names.give(bundle.safe(name)) for name in given]
    assert len({name.lower() for name in made}) == len(given)
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in made)
    assert made[:2] == ["a.png", "a.png.png"]


def test_the_keys_file_is_read_strictly(tmp_path):
    from qbg.cli.exits import UsageError
    from qbg.cli.serve import read_keys

    path = tmp_path / "keys"
    path.write_text("ann k1\n\n# none\nbob k2\n")
    assert read_keys(path) == {hashlib.sha256(b"k1").digest(): "ann", hashlib.sha256(b"k2").digest(): "bob"}
    for text in ("ann\n", "ann b c\n", "# nobody\n"):
        path.write_text(text)
        with pytest.raises(UsageError, match="keys"):
            read_keys(path)
