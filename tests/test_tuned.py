"""What was tuned is remembered, used, and passed over with a note where it can't be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

import graphs
from qbg import tuned
from qbg.cli.choice import Asked, choose
from qbg.cli.exits import UsageError
from qbg.errors import ModelError, ModelNotFoundError
from qbg.models import resolve
from qbg.models.sibling import places, quantized
from qbg.remover import Remover
from qbg.tuned import Choice

CHOICE = Choice(engine="openvino", precision="fp32", threads=1)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network of the test's own, and an empty home."""
    monkeypatch.setenv("QBG_HOME", str(tmp_path / "home"))
    return graphs.brightness(tmp_path / "m.onnx")


def digest(model: Path) -> str:
    return resolve(model).network.digest


def small(model: Path, origin: str, name: str = "m.int8.onnx") -> Path:
    """A file that says of itself that it was quantized from `origin`."""
    graph = onnx.load(model)
    onnx.helper.set_model_props(
        graph, {"qbg.precision": "int8", "qbg.quantized": json.dumps({"from": origin})}
    )
    path = model.with_name(name)
    onnx.save(graph, path)
    return path


def test_it_is_remembered_and_forgotten(model: Path) -> None:
    assert tuned.recall(str(model)) == (None, None)
    kept = tuned.remember(digest(model), CHOICE)
    assert tuned.recall(str(model)) == (CHOICE, None)
    assert tuned.recall(None) == (None, None), "another model"
    other = Choice(engine="onnxruntime", precision="fp32", threads=2)
    tuned.remember(digest(model), other)
    assert tuned.recall(str(model)) == (other, None)
    assert len(json.loads(kept.read_text())["entries"]) == 1
    assert tuned.forget() == kept
    assert tuned.forget() is None
    assert tuned.recall(str(model)) == (None, None)


def test_two_sizes_of_one_file_are_tuned_apart(model: Path) -> None:
    base, turbo = resolve(), resolve("qbg-turbo")
    tuned.remember(turbo.network.digest, CHOICE, turbo.name)
    assert tuned.recall(None) == (None, None)
    assert tuned.recall("qbg-turbo") == (CHOICE, None)
    other = Choice(engine="onnxruntime", precision="fp32", threads=1)
    tuned.remember(base.network.digest, other, base.name)
    assert [tuned.recall(name)[0] for name in (None, "qbg-base", "qbg-turbo")] == [other, other, CHOICE]
    assert [places(found)[-1].name for found in (base, turbo)] == [
        "qbg-base.int8.onnx",
        "qbg-turbo.int8.onnx",
    ]


@pytest.mark.parametrize("field", ["cpu", "flags", "cpus"])
def test_another_machines_choice_is_none_at_all(field: str, model: Path) -> None:
    kept = tuned.remember(digest(model), CHOICE)
    data = json.loads(kept.read_text())
    data["entries"][0]["here"][field] = "another"
    kept.write_text(json.dumps(data))
    assert tuned.recall(str(model)) == (None, None)


def test_other_versions_are_told(model: Path) -> None:
    kept = tuned.remember(digest(model), CHOICE)
    data = json.loads(kept.read_text())
    data["entries"][0]["here"]["versions"]["onnxruntime"] = "0.1"
    kept.write_text(json.dumps(data))
    found, note = tuned.recall(str(model))
    assert found is None
    assert note is not None
    assert "versions" in note


def broken(change: Any) -> Any:
    def make(text: str) -> bytes:
        data = json.loads(text)
        change(data["entries"][0]["choice"])
        return json.dumps(data).encode()

    return make


BROKEN = {
    "empty": lambda _text: b"",
    "no JSON": lambda _text: b"{",
    "not UTF-8": lambda _text: b"\xff\xfe",
    "a list": lambda _text: b"[1]",
    "another format": lambda _text: b'{"format": 99, "entries": []}',
    "entries of numbers": lambda _text: b'{"format": 1, "entries": [1]}',
    "entries without fields": lambda _text: b'{"format": 1, "entries": [{}]}',
    "deep": lambda _text: b"[" * 100_000,
    "an unknown engine": broken(lambda choice: choice.update(engine="magic")),
    "an unknown precision": broken(lambda choice: choice.update(precision="fp3")),
    "no threads": broken(lambda choice: choice.update(threads=0)),
    "threads in words": broken(lambda choice: choice.update(threads="two")),
    "a field too many": broken(lambda choice: choice.update(more=1)),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_memory_is_ignored_with_a_note_and_written_anew(fault: str, model: Path) -> None:
    kept = tuned.remember(digest(model), CHOICE)
    kept.write_bytes(BROKEN[fault](kept.read_text()))
    found, note = tuned.recall(str(model))
    assert found is None
    assert note is not None
    assert "ignored" in note
    tuned.remember(digest(model), CHOICE)
    assert tuned.recall(str(model)) == (CHOICE, None)


def test_a_tuned_int8_file_must_be_the_same_still(model: Path) -> None:
    path = small(model, digest(model))
    choice = Choice(
        engine="onnxruntime",
        precision="int8",
        threads=1,
        int8_digest=quantized(resolve(model)).network.digest,
    )
    tuned.remember(digest(model), choice)
    assert tuned.recall(str(model)) == (choice, None)
    path.unlink()
    found, note = tuned.recall(str(model))
    assert found is None
    assert note is not None
    assert "changed or gone" in note


def test_the_int8_file_beside_the_model_is_used(model: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="quantize"):
        Remover(model, precision="int8", workers=1)
    path = small(model, digest(model))
    found = quantized(resolve(model))
    assert (found.name, found.network.path, found.network.precision) == (str(model), str(path), "int8")
    assert found.recipe == resolve(model).recipe
    assert quantized(found) is found
    with Remover(model, precision="int8", workers=1) as remover:
        assert remover.facts["precision"] == "int8"
    with Remover(path, workers=1) as remover:
        assert remover.facts["precision"] == "int8"
    assert places(resolve(None))[-1].name == "qbg-base.int8.onnx"


def test_an_int8_file_of_another_model_is_refused(model: Path) -> None:
    small(model, "0" * 64)
    with pytest.raises(ModelError, match="not quantized from this"):
        quantized(resolve(model))


def test_what_was_asked_goes_before_what_was_tuned(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qbg import _native

    machine = dict(_native.system()) | {"default_workers": 8}
    monkeypatch.setattr(_native, "system", lambda *_root: machine)
    name = str(model)
    plain = choose(Asked(model=name))
    assert (plain.engine, plain.precision, plain.workers, plain.threads) == ("onnxruntime", "auto", 8, 1)
    assert plain.notes == ()
    tuned.remember(digest(model), Choice(engine="openvino", precision="fp32", threads=2))
    found = choose(Asked(model=name))
    assert (found.engine, found.precision, found.workers, found.threads) == ("openvino", "fp32", 4, 2)
    [line] = found.notes
    assert "qbg tune" in line
    assert choose(Asked(model=name, engine="null")).engine == "null"
    assert choose(Asked(model=name, precision="bf16")).engine == "onnxruntime"
    asked = choose(Asked(model=name, workers=3))
    assert (asked.engine, asked.workers, asked.threads) == ("openvino", 3, 1)
    assert choose(Asked(model=name), pictures=3).workers == 3


def test_one_picture_gets_all_cores(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qbg import _native

    machine = dict(_native.system()) | {"default_workers": 8}
    monkeypatch.setattr(_native, "system", lambda *_root: machine)
    for chosen in (
        choose(Asked(model=str(model)), pictures=1),
        choose(Asked(model=str(model), latency=True), pictures=100),
        choose(Asked(model=str(model), latency=True, workers=1)),
    ):
        assert (chosen.workers, chosen.threads) == (1, 8)
    assert choose(Asked(model=str(model), workers=1), pictures=1).threads == 1
    with pytest.raises(UsageError, match="all cores"):
        choose(Asked(model=str(model), latency=True, workers=2))
