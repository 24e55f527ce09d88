"""Writes tests/vectors/inspyrenet/: what the official InSPyReNet gives for seeded weights and pictures.

    python scripts/make_inspyrenet_vectors.py PATH_OF_OFFICIAL_CODE

Needs torch, opencv, easydict and pyyaml in its own environment, and a copy of plemeri/InSPyReNet
beside this project. The network is the official module, unchanged; of qbg only the formula of the
random weights takes part, because both sides must have the same. Run it when that formula changes.

What the official code imports of timm, and kornia for blending, is replaced by stand-ins. Kept of
each output: its range, every `STEP`-th pixel of every `STEP`-th row, and two corners, where borders
and padding show.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from inspyrenet_cases import CASES, SWIN_CASES, VECTORS, Case, picture, sample  # noqa: E402
from qbg.models.graphs.weights import IGNORED, random_tensor  # noqa: E402

ABSENT = {
    "kornia": (),
    "kornia.morphology": ("dilation", "erosion"),
    "timm": (),
    "timm.models": (),
    "timm.models.layers": (),
}


def official(code: Path, case: Case):
    """The module with seeded weights, ready to run."""
    for name, members in ABSENT.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, None)
        sys.modules.setdefault(name, module)
    sys.path.insert(0, str(code))
    import torch

    layers = sys.modules["timm.models.layers"]
    layers.DropPath = lambda _rate: torch.nn.Identity()  # what it is outside of training
    layers.to_2tuple = lambda size: (size, size)
    layers.trunc_normal_ = lambda *_tensor, **_options: None  # our weights take the place of its values
    from lib.InSPyReNet import InSPyReNet_Res2Net50, InSPyReNet_SwinB

    make = InSPyReNet_Res2Net50 if case.network == "inspyrenet-fast" else InSPyReNet_SwinB
    network = make(depth=64, pretrained=False, base_size=[case.base, case.base], threshold=None)
    state = {
        name: torch.from_numpy(random_tensor(name, tuple(tensor.shape), case.seed))
        for name, tensor in network.state_dict().items()
        if not name.endswith(IGNORED)
    }
    network.load_state_dict(state, strict=False)
    return network.eval()


def main() -> None:
    import torch

    for case in CASES + SWIN_CASES:
        network = official(Path(sys.argv[1]), case)
        with torch.no_grad():
            result = network.forward_inspyre(torch.from_numpy(picture(case.size, case.seed)))
        logits = result["saliency"][-1].numpy()
        np.savez_compressed(VECTORS / f"{case.name}.npz", **sample(logits))
        print(case.name, logits.min(), logits.max())


if __name__ == "__main__":
    main()
