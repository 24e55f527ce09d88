"""Files that are no ONNX models, and how each is told; and that ONNX files of all kinds pass."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import graphs
from qbg.errors import ModelError
from qbg.models import resolve
from qbg.models.content import refuse_strangers


def archive() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as made:
        made.writestr("archive/data.pkl", b"\x80\x02}.")
    return memory.getvalue()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return graphs.brightness(tmp_path_factory.mktemp("good") / "good.onnx").read_bytes()


STRANGERS = {
    "empty": (b"", "it is empty"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "Git LFS pointer"),
    "page": (b"\n  <!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
    "page with a mark": (b"\xef\xbb\xbf<HTML>", "web page"),
    "error in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "web page"),
    "checkpoint": (archive(), "zip archive, as PyTorch"),
    "old checkpoint": (b"\x80\x02\x8a\nl\xfc\x9cF", "pickle"),
    "compressed": (gzip.compress(b"model"), "gzip"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32"}}', "safetensors"),
    "tflite": (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    "keras": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "text": (b"this was a model once\n", "not an ONNX file"),
    "json": (b'{"error": "sign in"}', "not an ONNX file"),
    "noise": (bytes(range(200, 256)), "not an ONNX file"),
    "zeros": (bytes(1000), "not an ONNX file"),
    "no graph": (b"\x08\x08", "it holds no graph"),
    "endless number": (b"\x08" + b"\xff" * 20, "not an ONNX file"),
    "huge length": (b"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\x7f", "it ends early"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers(name: str, tmp_path: Path) -> None:
    data, word = STRANGERS[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=word) as caught:
        resolve(path)
    assert caught.value.path == str(path)
    assert caught.value.hint
    assert len(str(caught.value).splitlines()) == 2


def test_every_cut_is_seen(good: bytes, tmp_path: Path) -> None:
    """Wherever a file was cut short, it is refused: here, or at the latest by ONNX Runtime."""
    path = tmp_path / "model.onnx"
    early = 0
    for length in range(1, len(good), 7):
        path.write_bytes(good[:length])
        with pytest.raises(ModelError) as caught:
            resolve(path)
        early += "it ends early" in str(caught.value)
    assert early > len(good) / 7 / 2, "most of the file is the graph, and a cut there is told as one"


def test_a_hundredth_short_says_how_much(tmp_path: Path) -> None:
    data = Path(resolve().network.path).read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"it ends early: at least 3,1\d\d,\d\d\d bytes are missing"):
        refuse_strangers(path)


def test_onnx_files_pass(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    refuse_strangers(Path(resolve().network.path))
    full = onnx.load_from_string(good)
    full.producer_name, full.producer_version, full.domain = "tests", "1", "here"
    full.model_version, full.doc_string = 7, "words"
    full.metadata_props.add(key="k", value="v")
    full.training_info.add()
    full.functions.add(name="f")
    for model in (onnx.load_from_string(good), full):
        path.write_bytes(model.SerializeToString())
        refuse_strangers(path)


def opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def newer(model: onnx.ModelProto) -> None:
    model.ir_version = 99


def operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Frobnicate"


def unknown_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("frob", 1))


def kind(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    model.graph.node.append(onnx.helper.make_node("Cast", ["last"], ["alpha"], to=onnx.TensorProto.INT64))
    model.graph.node[1].output[0] = "last"


def weights_elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="absent.bin")
    model.graph.node[1].input[0] = "sum"
    model.graph.node.insert(1, onnx.helper.make_node("Add", ["mean", "w"], ["sum"]))


@pytest.mark.parametrize(
    ("spoil", "word", "hint"),
    [
        (opset, r"it is opset 99, and this one knows those up to \d+$", "update onnxruntime"),
        (newer, "Unsupported model IR version: 99", "update onnxruntime"),
        (operator, "No Op registered for Frobnicate", "standard operators"),
        (unknown_attribute, "Unrecognized attribute: frob", "onnx.checker"),
        (kind, r"`alpha` is tensor\(int64\); qbg needs float32", "float32 input and output"),
        (weights_elsewhere, "absent.bin", "weights beside it"),
    ],
)
def test_graphs_that_onnxruntime_or_qbg_refuses(
    spoil: Callable[[onnx.ModelProto], None], word: str, hint: str, good: bytes, tmp_path: Path
) -> None:
    model = onnx.load_from_string(good)
    spoil(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        resolve(path)
    first, second = str(caught.value).splitlines()
    assert re.search(word, first), first
    assert hint in second
    assert "onnxruntime_src" not in first
