"""The training of qbg-base: a smoke run, the exported file against the network, and what is held out.

Needs torch, which `make test` doesn't install: skips, loudly, without it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="SKIPPED: torch isn't installed: training/requirements.txt")
onnx = pytest.importorskip("onnx")

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

import data
import designs
import drawn
import export
import inspyrenet
import qbg
import quantized
import train
from arches import ARCHES
from conftest import U2NETP, needs_u2netp
from network import Exported, Network

SIDE = 64


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    made = Network()
    # Norms as after a training, not as they are made.
    made.train()
    for _ in range(2):
        made(torch.randn(4, 3, SIDE, SIDE))
    return made.eval()


def gone_on_from(network: Network, tmp_path: Path) -> Network:
    """A network filled from the other's file."""
    again = Network()
    export.from_onnx(again, export.export(network, SIDE, tmp_path / "n.onnx"))
    return again


@pytest.mark.parametrize("half", [False, True])
def test_the_file_computes_what_the_network_does(network: Network, half: bool, tmp_path: Path) -> None:
    import onnxruntime

    path = export.export(network, SIDE, tmp_path / "n.onnx", half=half)
    picture = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = Exported(network)(picture).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": picture.numpy()})
    assert np.abs(found - wanted).max() < (5e-3 if half else 1e-5)


def test_a_file_can_be_gone_on_from(network: Network, tmp_path: Path) -> None:
    again = gone_on_from(network, tmp_path).eval()
    picture = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(again(picture)[0], network(picture)[0], atol=1e-4)


def test_going_on_from_a_file_begins_as_the_same_network(network: Network, tmp_path: Path) -> None:
    """Also while it is trained: a batch's own mean and variance would make another one of it."""
    again = gone_on_from(network, tmp_path).train()
    train.keep_norms(again)
    picture = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(again(picture)[0], network(picture)[0], atol=1e-4)


def test_rounding_as_int8_shifts_little_and_lets_gradients_through(network: Network, tmp_path: Path) -> None:
    again = gone_on_from(network, tmp_path).train()
    train.keep_norms(again)
    quantized.attach(again)
    picture = torch.randn(2, 3, SIDE, SIDE)
    logits, coarse = again(picture)
    with torch.no_grad():
        wanted = network(picture)[0]
    off = float((logits.detach() - wanted).abs().mean() / wanted.std())
    assert 0 < off < 0.2
    (logits.square().mean() + coarse.square().mean()).backward()
    convolutions = [module for module in again.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(one.weight.grad is not None and one.weight.grad.abs().sum() > 0 for one in convolutions)


def test_weights_keep_255_levels_a_channel() -> None:
    weight = torch.randn(5, 4, 3, 3)
    found = quantized.rounded(weight)
    steps = weight.abs().amax((1, 2, 3), keepdim=True) / 127
    assert torch.allclose(found / steps, (found / steps).round(), atol=1e-3)
    assert bool(((found - weight).abs() <= steps / 2 + 1e-6).all())


def test_what_is_held_out_depends_on_names_alone(tmp_path: Path) -> None:
    root = drawn.draw(tmp_path / "d", 1)
    pairs = data.find(root)
    held = [pair for pair in pairs if pair.held]
    assert [pair.name for pair in held if pair.group == "people"] == ["drawn_000", "drawn_009"]
    for pair in pairs:
        if pair.kind == data.TEACHER:
            lot = int.from_bytes(hashlib.sha256(pair.name.encode()).digest()[:4], "big")
            assert pair.held == (lot % data.HELD_PSEUDO == 0)
    store = data.Store([pair for pair in pairs if not pair.held], None, SIDE)
    assert not {pair.photo for pair in held} & {pair.photo for pair in store.pairs}


@pytest.mark.parametrize(
    ("mask", "good"),
    [
        (np.zeros((40, 40), np.uint8), False),
        (np.full((40, 40), 255, np.uint8), False),
        (np.full((40, 40), 128, np.uint8), False),
        (np.repeat(np.array([[0], [255]], np.uint8), 20, 0).repeat(40, 1), True),
    ],
)
def test_which_labels_are_trusted(mask: np.ndarray, good: bool) -> None:
    assert data.trusted(mask) is good


def test_photo_and_mask_stay_together(tmp_path: Path) -> None:
    """A photo that is its own mask: whatever is cropped, flipped and pasted, both are moved alike."""
    for folder in ("images", "masks"):
        (tmp_path / "people" / folder).mkdir(parents=True)
    for number in range(9):
        y, x = np.mgrid[0:200, 0:160]
        blob = ((x - 60 - 5 * number) ** 2 + (y - 100) ** 2 < 1600).astype(np.uint8) * 255
        Image.fromarray(blob).convert("RGB").save(tmp_path / f"people/images/{number}.png")
        Image.fromarray(blob).save(tmp_path / f"people/masks/{number}.png")
    store = data.Store([pair for pair in data.find(tmp_path) if not pair.held], None, SIDE)
    draws = data.Draws(store, SIDE, 1, 0.3)
    for _ in range(20):
        photo, mask = draws._crop(*draws._pick())
        assert float((photo.mean(0) / 255 - mask[0]).abs().mean()) < 0.02


def test_whole_photos_are_not_cropped(tmp_path: Path) -> None:
    store = data.Store([pair for pair in data.find(drawn.draw(tmp_path, 1)) if not pair.held], None, SIDE)
    draws = data.Draws(store, SIDE, 1, 1.0)
    photo, mask = store[0]
    for _ in range(4):
        _drawn, alpha = draws._crop(photo, mask)
        found = np.rint(alpha[0].numpy() * 255)
        assert np.array_equal(found, mask) or np.array_equal(found[:, ::-1], mask)


def test_a_passer_by_is_no_subject() -> None:
    pasted, large, small = (torch.zeros(1, 40, 40) for _ in range(3))
    pasted[:, :20, :20], large[:, 25:, 10:30], small[:, 30:, 30:35] = 1.0, 0.8, 0.8
    assert torch.equal(data.together(pasted, large), torch.maximum(pasted, large))
    assert torch.equal(data.together(pasted, small), pasted)


@pytest.mark.parametrize("name", ["larger", "plain", "plain-first", "narrow"])
def test_other_designs_are_written_as_they_compute(name: str, tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(3)
    arch = ARCHES[name]
    network = arch.make(3).train()
    logits, coarse = network(torch.randn(2, 3, SIDE, SIDE))
    assert (logits.shape, coarse.shape) == ((2, 1, SIDE, SIDE), (2, 1, SIDE // 8, SIDE // 8))
    path = arch.write(network.eval(), SIDE, tmp_path / "n.onnx")
    assert {item.value for item in onnx.load(path).metadata_props if item.key == "qbg.network"} == {name}
    picture = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted = Exported(network)(picture).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": picture.numpy()})
    assert np.abs(found - wanted).max() < 1e-4


@needs_u2netp
def test_narrow_begins_as_the_network_that_it_is_cut_from() -> None:
    """Whole, it computes what u2netp's own file does; thinned, each stage keeps its strongest channels."""
    import onnxruntime

    whole = designs.Narrow(16, 64).eval()
    designs._fill(whole, U2NETP)
    picture = torch.randn(1, 3, 320, 320)
    session = onnxruntime.InferenceSession(U2NETP, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {session.get_inputs()[0].name: picture.numpy()})[0]
    with torch.no_grad():
        assert np.abs(Exported(whole)(picture).numpy() - wanted).max() < 1e-4
    thin = designs.narrow()
    designs.start_narrow(thin, U2NETP)
    kept = thin.down[0].first[0].weight.detach().abs().sum((1, 2, 3))
    sizes = whole.down[0].first[0].weight.detach().abs().sum((1, 2, 3))
    assert all(float((sizes - one).abs().min()) < 1e-4 for one in kept)


@pytest.mark.parametrize("side", [64, 96])
def test_what_learns_is_the_network_that_is_built(side: int, tmp_path: Path) -> None:
    """In use: the file that is written; in a batch: each picture as alone."""
    import onnxruntime

    network = inspyrenet.Inspyrenet(seed=5)
    network.train()
    network(torch.randn(2, 3, side, side))  # statistics that aren't the first ones
    network.eval()
    session = onnxruntime.InferenceSession(
        inspyrenet.export(network, side, tmp_path / "n.onnx"), providers=["CPUExecutionProvider"]
    )
    pictures = torch.randn(2, 3, side, side)
    with torch.no_grad():
        logits, coarse = network(pictures)
    assert coarse.shape == (2, 1, side // 8, side // 8)
    for number in range(2):
        (wanted,) = session.run(None, {"input": pictures[number : number + 1].numpy()})
        assert np.abs(logits[number].numpy() - wanted[0]).max() < 1e-4 * np.ptp(wanted)


def test_all_of_it_learns() -> None:
    network = inspyrenet.Inspyrenet().train()
    logits, coarse = network(torch.randn(2, 3, SIDE, SIDE))
    (logits.square().mean() + coarse.square().mean()).backward()
    still = [name for name, one in network.named_parameters() if one.grad is None]
    assert not still
    assert sum(one.numel() for one in network.parameters()) == 28_104_339
    assert 0 < len(network.backbone()) < len(list(network.parameters()))


def test_weights_of_the_whole_or_of_the_backbone_alone_are_taken(tmp_path: Path) -> None:
    whole = inspyrenet.Inspyrenet(1).checkpoint()
    alone = {name.removeprefix("backbone."): one for name, one in whole.items() if "backbone" in name}
    for tensors in (whole, alone):
        torch.save(tensors, tmp_path / "w.pth")
        other = inspyrenet.Inspyrenet(2)
        inspyrenet.load(other, tmp_path / "w.pth")
        taken = [name for name, one in other.checkpoint().items() if torch.equal(one, whole[name])]
        assert len(taken) >= len(tensors)
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "w.pth")
    with pytest.raises(KeyError, match="no tensor"):
        inspyrenet.load(other, tmp_path / "w.pth")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_smoke_run_gives_a_network_that_qbg_runs(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, str(TRAINING / "train.py"), "--smoke", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {"log.csv", "log.svg", "checkpoint.pt", "qbg-base.onnx"} <= {path.name for path in out.iterdir()}
    assert len((out / "log.csv").read_text().splitlines()) == 3
    with qbg.Remover(out / "qbg-base.onnx") as remover:
        assert not remover.notes, "the file says itself how it is fed"
        assert remover.cutout(Image.new("RGB", (50, 40), "red")).size == (50, 40)
    whole = [*command[:-1], str(tmp_path / "fast"), "--arch", "inspyrenet-fast"]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    with qbg.Remover(tmp_path / "fast" / "inspyrenet-fast.onnx") as remover:
        assert remover.cutout(Image.new("RGB", (50, 40), "red")).size == (50, 40)
    again = [*command[:-1], str(tmp_path / "int8"), "--init", str(out / "qbg-base.onnx"), "--int8"]
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "int8" / "qbg-base.onnx").is_file()
