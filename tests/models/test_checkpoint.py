"""Checkpoints: what is read, and that nothing in a file is executed or believed.

PyTorch's files are imitated here, instruction by instruction, by the standard library's pickler
with stand-ins that pickle as PyTorch's objects do.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbg.errors import ModelError, ModelNotFoundError
from qbg.models.checkpoint import read_checkpoint
from qbg.models.pickled import Call, Named, PickleError, read_pickle


class Global:
    """Pickled as a name, without the named thing being there."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Reduced:
    """Pickled as a call."""

    def __init__(self, function: Global, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class Storage:
    """Pickled as a reference to an entry of the archive."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.reference = ("storage", Global("torch", kind), key, "cpu", count)


class Writer(pickle._Pickler):  # type: ignore[name-defined]  # the one in Python can be taught new types
    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def persistent_id(self, value: Any) -> Any:
        return value.reference if isinstance(value, Storage) else None

    def save_global_stand_in(self, value: Global) -> None:
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        self.memoize(value)

    def save_reduced_stand_in(self, value: Reduced) -> None:
        self.save(value.function)
        self.save(value.arguments)
        self.write(pickle.REDUCE)
        self.memoize(value)

    dispatch[Global] = save_global_stand_in
    dispatch[Reduced] = save_reduced_stand_in


def pickled(value: Any, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    Writer(stream, protocol).dump(value)
    return stream.getvalue()


TENSOR = Global("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Global("torch._utils", "_rebuild_parameter")
HOOKS = collections.OrderedDict()


def tensor(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Reduced:
    return Reduced(TENSOR, storage, offset, size, stride, False, HOOKS)


def archive(path: Path, table: Any, storages: dict[str, bytes], **options: Any) -> Path:
    compression = options.get("compression", zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "w", compression) as out:
        data = table if isinstance(table, bytes) else pickled(table)
        out.writestr("net/data.pkl", data)
        out.writestr("net/byteorder", options.get("order", "little"))
        for key, numbers in storages.items():
            out.writestr(f"net/data/{key}", numbers)
    return path


EIGHT = np.arange(8, dtype=np.float32)


def one(**changes: Any) -> Reduced:
    """A description of a tensor (2, 4) in the storage `0` of eight numbers."""
    facts: dict[str, Any] = {"kind": "FloatStorage", "key": "0", "count": 8, "offset": 0}
    facts |= {"size": (2, 4), "stride": (4, 1), **changes}
    storage = Storage(facts["kind"], facts["key"], facts["count"])
    return tensor(storage, facts["offset"], facts["size"], facts["stride"])


def test_reads_a_state_dict(tmp_path: Path) -> None:
    shared = Storage("FloatStorage", "0", 8)
    table = collections.OrderedDict(
        whole=tensor(shared, 0, (2, 4), (4, 1)),
        turned=tensor(shared, 0, (4, 2), (1, 4)),
        part=tensor(shared, 3, (5,), (1,)),
        one=tensor(shared, 7, (), ()),
        none=tensor(shared, 0, (0, 3), (3, 1)),
        parameter=Reduced(
            Global("torch._utils", "_rebuild_parameter"), tensor(shared, 0, (8,), (1,)), True, HOOKS
        ),
        half=tensor(Storage("HalfStorage", "1", 2), 0, (2,), (1,)),
        brain=tensor(Storage("BFloat16Storage", "2", 2), 0, (2,), (1,)),
        count=tensor(Storage("LongStorage", "3", 1), 0, (), ()),
    )
    storages = {
        "0": EIGHT.tobytes(),
        "1": np.array([1, -2], np.float16).tobytes(),
        "2": (np.array([1.5, -3], np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes(),
        "3": np.array(7, np.int64).tobytes(),
    }
    found = read_checkpoint(archive(tmp_path / "a.pth", table, storages))
    wanted = {
        "whole": EIGHT.reshape(2, 4),
        "turned": EIGHT.reshape(2, 4).T,
        "part": EIGHT[3:],
        "one": np.float32(7),
        "none": np.zeros((0, 3), np.float32),
        "parameter": EIGHT,
        "half": np.array([1, -2], np.float16),
        "brain": np.array([1.5, -3], np.float32),
        "count": np.int64(7),
    }
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert np.array_equal(found[name], value), name
        assert found[name].dtype == np.asarray(value).dtype
        assert not found[name].flags.writeable


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", ["state_dict", "model"])
def test_finds_the_table_beside_other_things(name: str, protocol: int, tmp_path: Path) -> None:
    table = {"epoch": 3, "rate": 1e-5, "big": 2**40, "words": ["a", None, True], name: {"w": one()}}
    found = read_checkpoint(archive(tmp_path / "a.pth", pickled(table, protocol), {"0": EIGHT.tobytes()}))
    assert np.array_equal(found["w"], EIGHT.reshape(2, 4))


def test_nothing_is_called(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    wish = Reduced(Global("builtins", "open"), str(trace), "w")
    assert read_pickle(pickled(wish)) == Call("builtins.open", (str(trace), "w"))
    with pytest.raises(ModelError, match=r"no plain tensor but `builtins\.open`"):
        read_checkpoint(archive(tmp_path / "a.pth", {"w": wish}, {}))
    assert not trace.exists()
    # The same wish, granted by the standard library: the test's file isn't harmless by accident.
    pickle.loads(pickled(wish)).close()
    assert trace.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offset": 1}, "larger than what is stored"),
        ({"size": (3, 4)}, "larger than what is stored"),
        ({"stride": (8, 1)}, "larger than what is stored"),
        ({"size": (2**20, 2**20), "stride": (0, 0)}, "larger than what is stored"),
        ({"size": (2,)}, "larger than what is stored"),
        ({"offset": -1}, "makes no sense"),
        ({"stride": (-4, 1)}, "makes no sense"),
        ({"size": (2**62, 4)}, "makes no sense"),
        ({"size": 8}, "makes no sense"),
        ({"count": 9}, "holds 8 numbers, not 9"),
        ({"kind": "DoubleStorage"}, "holds 4 numbers, not 8"),
        ({"kind": "QInt8Storage"}, "of an unknown kind"),
        ({"key": "../../x"}, "`../../x` is missing"),
    ],
)
def test_a_tensor_that_lies(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pth", {"w": one(**change)}, {"0": EIGHT.tobytes()})
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    good = archive(tmp_path / "good.pth", {"w": one()}, {"0": EIGHT.tobytes()}).read_bytes()
    zeros = {"0": bytes(1 << 20)}
    packed = archive(tmp_path / "c.pth", {"w": one()}, zeros, compression=zipfile.ZIP_DEFLATED).read_bytes()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as out:
        out.writestr("readme.txt", "hello")
    cases = {
        "before version 1.6": pickled({"w": 1}),
        "neither a PyTorch file": b"GIF89a",
        "neither a PyTorch file nor": b"",
        "compressed entries": packed,
        "no data.pkl": (tmp_path / "other.zip").read_bytes(),
        "can't be read as a checkpoint": good[: len(good) // 2],
        "can't be read as a checkpoint: ": good.replace(EIGHT.tobytes(), EIGHT[::-1].tobytes()),
        "no table of tensors": archive(tmp_path / "d.pth", [1, 2], {}).read_bytes(),
        "keys that aren't text": archive(tmp_path / "e.pth", {1: one()}, {"0": EIGHT.tobytes()}).read_bytes(),
        "big-endian": archive(tmp_path / "f.pth", {}, {}, order="big").read_bytes(),
    }
    for words, data in cases.items():
        path = tmp_path / "bad.pth"
        path.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            read_checkpoint(path)
        assert words in str(caught.value)
    with pytest.raises(ModelNotFoundError):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path)


def test_entries_that_claim_more_than_there_is(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "a.pth", {"w": one()}, {"0": EIGHT.tobytes()}).read_bytes())
    # In the central directory, 20 bytes into an entry: packed size, then size.
    at = data.index(b"PK\x01\x02") + 20
    data[at : at + 8] = struct.pack("<II", 1 << 30, 1 << 30)
    (tmp_path / "a.pth").write_bytes(bytes(data))
    with pytest.raises(ModelError, match="larger than the file"):
        read_checkpoint(tmp_path / "a.pth")


def safetensors(path: Path, header: Any, body: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32], **changes}}


def test_reads_safetensors(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, **entry()}
    header["b"] = {"dtype": "BF16", "shape": [2], "data_offsets": [32, 36]}
    found = read_checkpoint(
        safetensors(tmp_path / "a.safetensors", header, EIGHT.tobytes() + b"\x80\x3f\x00\xc0")
    )
    assert list(found) == ["w", "b"]
    assert np.array_equal(found["w"], EIGHT.reshape(2, 4))
    assert np.array_equal(found["b"], np.array([1, -2], np.float32))


@pytest.mark.parametrize(
    "header",
    [
        entry(data_offsets=[0, 36]),
        entry(data_offsets=[32, 0]),
        entry(data_offsets=[-4, 28]),
        entry(data_offsets=[0, 31]),
        entry(shape=[2, 5]),
        entry(shape=[-2, -4]),
        entry(shape="24"),
        entry(dtype="F128"),
        {"w": 3},
        [1],
        b"{",
        b"[" * 100_000,
    ],
)
def test_a_header_that_lies(header: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="can't be read as a checkpoint"):
        read_checkpoint(safetensors(tmp_path / "a.safetensors", header, EIGHT.tobytes()))


def test_a_header_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for data in (b"", b"\x01", struct.pack("<Q", 2**63) + b"{}"):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="cut short or too large"):
            read_checkpoint(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN, st.sampled_from([2, 4]))
def test_plain_data_comes_back(value: Any, protocol: int) -> None:
    assert read_pickle(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=64))
def test_noise_is_refused_or_read_and_never_breaks(data: bytes) -> None:
    with contextlib.suppress(PickleError):
        read_pickle(b"\x80\x02" + data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\x02r\xff\xff\xff\xff.", "makes no sense"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "cut short"),
        (b"\x80\x02cos\nsystem", "cut short"),
        (b"\x80\x02c\xff\nx\n.", "makes no sense"),
        (b"\x80\x02h\x05.", "makes no sense"),
        (b"\x80\x02]}s.", "makes no sense"),
        (b"\x80\x02t.", "makes no sense"),
        (b"\x80\x02))R.", "makes no sense"),
        (b"\x80\x02(cos\nsystem\no.", "isn't one that data needs"),
        (b"\x80\x02})Ns.", "makes no sense"),
        (b"\x80\x02}(K\x01u.", "makes no sense"),
        (b"\x80\x02.", "makes no sense"),
        (b"", "cut short"),
    ],
)
def test_programs_that_are_no_data(data: bytes, words: str) -> None:
    with pytest.raises(PickleError, match=words):
        read_pickle(data)


def test_names_are_kept_as_names() -> None:
    assert read_pickle(b"\x80\x02cos\nsystem\n.") == Named("os.system")
