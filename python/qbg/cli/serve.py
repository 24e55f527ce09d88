"""`qbg serve`: from flags to a running server. Must not know HTTP."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from qbg.cli.exits import UsageError, say
from qbg.memory import parse_size

MISSING = "pip install 'qbg[serve]'"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Model = Annotated[
    list[str] | None,
    typer.Option(
        "-m", "--model", metavar="MODEL", help="Served models; the first is the default. Repeatable."
    ),
]
Host = Annotated[str, typer.Option("-h", "--host", help="Address to listen on; 0.0.0.0 for all.")]
Port = Annotated[int, typer.Option("-p", "--port", min=0, max=65535, help="0: any.")]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Pictures worked on at once; default: one per CPU.")
]
Queue = Annotated[
    int | None, typer.Option(metavar="N", help="Pictures that may wait; default: 16 per worker.")
]
MaxUpload = Annotated[str, typer.Option(metavar="SIZE", help="Of one request's body.")]
MaxPixels = Annotated[int, typer.Option(metavar="N", help="Of one picture.")]
MaxMemory = Annotated[str | None, typer.Option(metavar="SIZE", help="As in qbg remove.")]
Deadline = Annotated[float, typer.Option(metavar="S", help="From a request's arrival to its answer.")]
UploadTime = Annotated[float, typer.Option(metavar="S", help="Within which a body has to be here.")]
HeaderTime = Annotated[float, typer.Option(metavar="S", help="Within which a request's head has to be here.")]
Drain = Annotated[float, typer.Option(metavar="S", help="After SIGTERM: for what is in hand.")]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Fetch pictures from public addresses.")]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="Pages from there may ask from a browser; * for all. Repeatable."),
]
KeyFile = Annotated[
    str | None,
    typer.Option("--keys", metavar="FILE", help="Who may ask: a line NAME KEY each. Else: everybody."),
]
Rate = Annotated[float | None, typer.Option(metavar="N", help="Requests per second and key.")]
NoPage = Annotated[bool, typer.Option("--no-page", help="No page at /.")]


def command(
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = None,
    queue: Queue = None,
    max_upload: MaxUpload = "32M",
    max_pixels: MaxPixels = 100_000_000,
    max_memory: MaxMemory = None,
    deadline: Deadline = 60.0,
    upload_time: UploadTime = 30.0,
    header_time: HeaderTime = 10.0,
    drain: Drain = 30.0,
    allow_urls: AllowUrls = False,
    allow_origin: AllowOrigin = None,
    keys: KeyFile = None,
    rate: Rate = None,
    no_page: NoPage = False,
) -> int:
    """Serve cut-outs over HTTP, with a page to drop photos on.

    Logs are lines of JSON on standard error. After SIGTERM or Ctrl-C what is in hand is finished.
    """
    try:
        from qbg.serve.app import serve
        from qbg.serve.settings import Settings
    except ImportError as error:
        raise UsageError(f"the server needs more packages ({error.name})", hint=MISSING) from error
    try:
        settings = Settings(
            models=tuple(dict.fromkeys(model or ["qbg-base"])),
            workers=workers,
            queue=queue,
            max_upload_bytes=parse_size(max_upload),
            max_pixels=max_pixels,
            max_memory=None if max_memory is None else parse_size(max_memory),
            deadline_s=deadline,
            upload_s=upload_time,
            header_s=header_time,
            origins=tuple(allow_origin or ()),
            allow_urls=allow_urls,
            keys={} if keys is None else read_keys(Path(keys)),
            rate=rate,
            page=not no_page,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    if host not in LOOPBACK and not settings.keys:
        announce(f"anybody who reaches {host} may ask: --keys FILE asks for a key")

    def ready(host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        announce(f"listening on http://{shown}:{port}" + ("" if no_page else ", a page to drop photos on"))

    return serve(settings, host, port, drain, ready=ready)


def announce(text: str) -> None:
    """A line for whoever started it: as it is on a terminal, else one of the log's."""
    from qbg.serve.guard import log

    if sys.stderr.isatty():
        say(text)
    else:
        log("note", message=text)


def read_keys(path: Path) -> dict[bytes, str]:
    """Names by the SHA-256 of their keys; the keys themselves are forgotten.

    Raises:
        UsageError: the file can't be read, or a line isn't `NAME KEY`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--keys {path}: can't be read: {error}", hint="a text file") from error
    found: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split()
        if len(parts) != 2:
            raise UsageError(f"--keys {path}: line {number} isn't `NAME KEY`")
        found[hashlib.sha256(parts[1].encode()).digest()] = parts[0]
    if not found:
        raise UsageError(f"--keys {path}: there is no key in it")
    return found
