"""One file over HTTP(S) into one file on disk, from where an earlier attempt broke off.

Standard library only. HTTPS only, unless the caller says that the address was given by the user; a
redirect never leads from HTTPS to HTTP. Proxies are those of the environment (https_proxy, no_proxy),
certificates those of Python (SSL_CERT_FILE). Must not know models, checksums or which source is next.

    ask for bytes n.. where n bytes are here
    206 with the right start: append; 200: start anew; 416: what is here is no beginning, start anew
    read until the announced end; less than that is a cut connection, and worth another attempt
"""

from __future__ import annotations

import base64
import errno
import http.client
import os
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
"""Without a byte for so long, the connection counts as cut."""

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which another attempt may succeed."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TransferError(Exception):
    """The source didn't deliver.

    Attributes:
        again: whether another attempt at the same source may succeed.
        hint: what can be done, or None.
    """

    def __init__(self, message: str, *, again: bool = False, hint: str | None = None) -> None:
        super().__init__(message)
        self.again = again
        self.hint = hint


class StorageError(Exception):
    """This machine couldn't take the bytes. Its cause is the OSError."""


def transfer(
    url: str, part: Path, *, size: int | None, any_scheme: bool, tick: Callable[[int, int | None], None]
) -> None:
    """Appends what is missing of `url` to `part`.

    Args:
        url: the source.
        part: the file; what it holds already counts as the beginning.
        size: what the whole must have, in bytes; None where that isn't known.
        any_scheme: whether HTTP without TLS is allowed.
        tick: called with the bytes that are here, and with the whole's number where that is known.

    Raises:
        TransferError: the source didn't deliver the whole.
        StorageError: the disk didn't take it.
    """
    start = part.stat().st_size if part.exists() else 0
    if size is not None and start >= size:
        if start == size:
            return
        start = 0
    with _ask(url, start, any_scheme) as answer:
        if start and (answer.status != 206 or _first(answer) != start):
            if answer.status == 206:
                raise TransferError("it sent another part than it was asked for")
            start = 0
        whole = _announced(answer, start)
        if size is not None and whole is not None and whole != size:
            raise TransferError(f"it offers {whole:,} bytes, but the file has {size:,}")
        here = _pour(answer, part, start, lambda now: tick(now, size if size is not None else whole))
    expected = whole if whole is not None else size
    if expected is not None and here != expected:
        raise TransferError(f"the connection was cut after {here:,} of {expected:,} bytes", again=True)


def shown(url: str) -> str:
    """The address without a password, for messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows only where the transport stays as safe as it was."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after != "https" and after != before:
            fp.close()
            raise TransferError(f"it redirects to {shown(newurl)}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _ask(url: str, start: int, any_scheme: bool) -> http.client.HTTPResponse:
    from qbg import _native

    scheme = urlsplit(url).scheme
    if scheme != "https" and not (any_scheme and scheme == "http"):
        raise TransferError(f"`{shown(url)}` is no https address", hint="an address begins with https://")
    headers = {"User-Agent": f"qbg/{_native.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    opener = urllib.request.build_opener(_Redirects)
    try:
        address, secret = _without_secret(url)
        # The scheme was looked at above.
        request = urllib.request.Request(address, headers=headers)  # noqa: S310
        if secret is not None:
            # For this host only: a redirect may lead to another.
            request.add_unredirected_header("Authorization", secret)
        answer: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            # What is here is as long as the file or longer. The caller's checksum will tell; without
            # a known size only a fresh start can.
            return _ask(url, 0, any_scheme)
        raise _refused(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(error) from error
    return answer


def _without_secret(url: str) -> tuple[str, str | None]:
    """The address without NAME:PASSWORD@, and what says the same in a header."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    encoded = base64.b64encode(unquote(account).encode()).decode()
    return parts._replace(netloc=host).geturl(), f"Basic {encoded}"


def _pour(answer: http.client.HTTPResponse, part: Path, start: int, tick: Callable[[int], None]) -> int:
    """Bytes from the answer to the file, which is `start` long. Returns how many are there."""
    here = start
    with _open(part, start) as file:
        tick(here)
        while True:
            try:
                block = answer.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise TransferError(
                    f"the connection was cut after {here:,} bytes: {_words(error)}", again=True
                ) from error
            if not block:
                return here
            try:
                write(file, block)
            except OSError as error:
                raise StorageError from error
            here += len(block)
            tick(here)


def _open(part: Path, start: int) -> Any:
    try:
        file = part.open("ab", buffering=0)
        if file.tell() != start:
            file.truncate(start)
    except OSError as error:
        raise StorageError from error
    return file


def write(file: Any, block: bytes) -> None:
    """All of the block: an unbuffered write may take only a part, as on a disk that fills up."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


def _announced(answer: http.client.HTTPResponse, start: int) -> int | None:
    """How long the whole file is, by the answer's headers."""
    length = answer.headers.get("Content-Length")
    return start + int(length) if length is not None and length.isdigit() else None


def _first(answer: http.client.HTTPResponse) -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _refused(error: urllib.error.HTTPError) -> TransferError:
    reason = http.client.responses.get(error.code, "")
    hint = None
    if 300 <= error.code < 400:
        return TransferError(f"HTTP {error.code}: it redirects in circles, to nowhere or off the web")
    if error.code == 407:
        hint = "the proxy wants a name and a password: https_proxy=http://NAME:PASSWORD@HOST:PORT"
    elif error.code in (401, 403):
        hint = "the server wants you to sign in or to accept terms: download it in a browser"
    return TransferError(f"HTTP {error.code} {reason}".strip(), again=error.code in BUSY, hint=hint)


def _unreachable(error: Exception) -> TransferError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransferError(
            f"its certificate isn't trusted: {cause.verify_message}",
            hint="behind a company's proxy set SSL_CERT_FILE to its certificates",
        )
    text = cause if isinstance(cause, str) else _words(cause)
    return TransferError(
        f"can't be reached: {text}",
        again=isinstance(cause, TimeoutError | ConnectionError | http.client.HTTPException),
        hint="check the network and the proxy (https_proxy)",
    )


def _words(error: object) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip() or type(error).__name__


def out_of_space(error: OSError) -> bool:
    """Whether the disk, a quota or a limit is full."""
    return error.errno in FULL


def sync(part: Path) -> None:
    """Makes the file durable, so that a rename never shows one with holes after a power cut."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError from error
