"""A web server on 127.0.0.1 that misbehaves on request, for tests of downloads. Must not know qbg.

What it serves is set by path: bytes, and what is done to them. It keeps a list of what it was asked.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What lies under a path.

    Attributes:
        data: the whole.
        status: other than 200 or 206: an answer without the data.
        location: where a redirect leads.
        cuts: after so many bytes the connection is closed; one is used up per request, then none.
        ranges: whether parts can be asked for.
        announces: whether Content-Length is sent.
        shift: the part that is sent starts so many bytes later than asked.
        hold: waited for before the data.
    """

    data: bytes = b""
    status: int = 200
    location: str | None = None
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    announces: bool = True
    shift: int = 0
    hold: threading.Event | None = None


@dataclass
class Server:
    """A running server.

    Attributes:
        base: its address without a slash at the end.
        pages: by path.
        asked: (path, Range header or None) of each request, in order.
        accounts: the Authorization header of each request, or None.
    """

    base: str
    pages: dict[str, Page]
    asked: list[tuple[str, str | None]]
    accounts: list[str | None]

    def wait_for(self, count: int) -> None:
        """Until so many requests have come."""
        for _ in range(2000):
            if len(self.asked) >= count:
                return
            time.sleep(0.01)
        raise AssertionError(f"only {self.asked}")


@contextmanager
def serving() -> Iterator[Server]:
    """The server, while the block runs."""
    server = Server("", {}, [], [])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_GET(self) -> None:
            self.close_connection = True
            wanted = self.headers.get("Range")
            server.accounts.append(self.headers.get("Authorization"))
            server.asked.append((self.path, wanted))
            page = server.pages.get(self.path, Page(status=404, data=b"<html>nothing here</html>"))
            if page.hold is not None:
                assert page.hold.wait(20)
            self._answer(page, wanted)

        def _answer(self, page: Page, wanted: str | None) -> None:
            data, status, start = page.data, page.status, 0
            found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            if found and page.ranges and status == 200:
                start = int(found[1])
                status = 206 if start < len(data) else 416
            body = b"" if status == 416 else data[start + (page.shift if status == 206 else 0) :]
            self.send_response(status)
            if page.location is not None:
                self.send_header("Location", page.location)
            if status == 206:
                last = len(data) - 1
                self.send_header("Content-Range", f"bytes {start + page.shift}-{last}/{len(data)}")
            if page.announces:
                self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if page.cuts and status in (200, 206):
                self.wfile.write(body[: page.cuts.pop(0)])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that has gone is nothing to report."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.base = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
