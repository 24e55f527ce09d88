"""Writes tests/vectors/inspyrenet/: what the official InSPyReNet gives for seeded weights and pictures.

    python scripts/make_inspyrenet_vectors.py PATH_OF_OFFICIAL_CODE

Needs torch, opencv, easydict and pyyaml in its own environment, and a copy of plemeri/InSPyReNet
beside this project. The network is the official module, unchanged; of qbg only the formula of the
random weights takes part, because both sides must have the same. Run it when that formula changes.

What the official code imports for other networks and for training (timm, kornia) is replaced by
empty modules. Kept of each output: its range, every `STEP`-th pixel of every `STEP`-th row, and a
corner, where borders and padding show.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from inspyrenet_cases import CASES, VECTORS, picture, sample  # noqa: E402
from qbg.models.graphs.weights import random_tensor  # noqa: E402

ABSENT = {
    "kornia": (),
    "kornia.morphology": ("dilation", "erosion"),
    "timm": (),
    "timm.models": (),
    "timm.models.layers": ("DropPath", "to_2tuple", "trunc_normal_"),
}


def official(code: Path, base: int, seed: int):
    """The module with seeded weights, ready to run."""
    for name, members in ABSENT.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, None)
        sys.modules.setdefault(name, module)
    sys.path.insert(0, str(code))
    import torch
    from lib.InSPyReNet import InSPyReNet_Res2Net50

    network = InSPyReNet_Res2Net50(depth=64, pretrained=False, base_size=[base, base], threshold=None)
    state = {
        name: torch.from_numpy(random_tensor(name, tuple(tensor.shape), seed))
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network.load_state_dict(state, strict=False)
    return network.eval()


def main() -> None:
    import torch

    for case in CASES:
        network = official(Path(sys.argv[1]), case.base, case.seed)
        with torch.no_grad():
            result = network.forward_inspyre(torch.from_numpy(picture(case.size, case.seed)))
        logits = result["saliency"][-1].numpy()
        np.savez_compressed(VECTORS / f"{case.name}.npz", **sample(logits))
        print(case.name, logits.min(), logits.max())


if __name__ == "__main__":
    main()
