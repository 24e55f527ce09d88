"""From folders of photos and masks to the ONNX file of `qbg-base`, or of `inspyrenet-fast`, in one command.

    python training/train.py --data DATA --init efficientnet-lite0.pth --out RUN [--steps 3600] [--resume]
    python training/train.py --smoke            # a minute on drawn pictures: does everything still run?
    python training/train.py --arch inspyrenet-fast --data DATA --init res2net50.pth --out RUN

RUN gets `log.csv`, `log.svg`, `checkpoint.pt` (each 100 steps; --resume goes on from it), `qbg-base.onnx`.
The picture's side grows during training (Tan and Le, "EfficientNetV2", 2021): small ones are cheap. Weights
that are kept are a moving average. The last pictures are mostly whole photos, as in use (Touvron et al.,
"Fixing the train-test resolution discrepancy", 2019). Must not know how pictures are drawn.
"""

from __future__ import annotations

import argparse
import copy
import csv
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import data
import drawn
import plot
import quantized
from arches import ARCHES, Arch

SMOKE_STAGES = ((64, 0.5, 0.3), (96, 1.0, 0.7))

RATE, ENCODER_RATE, DECAY = 2e-3, 6e-4, 1e-2
"""Step sizes of the decoder, of the encoder that starts from trained weights, and weight decay (AdamW)."""

WARM_UP = 100
AVERAGE = 0.997
"""Of the moving average of weights, per step."""

SAVED, JUDGED = 100, 500
"""Steps between checkpoints, and between looks at the held-out pictures."""


def loss(logits: Tensor, coarse: Tensor, target: Tensor) -> Tensor:
    """Cross entropy that counts edges more, the share of the union that isn't shared, and the coarse map's.

    Weights at edges as in F3Net (Wei et al. 2020): how much a place differs from its neighborhood.
    """
    side = target.shape[-1]
    window = side // 10 * 2 + 1
    # Rows, then columns: the same mean at a fraction of the additions.
    near = functional.avg_pool2d(target, (1, window), 1, (0, window // 2))
    near = functional.avg_pool2d(near, (window, 1), 1, (window // 2, 0))
    edges = 1.0 + 4.0 * (near - target).abs()
    crossed = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    crossed = (edges * crossed).sum((1, 2, 3)) / edges.sum((1, 2, 3))
    found = torch.sigmoid(logits)
    both = (found * target).sum((1, 2, 3))
    either = (found + target - found * target).sum((1, 2, 3))
    room = 0.004 * side * side
    apart = 1.0 - (both + room) / (either + room)
    small = functional.adaptive_avg_pool2d(target, coarse.shape[-2:])
    rough = functional.binary_cross_entropy_with_logits(coarse, small)
    return (crossed + 0.7 * apart).mean() + 0.3 * rough


@torch.no_grad()
def judge(arch: Arch, network: nn.Module, store: data.Store, side: int) -> dict[str, float]:
    """Mean IoU at half by group and over all, and the mean absolute difference."""
    network.eval()
    rows: dict[str, list[tuple[float, float]]] = {}
    for number, pair in enumerate(store.pairs):
        photo, mask = store[number]
        both = np.ascontiguousarray(np.concatenate([photo, mask[:, :, None]], 2))
        device = next(network.parameters()).device
        tensor = torch.from_numpy(both).permute(2, 0, 1)[None].to(device).float()
        tensor = functional.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
        found = torch.sigmoid(network(arch.normalised(tensor[:, :3]))[0])
        target = tensor[:, 3:] / 255.0
        inside, wanted = found > 0.5, target > 0.5
        union = float((inside | wanted).sum())
        iou = float((inside & wanted).sum()) / union if union else 1.0
        kind = ("true", "teacher")[pair.kind]
        rows.setdefault(f"{pair.group}/{kind}", []).append((iou, float((found - target).abs().mean())))
    result = {
        f"iou {group}": float(np.mean([v for v, _ in values])) for group, values in sorted(rows.items())
    }
    result["iou"] = float(np.mean([v for values in rows.values() for v, _ in values]))
    result["mae"] = float(np.mean([d for values in rows.values() for _, d in values]))
    return result


class Run:
    """A training, from its first step or from a checkpoint."""

    def __init__(self, asked: argparse.Namespace, out: Path) -> None:
        self.asked, self.out, self.arch = asked, out, ARCHES[asked.arch]
        torch.manual_seed(asked.seed)
        random.seed(asked.seed)
        self.network = self.arch.make(asked.seed)
        if asked.init is not None:
            self.arch.start(self.network, asked.init)
        self.device = torch.device(asked.device)
        self.network.to(self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.folded = asked.init is not None and asked.init.suffix == ".onnx" and self.arch.keeps_norms
        self.model: nn.Module | None = None
        if asked.int8:
            self.model = copy.deepcopy(self.network).eval()
            quantized.attach(self.network)
        encoder = self.arch.pretrained(self.network)
        known = {id(one) for one in encoder}
        rest = [one for one in self.network.parameters() if id(one) not in known]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": rest, "lr": RATE * asked.rate},
                {"params": encoder, "lr": ENCODER_RATE * asked.rate},
            ],
            weight_decay=DECAY,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.step = 0
        self.stopped = False

    def _rate(self, step: int) -> float:
        if step < WARM_UP:
            return (step + 1) / WARM_UP
        share = min(1.0, (step - WARM_UP) / max(1, self.asked.steps - WARM_UP))
        return 0.01 + 0.99 * 0.5 * (1.0 + float(np.cos(np.pi * share)))

    def load(self) -> None:
        """Goes on from the checkpoint."""
        state = torch.load(self.out / "checkpoint.pt", map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
        }
        temporary = self.out / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.out / "checkpoint.pt")

    def stage(self) -> tuple[int, float]:
        """Side of this step's pictures, and the share of photos that isn't cropped."""
        share = self.step / self.asked.steps
        return next((side, whole) for side, until, whole in self.stages() if share < until or until == 1.0)

    def stages(self) -> tuple[tuple[int, float, float], ...]:
        if self.asked.side is not None:
            return ((self.asked.side, 1.0, self.arch.stages[0][2]),)
        stages = SMOKE_STAGES if self.asked.smoke else self.arch.stages
        return stages[-2:] if self.folded else stages

    def go(self, train: data.Store, held: data.Store) -> None:
        """All steps that are left."""
        began = time.monotonic()
        while self.step < self.asked.steps and not self.stopped:
            side, whole = stage = self.stage()
            stream = data.Stream(train, side, self.asked.seed + self.step, whole)
            loader = torch.utils.data.DataLoader(
                stream, batch_size=self.asked.batch, num_workers=self.asked.loaders, persistent_workers=False
            )
            for photos, masks in loader:
                value = self.one(photos, masks)
                if self.step % 25 == 0:
                    print(
                        f"step {self.step} side {side} loss {value:.4f} {time.monotonic() - began:.0f} s",
                        flush=True,
                    )
                if self.step % self.asked.judge == 0 or self.step == self.asked.steps:
                    self.log(judge(self.arch, self.average, held, self.stages()[-1][0]), value)
                if self.step % SAVED == 0 or self.stopped:
                    self.save()
                if self.step >= self.asked.steps or self.stopped or self.stage() != stage:
                    break
        self.save()

    def one(self, photos: Tensor, masks: Tensor) -> float:
        """A step."""
        self.network.train()
        if self.folded:
            keep_norms(self.network)
        photos, masks = photos.to(self.device), masks.to(self.device)
        # On CPUs bfloat16 was measured to be no faster.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits, coarse = self.network(self.arch.normalised(photos))
        logits, coarse = logits.float(), coarse.float()
        value = loss(logits, coarse, masks)
        if self.model is not None:
            with torch.no_grad():
                wanted = torch.sigmoid(self.model(self.arch.normalised(photos))[0])
            value = value + loss(logits, coarse, wanted)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mine, new in zip(
                self.average.state_dict().values(), self.network.state_dict().values(), strict=True
            ):
                if mine.dtype.is_floating_point:
                    mine.lerp_(new, 1.0 - keep)
                else:
                    mine.copy_(new)
        return float(value.detach())

    def log(self, found: dict[str, float], value: float) -> None:
        """A row of log.csv, and the plot."""
        path = self.out / "log.csv"
        row = {"step": self.step, "loss": round(value, 5), **{k: round(v, 5) for k, v in found.items()}}
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                # What an earlier try wrote beyond the checkpoint that this one began from is gone.
                rows = [one for one in csv.DictReader(file) if int(one["step"]) < self.step]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row), extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows([*rows, row])
        print(" ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
        plot.write(path, self.out / "log.svg")


def keep_norms(network: nn.Module) -> None:
    """Norms that were folded away stay so: they add their bias and do nothing else.

    A batch's own mean and variance would make another network of it.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
            module.weight.requires_grad_(False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with people/, general/, photos/, teacher/")
    parser.add_argument("--arch", choices=ARCHES, default=next(iter(ARCHES)), help="which network")
    parser.add_argument(
        "--init",
        type=Path,
        help="qbg-base, plain-first: EfficientNet-Lite0's .pth; larger: Lite2's; narrow: u2netp.onnx; "
        "qbg-base also a checkpoint or ONNX file of ours; inspyrenet-fast: a checkpoint of it or Res2Net-50",
    )
    parser.add_argument("--out", type=Path, help="folder of this run")
    parser.add_argument("--cache", type=Path, help="folder for the photos as bytes: 0.7 MB each")
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--side", type=int, help="one size of pictures all along: to compare designs")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2, help="of the network; the loader has its own")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="cpu, or cuda where there is one: the default there",
    )
    parser.add_argument("--loaders", type=int, default=1, help="processes that draw samples")
    parser.add_argument("--judge", type=int, default=JUDGED, help="steps between looks at held-out pictures")
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual steps; about 0.1 to go on")
    parser.add_argument(
        "--int8", action="store_true", help="round as int8 will, and keep to the masks of --init FILE.onnx"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument("--smoke", action="store_true", help="a minute on drawn pictures")
    asked = parser.parse_args()
    if not asked.smoke and (asked.data is None or asked.out is None):
        parser.error("--data and --out are needed, or --smoke")
    if asked.int8 and asked.arch != "qbg-base":
        parser.error("--int8 is for qbg-base")
    if asked.int8 and (asked.init is None or asked.init.suffix != ".onnx"):
        parser.error("--int8 needs --init FILE.onnx: it goes on from a network that has been trained")
    if asked.smoke:
        asked.steps, asked.batch = ARCHES[asked.arch].smoke
        asked.judge, asked.loaders = asked.steps // 2, 0
    return asked


def main() -> int:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    with tempfile.TemporaryDirectory(prefix="qbg-train-") as work:
        root = drawn.draw(Path(work) / "data", asked.seed) if asked.smoke else asked.data
        out = asked.out or Path(work) / "run"
        out.mkdir(parents=True, exist_ok=True)
        pairs = data.find(root)
        side = ARCHES[asked.arch].stored
        train = data.Store([pair for pair in pairs if not pair.held], asked.cache, side)
        held = data.Store([pair for pair in pairs if pair.held], asked.cache, side)
        print(f"{len(train)} pairs to learn from, {len(held)} held out", flush=True)
        if not len(train) or not len(held):
            print(f"no pairs in {root}: see training/README.md", file=sys.stderr)
            return 1
        run = Run(asked, out)
        if asked.resume and (out / "checkpoint.pt").is_file():
            run.load()

        def stop(_signal: int, _frame: object) -> None:
            run.stopped = True

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        run.go(train, held)
        if run.stopped:
            print(f"stopped at step {run.step}; --resume goes on", file=sys.stderr)
            return 130
        side = run.stages()[-1][0]
        path = run.arch.write(run.average.cpu(), side, out / f"{run.arch.name}.onnx")
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
