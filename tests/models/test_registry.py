"""The registry's entries against a table written anew from the sources; files and where they lie."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import graphs
import qbg
from conftest import ROOT
from qbg.errors import ModelError, ModelNotFoundError
from qbg.models import DEFAULT, MODELS, UNSUPPORTED, files, resolve
from qbg.models.build import BUILDABLE
from qbg.models.files import discard, fault, find, home, own_path, partial, places, present
from qbg.models.model import Evidence, Model
from qbg.recipe import Recipe

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
ANIME = ((0.485, 0.456, 0.406), (1.0, 1.0, 1.0))
NOTHING = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

TURBO = "qbg-turbo"

# name: (whose way, side, (mean, std), activation, min-max, commercial use)
TABLE = {
    "u2netp": ("rembg", 320, IMAGENET, "none", True, True),
    "u2net": ("rembg", 320, IMAGENET, "none", True, True),
    "u2net_human_seg": ("rembg", 320, IMAGENET, "none", True, True),
    "silueta": ("rembg", 320, IMAGENET, "none", True, None),
    "isnet-general-use": ("rembg", 1024, HALF, "none", True, True),
    "isnet-anime": ("rembg", 1024, ANIME, "none", True, True),
    "birefnet-general": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-general-lite": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-lite": ("authors", 1024, IMAGENET, "sigmoid", False, True),
    "birefnet-portrait": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-dis": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-hrsod": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-cod": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "birefnet-massive": ("rembg", 1024, IMAGENET, "sigmoid", True, True),
    "bria-rmbg": ("rembg", 1024, IMAGENET, "none", True, False),
    "rmbg-1.4": ("authors", 1024, HALF, "none", True, False),
    "ben2": ("authors", 1024, NOTHING, "none", True, True),
    "inspyrenet-fast": ("authors", 384, IMAGENET, "sigmoid", True, True),
    "inspyrenet-swin": ("authors", 384, IMAGENET, "sigmoid", True, True),
    "inspyrenet-base": ("authors", 1024, IMAGENET, "sigmoid", True, True),
}
WAYS = {"rembg": ("lanczos", "maximum"), "authors": ("bilinear", "full")}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME", "QBG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_entry_is_in_the_table() -> None:
    own = [name for name, model in MODELS.items() if model.builtin]
    assert own[0] == DEFAULT
    assert [*own, *TABLE] == list(MODELS)


@pytest.mark.parametrize("name", TABLE)
def test_recipes_are_the_tables(name: str) -> None:
    way, side, (mean, std), activation, min_max, commercial = TABLE[name]
    filter_, scale = WAYS[way]
    model = MODELS[name]
    assert model.recipe == Recipe(
        fit="squash",
        height=side,
        width=side,
        filter=filter_,
        scale=scale,
        mean=mean,
        std=std,
        activation=activation,
        min_max=min_max,
        rounding="truncate",
        output_filter=filter_,
    )
    assert model.commercial is commercial
    assert model.output == 0
    assert (model.departures is not None) == (way == "authors")


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_entries_are_complete(model: Model) -> None:
    assert MODELS[model.name] is model
    assert model.terms
    assert model.origin or model.evidence is Evidence.OWN
    assert re.fullmatch(r"[a-z0-9_.-]+\.onnx", model.file)
    assert str(model.recipe.height) in model.description or model.builtin
    got = [model.builtin, model.url is not None, model.how is not None]
    assert sum(got) == 1
    for url in (model.url, *model.mirrors, model.origin):
        assert url is None or url.startswith("https://")
    for value, length in ((model.sha256, 64), (model.md5, 32)):
        assert value is None or re.fullmatch(f"[0-9a-f]{{{length}}}", value)
    assert (model.sha256 is None) == (model.evidence in (Evidence.MD5, Evidence.NONE, Evidence.BUILT))
    assert (model.evidence is Evidence.BUILT) == (model.how is not None)
    assert (model.md5 is not None) or model.evidence is not Evidence.MD5
    assert (model.bytes is not None) == (model.how is None)
    assert (model.warning is None) == (model.commercial is True)
    if model.commercial is False:
        assert "NOT for commercial use" in str(model.warning)


def test_unsupported_names_say_why() -> None:
    assert not UNSUPPORTED.keys() & MODELS.keys()
    assert {"sam", "u2net_cloth_seg", "withoutbg", "atlascloud"} <= UNSUPPORTED.keys()
    for name, entry in UNSUPPORTED.items():
        with pytest.raises(ModelNotFoundError, match=f"not supported: {re.escape(entry.reason)}") as caught:
            resolve(name)
        assert caught.value.hint == entry.instead


def test_code_has_no_branch_per_model() -> None:
    """Names of models stand in the catalog and nowhere else in the code, but where some are built."""
    package = Path(qbg.__file__).parent
    names = [name for name in (*MODELS, *UNSUPPORTED) if name != DEFAULT and name not in BUILDABLE]
    quoted = re.compile("|".join(f"[\"']{re.escape(name)}[\"']" for name in names))
    for path in package.rglob("*.py"):
        if path.name != "catalog.py":
            assert not quoted.search(path.read_text(encoding="utf-8")), path


def test_the_table_of_models_is_the_registrys() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "models_table.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# Files and their places


def test_where_qbg_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "posix" and "darwin" not in os.uname().sysname.lower():
        assert home() == tmp_path / ".local" / "share" / "qbg"
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        assert home() == tmp_path / "data" / "qbg"
    monkeypatch.setenv("QBG_HOME", "~/mine")
    assert home() == tmp_path / "mine"
    assert own_path(MODELS["u2net"]) == tmp_path / "mine" / "models" / "u2net.onnx"


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os.path, "expanduser", lambda text: text)
    with pytest.raises(ModelError, match=r"(?s)no home folder.*set QBG_HOME"):
        home()
    monkeypatch.setenv("QBG_HOME", "/somewhere")
    assert places(MODELS["u2net"]) == [Path("/somewhere/models/u2net.onnx")]


def test_places_of_rembg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "b"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "c"))
    expected = [own_path(MODELS["silueta"])]
    for folder in ("a", "b", "c/rembg", ".rembg", ".u2net"):
        expected += [
            tmp_path / folder / "models" / "silueta" / "silueta.onnx",
            tmp_path / folder / "silueta.onnx",
        ]
    assert places(MODELS["silueta"]) == expected
    assert places(MODELS["ben2"]) == [own_path(MODELS["ben2"])]


@pytest.fixture
def silueta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Path]:
    """A model of the registry whose file is small, and that file."""
    path = graphs.brightness(tmp_path / "good.onnx", 320)
    data = path.read_bytes()
    model = replace(MODELS["silueta"], bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(MODELS, "silueta", model)
    return model, path


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        (None, ".u2net/silueta.onnx"),
        (None, ".rembg/models/silueta/silueta.onnx"),
        ("U2NET_HOME", "models/silueta/silueta.onnx"),
        ("REMBG_HOME", "silueta.onnx"),
    ],
)
def test_what_rembg_keeps_is_used(
    variable: str | None,
    place: str,
    silueta: tuple[Model, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, good = silueta
    base = tmp_path
    if variable is not None:
        base = tmp_path / "set"
        monkeypatch.setenv(variable, str(base))
    with pytest.raises(
        ModelNotFoundError, match=r"(?s)not on this machine.*hint: qbg models download silueta"
    ):
        resolve("silueta")
    target = base / place
    target.parent.mkdir(parents=True)
    shutil.copy(good, target)
    found = resolve("silueta")
    assert found.network.path == str(target)
    assert found.recipe == model.recipe
    assert found.notes == (model.warning,)


def test_a_damaged_copy_is_passed_over(silueta: tuple[Model, Path], tmp_path: Path) -> None:
    model, good = silueta
    data = good.read_bytes()
    first = own_path(model)
    first.parent.mkdir(parents=True)
    first.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"(?s)its SHA256 is .* not .*hint: qbg models download silueta"):
        resolve("silueta")
    first.write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r"it has \d+ bytes, not \d+") as caught:
        resolve("silueta")
    assert caught.value.path == str(first)
    second = tmp_path / ".u2net" / "silueta.onnx"
    second.parent.mkdir()
    second.write_bytes(data)
    assert present(model) == [first, second]
    assert find(model) == second
    # By its path anything runs, as a file of the user's own.
    first.write_bytes(graphs.brightness(first, 64).read_bytes())
    assert resolve(first).recipe.height == 64


def test_what_is_known_is_compared(tmp_path: Path) -> None:
    path = graphs.brightness(tmp_path / "x.onnx")
    data = path.read_bytes()
    bare = replace(MODELS["ben2"], bytes=None, sha256=None)
    assert fault(bare, path) is None
    md5 = replace(bare, md5=hashlib.md5(data).hexdigest())
    assert fault(md5, path) is None
    assert "MD5" in str(fault(replace(md5, md5="0" * 32), path))
    assert "SHA256" in str(fault(replace(md5, sha256="0" * 64), path))
    path.write_bytes(b"<html>")
    assert "web page" in str(fault(bare, path))


def test_without_a_checksum_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        MODELS, "ben2", replace(MODELS["ben2"], bytes=None, sha256=None, evidence=Evidence.NONE)
    )
    path = own_path(MODELS["ben2"])
    path.parent.mkdir(parents=True)
    graphs.brightness(path, 1024)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert resolve("ben2").notes == (f"no checksum of `ben2` is known; the SHA-256 of {path} is {digest}",)


def test_a_restricted_license_is_told_at_each_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graphs.brightness(tmp_path / "copy.onnx", 1024)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(MODELS, "bria-rmbg", replace(MODELS["bria-rmbg"], sha256=digest))
    note = resolve(path).notes[0]
    assert note == "license of bria-rmbg: CC-BY-NC-4.0; " + MODELS["bria-rmbg"].terms


def test_a_shared_file_is_known_by_its_own_name() -> None:
    from qbg.models.registry import by_checksum, further

    digest = MODELS["birefnet-lite"].sha256
    assert digest == MODELS["birefnet-general-lite"].sha256
    assert by_checksum(str(digest)) is MODELS["birefnet-general-lite"]
    assert by_checksum("0" * 64) is None
    assert by_checksum(str(MODELS[TURBO].sha256)) is MODELS[DEFAULT]
    assert [further(name) for name in (None, DEFAULT, TURBO, "birefnet-lite", "own.onnx")] == [
        *(None, None, TURBO, "birefnet-lite", None)
    ]


def test_discard_takes_qbgs_own_only(silueta: tuple[Model, Path], tmp_path: Path) -> None:
    model, good = silueta
    own, other = own_path(model), tmp_path / ".u2net" / "silueta.onnx"
    for path in (own, partial(own), other):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(good, path)
    assert discard(model) == [own, partial(own)]
    assert discard(model) == []
    assert present(model) == [other]
