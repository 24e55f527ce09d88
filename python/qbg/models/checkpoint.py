"""Tensors of a checkpoint by name: PyTorch's zip format and safetensors.

Nothing that a file holds is executed: the pickle inside a .pth is read as data by
`qbg.models.pickled`, and three of the calls that it asks for are understood here. Sizes are
checked before anything of that size is read: no entry may be compressed (PyTorch compresses none,
so there is no bomb to inflate), and all entries together may not be larger than the file.
Must not know any network. Left out: PyTorch's format from before version 1.6, sparse and quantized
tensors.

Sources: PyTorch's serialization notes; the safetensors format description.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg.errors import ModelError, ModelNotFoundError
from qbg.models.pickled import Call, Named, PickleError, Stored, read_pickle

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

HEADER_LIMIT = 16 << 20
"""Bytes of the part that names tensors. A thousand tensors take about 0.2 MB."""

BF16 = "bf16"
"""NumPy has no such type: read as 16-bit integers and widened."""

TORCH_TYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BF16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
}
SAFETENSORS_TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": BF16, "I64": "<i8", "I32": "<i4"}

ORDERED = "collections.OrderedDict"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
INSIDE = ("state_dict", "model")
"""Under these names training programs keep the tensors beside other things."""


class UnreadableError(Exception):
    """What is wrong with the file, for the one line of the error."""


def read_checkpoint(path: Path) -> dict[str, Array]:
    """The tensors of a checkpoint, in their own type (bfloat16 widened to float32), read-only.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it can't be read, or is no checkpoint of a known format.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        if start[:2] == b"PK":
            return _read_torch(path)
        if path.suffix.lower() == ".safetensors":
            return _read_safetensors(path)
        if start[:1] == b"\x80":
            raise UnreadableError("a PyTorch file from before version 1.6")
        raise UnreadableError("neither a PyTorch file nor safetensors")
    except FileNotFoundError:
        raise ModelNotFoundError("no such file", stage="model", path=str(path)) from None
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", stage="model", path=str(path)) from error
    except (UnreadableError, PickleError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ModelError(
            f"can't be read as a checkpoint: {error}",
            stage="model",
            path=str(path),
            hint="save the state dict with a current torch.save, or as .safetensors",
        ) from error


def _read_torch(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise UnreadableError("it holds compressed entries, which PyTorch doesn't write")
        if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
            raise UnreadableError("its entries claim to be larger than the file")
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UnreadableError("it has no data.pkl, as PyTorch writes it")
        if entries[pickles[0]].file_size > HEADER_LIMIT:
            raise UnreadableError(f"its data.pkl is larger than {HEADER_LIMIT} bytes")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise UnreadableError("its numbers are big-endian")
        storages = _Storages(archive, entries, f"{folder}data/")
        return _tensors(read_pickle(archive.read(pickles[0])), storages)


def _tensors(root: Any, storages: _Storages) -> dict[str, Array]:
    table = _table(root)
    for name in INSIDE:
        if table is not None and _table(table.get(name)) is not None:
            table = _table(table[name])
    if table is None:
        raise UnreadableError("it holds no table of tensors")
    found = {name: _tensor(value, storages) for name, value in table.items() if isinstance(name, str)}
    if len(found) != len(table):
        raise UnreadableError("its table has keys that aren't text")
    return found


def _table(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Call) and value.name == ORDERED and value.arguments == ():
        return value.items
    return value if isinstance(value, dict) else None


def _tensor(value: Any, storages: _Storages) -> Array:
    import numpy as np

    if isinstance(value, Call) and value.name == PARAMETER and value.arguments:
        value = value.arguments[0]
    if not isinstance(value, Call) or value.name != TENSOR or len(value.arguments) < 4:
        what = value.name if isinstance(value, Call | Named) else type(value).__name__
        raise UnreadableError(f"an entry of its table is no plain tensor but `{what[:80]}`")
    stored, offset, size, stride = value.arguments[:4]
    if not isinstance(stored, Stored) or not _sizes((offset,)) or not _sizes(size) or not _sizes(stride):
        raise UnreadableError("a tensor's description makes no sense")
    numbers = storages.read(stored.key)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=False))
    if len(size) != len(stride) or math.prod(size) > len(numbers) or not (0 in size or last < len(numbers)):
        raise UnreadableError("a tensor is larger than what is stored for it")
    steps = [step * numbers.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False)


def _sizes(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 2**40 for value in values)


@dataclass
class _Storages:
    """The numbers beside the pickle, read when a tensor wants them."""

    archive: zipfile.ZipFile
    entries: dict[str, zipfile.ZipInfo]
    folder: str

    def __post_init__(self) -> None:
        self._read: dict[tuple[str, str], Array] = {}

    def read(self, reference: Any) -> Array:
        """The flat array of ('storage', type, key, place, count)."""
        match reference:
            case ("storage", Named(name=kind), str(key), _, int(count)) if kind in TORCH_TYPES:
                pass
            case _:
                raise UnreadableError("a tensor's storage is of an unknown kind")
        if (kind, key) not in self._read:
            entry = self.entries.get(self.folder + key)
            if entry is None:
                raise UnreadableError(f"storage `{key[:80]}` is missing")
            numbers = _numbers(self.archive.read(entry), TORCH_TYPES[kind])
            if len(numbers) != count:
                raise UnreadableError(f"storage `{key[:80]}` holds {len(numbers)} numbers, not {count}")
            self._read[(kind, key)] = numbers
        return self._read[(kind, key)]


def _numbers(data: bytes | memoryview, kind: str) -> Array:
    import numpy as np

    width = 2 if kind == BF16 else np.dtype(kind).itemsize
    if len(data) % width:
        raise UnreadableError("a tensor's bytes are no whole number of numbers")
    if kind == BF16:
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, kind)


def _read_safetensors(path: Path) -> dict[str, Array]:
    data = memoryview(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(HEADER_LIMIT, len(data) - 8):
        raise UnreadableError("its header is cut short or too large")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UnreadableError("its header isn't a JSON object")
    body = data[8 + length :]
    return {name: _slice(body, entry) for name, entry in header.items() if name != "__metadata__"}


def _slice(body: memoryview, entry: Any) -> Array:
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(start), int(end)]}:
            pass
        case _:
            raise UnreadableError("an entry of its header makes no sense")
    if kind not in SAFETENSORS_TYPES or not _sizes(tuple(shape)) or not 0 <= start <= end <= len(body):
        raise UnreadableError("an entry of its header is of an unknown type or lies outside the file")
    numbers = _numbers(body[start:end], SAFETENSORS_TYPES[kind])
    if math.prod(shape) != len(numbers):
        raise UnreadableError("a tensor's shape doesn't fit its bytes")
    return numbers.reshape(shape)
