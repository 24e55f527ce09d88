"""A request's body and parameters to one picture and its options. Must not know routes or workers.

Bodies are read within a limit of bytes and of time, whatever their headers promise.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from qbg.serve.problems import ClientLeftError, ProblemError

FIELD_BYTES = 64 << 10
"""Of one form field that is no file."""

MAX_FIELDS = 64

FORM = "multipart/form-data"
JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
"""What curl says of `--data-binary @photo.jpg`: taken for the picture that it is."""


@dataclass(slots=True)
class Ask:
    """What came in.

    Attributes:
        fields: parameters, as text or as JSON values.
        files: (field, file name, content), in their order. A raw body has the field ``.
    """

    fields: dict[str, object] = field(default_factory=dict)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)

    def take(self, *names: str) -> bytes | None:
        """The content of the first file under one of these fields."""
        return next((content for name, _, content in self.files if name in names), None)


async def read(request: Request, limit: int, seconds: float, max_files: int = 4) -> Ask:
    """Body, form and query; what the body says goes before what the query says.

    Args:
        request: whose body nobody has read.
        limit: bytes of the body.
        seconds: within which it has to be here.
        max_files: in a form.

    Raises:
        ProblemError: too large, too slow, or not what it says it is.
        ClientLeftError: it stopped in the middle.
    """
    ask = Ask()
    query: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        _add(query, name, value)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(seconds):
            if media == FORM:
                await _form(request, limit, max_files, ask)
            else:
                body = await _body(request, limit)
                if media == JSON:
                    _json(body, ask)
                elif media in ("", URLENCODED, "application/octet-stream") or media.startswith("image/"):
                    ask.files += [("", "", body)] if body else []
                elif media in ("application/zip", "application/x-zip-compressed"):
                    ask.files.append(("zip", "", body))
                else:
                    raise ProblemError(
                        415,
                        "content-type",
                        f"a body of type {media[:80]}",
                        hint=f"send {FORM}, {JSON} or image/*",
                    )
    except TimeoutError as error:
        raise ProblemError(408, "slow", f"the body wasn't here within {seconds:.0f} s") from error
    except ClientDisconnect as error:
        raise ClientLeftError from error
    ask.fields = {**query, **ask.fields}
    return ask


def decoded(text: object, limit: int) -> bytes:
    """Base64, with or without `data:...;base64,` before it.

    Raises:
        ProblemError: it isn't.
    """
    if not isinstance(text, str):
        raise ProblemError(400, "base64", "a picture in JSON is base64 text")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProblemError(422, "base64", f"no base64: {error}") from error
    if len(data) > limit:
        raise _too_large(limit)
    return data


async def _stream(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limit:
            raise _too_large(limit)
        yield chunk


async def _body(request: Request, limit: int) -> bytes:
    return b"".join([chunk async for chunk in _stream(request, limit)])


async def _form(request: Request, limit: int, max_files: int, ask: Ask) -> None:
    parser = MultiPartParser(
        request.headers,
        _stream(request, limit),
        max_files=max_files,
        max_fields=MAX_FIELDS,
        max_part_size=max(FIELD_BYTES, limit),
    )
    parser.spool_max_size = limit  # pictures stay in memory, and off the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, "multipart", error.message) from error
    except (ValueError, KeyError, LookupError, AssertionError) as error:
        raise ProblemError(400, "multipart", "not a form that can be read") from error
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                ask.files.append((name, value.filename or "", await value.read()))
            else:
                _add(ask.fields, name, value)
    finally:
        await form.close()


def _json(body: bytes, ask: Ask) -> None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "json", "not JSON that can be read") from error
    if not isinstance(value, dict):
        raise ProblemError(400, "json", "an object is wanted")
    for name, item in value.items():
        _add(ask.fields, name, item)


def _add(fields: dict[str, object], name: str, value: object) -> None:
    if name in fields:
        raise ProblemError(400, "parameter", f"`{name[:80]}` is given twice")
    fields[name] = value


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "too large", f"more than {limit >> 20} MiB", hint="send a smaller picture")
