"""Looks at a file's bytes to say in one line why it can't be an ONNX model, before a library loads it.

What people most often have instead: a web page, a Git LFS pointer, a PyTorch checkpoint, or a file cut short
by a broken download. An ONNX file is one protobuf message; only its outermost fields are walked, with a
seek over each, so a file of a gigabyte costs a few reads. Must not know any model, nor judge a graph: what
passes here may still be refused by ONNX Runtime.

Source: protobuf's encoding guide (tag = field number << 3 | wire type), onnx.proto (ModelProto).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from qbg.errors import ModelError

EXPORT = "export the network as one ONNX file, or give the path of another file"
AGAIN = "get the file again: `qbg models download NAME`, or from where it came"

# (bytes, at which offset, what it is, what to do)
MARKS = (
    (b"version https://git-lfs", 0, "a Git LFS pointer, not the file itself", "run `git lfs pull` there"),
    (b"PK\x03\x04", 0, "a zip archive, as PyTorch writes them", EXPORT),
    (b"\x80\x02", 0, "a pickle, as PyTorch wrote them", EXPORT),
    (b"\x1f\x8b", 0, "compressed with gzip", "unpack it"),
    (b"\x89HDF", 0, "an HDF5 file, as Keras writes them", EXPORT),
    (b"TFL3", 4, "a TensorFlow Lite file", EXPORT),
    (b'{"', 8, "a safetensors file", EXPORT),
    (b"\x89PNG", 0, "a picture", EXPORT),
    (b"\xff\xd8\xff", 0, "a picture", EXPORT),
)
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
ORT_FORMAT = (b"ORTM", 4)
"""ONNX Runtime's own form of a model, which it opens as well."""

GRAPH = 7
WIRE_TYPES = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Of ModelProto's fields, by number: 0 is a number, 2 has a length."""


def refuse_strangers(path: Path) -> None:
    """Returns for what may be an ONNX file.

    Raises:
        ModelError: it can't be one; the message says what it is.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            found = _stranger(stream.read(64), size)
            if found is None:
                stream.seek(0)
                found = _walk(stream, size)
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror}",
            stage="model",
            path=str(path),
            hint="check the path and who may read it",
        ) from error
    if found is not None:
        raise ModelError(found[0], stage="model", path=str(path), hint=found[1])


def _stranger(head: bytes, size: int) -> tuple[str, str] | None:
    """Message and hint for what its first bytes give away."""
    if size == 0:
        return "not an ONNX file: it is empty", AGAIN
    for mark, offset, kind, hint in MARKS:
        if head[offset : offset + len(mark)] == mark:
            return f"not an ONNX file: it is {kind}", hint
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES):
        return "not an ONNX file: it is a web page, such as an error or a sign-in", AGAIN
    return None


def _walk(stream: BinaryIO, size: int) -> tuple[str, str] | None:
    """Message and hint for what isn't a whole ModelProto with a graph."""
    head = stream.read(8)
    stream.seek(0)
    if head[ORT_FORMAT[1] :] == ORT_FORMAT[0]:
        return None
    strange = ("not an ONNX file", EXPORT)
    graph = False
    while stream.tell() < size:
        tag = _varint(stream)
        if tag is None or WIRE_TYPES.get(tag >> 3) != tag & 7:
            # Cut in the middle of a tag, after a graph, is still strange rather than short: rare enough.
            return strange
        value = _varint(stream)
        if value is None:
            return strange
        if tag & 7 == 2:
            end = stream.tell() + value
            if end > size:
                missing = end - size
                return (f"it ends early: at least {missing:,} bytes are missing", AGAIN)
            stream.seek(value, os.SEEK_CUR)
        graph = graph or tag >> 3 == GRAPH
    return None if graph else ("not an ONNX file: it holds no graph", EXPORT)


def _varint(stream: BinaryIO) -> int | None:
    """A base-128 number; None where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
