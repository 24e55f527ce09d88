"""Networks and engines that go wrong while they run: a failure is that picture's, named, and ends nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import graphs
from conftest import Outcome
from qbg import Remover
from qbg.engine import make
from qbg.errors import EngineError
from qbg.network import Network

Run = Callable[..., Outcome]
RECIPE = 'fit = "squash"\nheight = 32\nwidth = 32\n'


def photos(folder: Path, count: int) -> list[Path]:
    """Pictures of one grey level each, from dark to bright."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 16), (number * 255 // max(1, count - 1),) * 3).save(path)
    return paths


def logarithm(path: Path) -> Path:
    """NaN for pictures that are darker than the mean of ImageNet, a map else."""
    model = onnx.load(graphs.brightness(path))
    model.graph.node[1].op_type = "Log"
    onnx.save(model, path)
    return path


def constant(path: Path, value: float) -> Path:
    """The same value everywhere, whatever comes in."""
    shape = [1, 1, 32, 32]
    low, high = (helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name in ("low", "high"))
    model = onnx.load(graphs.brightness(path))
    model.graph.initializer.extend([low, high])
    model.graph.node[1].CopyFrom(helper.make_node("Clip", ["mean", "low", "high"], ["alpha"]))
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == shape
    onnx.save(model, path)
    return path


def test_a_picture_for_which_the_network_gives_nan_fails_alone(qbg: Run, tmp_path: Path) -> None:
    photos(tmp_path / "in", 4)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    network = logarithm(tmp_path / "m.onnx")
    run = qbg(
        "remove", tmp_path / "in", tmp_path / "out", "-m", network, "--recipe", recipe, "--json", cwd=tmp_path
    )
    summary = json.loads(run.out)
    assert run.code == 1
    assert {Path(item["file"]).name for item in summary["failed"]} == {"0.png", "1.png"}
    for failure in summary["failed"]:
        assert failure["stage"] == "mask"
        assert "no numbers" in failure["message"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["2.png", "3.png"]


@pytest.mark.parametrize(("value", "alpha"), [(0.0, 0), (1.0, 255), (0.5, 128)])
def test_a_constant_map_is_not_divided_by_its_range(value: float, alpha: int, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE + "min_max = true\n")
    with Remover(constant(tmp_path / "m.onnx", value), recipe=recipe, only_mask=True) as remover:
        found = np.asarray(remover.cutout(Image.new("RGB", (20, 16), "red")))
    assert np.unique(found).tolist() == [alpha]


class Broken:
    """ONNX Runtime, one worker of which fails: when it is made, or at each of its calls."""

    def __init__(self, network: Network, when: str) -> None:
        self._engine = make("onnxruntime", network)
        self._when = when
        self.made = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def make_worker(self, slot: Any) -> Callable[..., None]:
        infer = self._engine.make_worker(slot)
        self.made += 1
        if slot.index != 1:
            # Slow enough that the other one gets its turn.
            return lambda: (time.sleep(0.02), infer())[1]
        if self._when == "made":
            raise EngineError("out of luck", stage="engine")

        def fail() -> None:
            raise RuntimeError("device lost")

        return fail


def test_an_engine_that_fails_on_one_worker_fails_its_pictures_only(
    quick_model: Path, tmp_path: Path
) -> None:
    paths = photos(tmp_path / "in", 40)
    out = tmp_path / "out"
    out.mkdir()
    with Remover(quick_model, workers=2, engine=lambda network: Broken(network, "called")) as remover:
        summary = remover.remove_folder(tmp_path / "in", out)
    # Which worker takes what is nobody's promise; every picture must be one or the other.
    assert summary.done + len(summary.failed) == len(paths)
    assert summary.done == len(list(out.iterdir()))
    for failure in summary.failed:
        assert failure.stage == "infer"
        assert "device lost" in failure.message


def test_a_worker_that_cannot_be_made_ends_the_batch_in_one_line(quick_model: Path, tmp_path: Path) -> None:
    photos(tmp_path / "in", 40)
    (tmp_path / "out").mkdir()
    with (
        Remover(quick_model, workers=2, engine=lambda network: Broken(network, "made")) as remover,
        pytest.raises(EngineError, match="out of luck"),
    ):
        remover.remove_folder(tmp_path / "in", tmp_path / "out")
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix != ".png"], (
        "nothing half-written"
    )
