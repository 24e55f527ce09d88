"""Photos and masks for training: what is held out, which labels are trusted, and what is drawn from them.

Photos go through qbg's own decoder and resize once and stay in memory as bytes: decoding, orientation, color
profiles and the first resize are those of use. Crops are resized once more, by torch; the figures that count
are taken from the exported file through qbg itself. A rule on names, not a random draw, decides what is held
out, so that every run and every machine agrees. Must not know networks.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from qbg import _native
from qbg.options import Options

Bytes = npt.NDArray[np.uint8]

HELD_PEOPLE = 9
"""Every so many of the sorted people is held out."""

HELD_PAIRS, HELD_PSEUDO = 3, 20
"""One in so many of the other pairs with true masks, and of the photos that have a teacher's mask only."""

GREY = 0.10
"""Share of a teacher's mask that may be between 10 and 90 %: more is doubt."""

COVER = (0.03, 0.85)
"""Share of the picture that a trusted teacher's subject covers."""

TRUE, TEACHER = 0, 1
"""Kinds of labels."""


@dataclass(frozen=True)
class Pair:
    """A photo and its label.

    Attributes:
        name: the photo's stem.
        group: the source, for tables by group.
        photo, mask: files.
        kind: `TRUE` or `TEACHER`.
        held: whether it is kept from training.
    """

    name: str
    group: str
    photo: Path
    mask: Path
    kind: int
    held: bool


def find(root: Path) -> list[Pair]:
    """All usable pairs below a folder with people/, general/, photos/ and teacher/ (each may be absent).

    people/ and general/ hold images/ and masks/; photos/ holds photos; teacher/ a folder for each of the
    other two, of soft masks.
    """
    pairs = []
    for number, photo in enumerate(_photos(root / "people" / "images")):
        mask = _mask(root / "people" / "masks", photo)
        if mask is not None:
            pairs.append(Pair(photo.stem, "people", photo, mask, TRUE, number % HELD_PEOPLE == 0))
    for folder, photos in (("general", root / "general" / "images"), ("photos", root / "photos")):
        for photo in _photos(photos):
            group = photo.stem.split("_")[0] if folder == "general" else "street"
            mask = _mask(root / folder / "masks", photo)
            if mask is not None:
                pairs.append(Pair(photo.stem, group, photo, mask, TRUE, _lot(photo.stem) % HELD_PAIRS == 0))
                continue
            mask = _mask(root / "teacher" / folder, photo)
            if mask is not None and trusted(np.asarray(Image.open(mask).convert("L"))):
                held = _lot(photo.stem) % HELD_PSEUDO == 0
                pairs.append(Pair(photo.stem, group, photo, mask, TEACHER, held))
    return pairs


def trusted(mask: Bytes) -> bool:
    """Whether a teacher's mask is good for a label.

    One that finds nothing is not: in these pictures of things that means a miss, hardly ever an empty scene.
    """
    cover = float((mask > 127).mean())
    grey = float(((mask > 25) & (mask < 230)).mean())
    return COVER[0] <= cover <= COVER[1] and grey <= GREY


def load(pair: Pair, side: int) -> tuple[Bytes, Bytes]:
    """Photo (side, side, 3) and mask (side, side), squashed."""
    pixels, _alpha = _native.decode(pair.photo.read_bytes(), Options())
    height, width = pixels.shape[:2]
    photo = np.asarray(_native.resize((height, width, 3, pixels.tobytes()), side, side, "lanczos"))
    with Image.open(pair.mask) as opened:
        mask = np.asarray(opened.convert("L").resize((side, side), Image.Resampling.BILINEAR))
    return photo, mask


class Store:
    """Pairs in memory, squashed to `side`, kept in a file between runs."""

    def __init__(self, pairs: list[Pair], cache: Path | None, side: int) -> None:
        self.pairs = pairs
        key = hashlib.sha256("\n".join(f"{p.photo}:{p.mask}" for p in pairs).encode()).hexdigest()[:16]
        path = None if cache is None else cache / f"pairs-{side}-{key}.npy"
        if path is not None and path.is_file():
            self._planes = np.load(path, mmap_mode="r")
            return
        planes = np.empty((len(pairs), side, side, 4), np.uint8)
        for number, pair in enumerate(pairs):
            planes[number, :, :, :3], planes[number, :, :, 3] = load(pair, side)
        self._planes = planes
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.npy")
            np.save(temporary, planes)
            temporary.replace(path)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Bytes, Bytes]:
        plane = self._planes[number]
        return plane[:, :, :3], plane[:, :, 3]


PEOPLE_SHARE = 0.34
"""Of the draws: people's masks are true, the others' mostly a teacher's."""

TRUE_WEIGHT = 3.0
"""A true mask is drawn so many times as often as a teacher's."""

NONE, PASTED, SECOND = 0.10, 0.22, 0.3
"""Chances of a picture without a subject, of one pasted on another photo, and that the other's stays."""

PASSER_BY = 0.25
"""Another subject that covers less than this share of what the pasted one covers is no subject there."""


class Draws:
    """Endless training samples from a store: (3, S, S) float in 0..255 and (1, S, S) in 0..1.

    `whole` is the share of photos that aren't cropped.
    """

    def __init__(self, store: Store, side: int, seed: int, whole: float) -> None:
        self._store = store
        self._side = side
        self._whole = whole
        self._random = np.random.default_rng(seed)
        pairs = store.pairs
        weights = np.array([TRUE_WEIGHT if pair.kind == TRUE else 1.0 for pair in pairs])
        people = np.array([pair.group == "people" for pair in pairs])
        for chosen, share in ((people, PEOPLE_SHARE), (~people, 1.0 - PEOPLE_SHARE)):
            if chosen.any():
                weights[chosen] *= share / weights[chosen].sum()
        self._weights = weights / weights.sum()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield self.one()

    def one(self) -> tuple[Tensor, Tensor]:
        """A sample."""
        random = self._random
        photo, mask = self._crop(*self._pick())
        chance = random.random()
        if chance < NONE:
            photo, mask = self._without_subject()
        elif chance < NONE + PASTED:
            photo, mask = self._paste(photo, mask)
        return self._colour(photo), mask

    def _pick(self) -> tuple[Bytes, Bytes]:
        return self._store[int(self._random.choice(len(self._store), p=self._weights))]

    def _crop(self, photo: Bytes, mask: Bytes, least: float = 0.45) -> tuple[Tensor, Tensor]:
        """A random part, of a random shape, or all of it; flipped half of the time, at the network's size."""
        random = self._random
        size = photo.shape[0]
        whole = random.random() < self._whole
        high, wide = (size, size) if whole else (int(size * random.uniform(least, 1.0)) for _ in range(2))
        top, left = random.integers(0, size - high + 1), random.integers(0, size - wide + 1)
        part = np.concatenate([photo, mask[:, :, None]], 2)[top : top + high, left : left + wide]
        if random.random() < 0.5:
            part = part[:, ::-1]
        return self._fitted(np.ascontiguousarray(part))

    def _fitted(self, part: Bytes) -> tuple[Tensor, Tensor]:
        tensor = torch.from_numpy(part).permute(2, 0, 1)[None].float()
        tensor = functional.interpolate(
            tensor, (self._side, self._side), mode="bilinear", antialias=True, align_corners=False
        )[0]
        return tensor[:3], tensor[3:].div(255.0)

    def _without_subject(self) -> tuple[Tensor, Tensor]:
        """A part of a photo where nothing is, or a drawn ground where no such part is found."""
        random = self._random
        for _try in range(6):
            photo, mask = self._pick()
            size = photo.shape[0]
            high, wide = (int(size * random.uniform(0.25, 0.6)) for _ in range(2))
            top, left = random.integers(0, size - high + 1), random.integers(0, size - wide + 1)
            if mask[top : top + high, left : left + wide].max() <= 5:
                part = np.concatenate([photo, mask[:, :, None]], 2)[top : top + high, left : left + wide]
                tensor, alpha = self._fitted(np.ascontiguousarray(part))
                return tensor, torch.zeros_like(alpha)
        colours = torch.from_numpy(random.uniform(0, 255, (1, 3, 2, 2)).astype(np.float32))
        ground = functional.interpolate(
            colours, (self._side, self._side), mode="bilinear", align_corners=True
        )[0]
        noise = torch.from_numpy(random.normal(0, random.uniform(0, 12), ground.shape).astype(np.float32))
        return (ground + noise).clamp(0, 255), torch.zeros(1, self._side, self._side)

    def _paste(self, photo: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The subject, smaller and moved, with matched light and a soft edge, on another photo.

        Three times in ten the other photo's subject stays in the picture. Then both count, unless the other
        is much smaller: a passer-by.
        """
        random = self._random
        if not 0.02 < float(mask.mean()) < 0.7:
            return photo, mask
        other, others = self._crop(*self._pick())
        if random.random() >= SECOND:
            empty, _none = self._without_subject()
            other, others = empty, torch.zeros_like(mask)
        scale = random.uniform(0.55, 1.1)
        moved = (random.uniform(-0.2, 0.2), random.uniform(-0.2, 0.2))
        theta = torch.tensor([[[1 / scale, 0, moved[0]], [0, 1 / scale, moved[1]]]], dtype=torch.float32)
        grid = functional.affine_grid(theta, [1, 4, self._side, self._side], align_corners=False)
        both = functional.grid_sample(torch.cat([photo, mask])[None], grid, align_corners=False)[0]
        subject, alpha = both[:3], both[3:]
        if float(alpha.mean()) < 0.01:
            return photo, mask
        light = 1.0 + random.uniform(0.0, 0.6) * (float(other.mean()) / (float(subject.mean()) + 20.0) - 1.0)
        subject = (subject * min(max(light, 0.6), 1.6)).clamp(0, 255)
        # The rim of a cut-out carries its old ground: it is taken a little smaller.
        rim = ((alpha - 0.15) / 0.85).clamp(0, 1)
        if random.random() < 0.4:
            shadow = functional.avg_pool2d(torch.roll(rim, (4, 5), (1, 2))[None], 15, 1, 7)[0]
            other = other * (1.0 - random.uniform(0.1, 0.5) * shadow)
        pasted = subject * rim + other * (1.0 - rim)
        return pasted, together(rim, others * (1.0 - rim))

    def _colour(self, photo: Tensor) -> Tensor:
        """Brightness, contrast, saturation, tint, grey, blur, coarse pixels, noise, JPEG."""
        random = self._random
        photo = photo * random.uniform(0.7, 1.3) + random.uniform(-20, 20)
        grey = photo.mean(0, keepdim=True)
        photo = grey + (photo - grey) * (0.0 if random.random() < 0.06 else random.uniform(0.5, 1.4))
        photo = photo.mean() + (photo - photo.mean()) * random.uniform(0.75, 1.25)
        photo = photo * torch.from_numpy(random.uniform(0.92, 1.08, (3, 1, 1)).astype(np.float32))
        chance = random.random()
        if chance < 0.12:
            kernel = int(random.choice([3, 5]))
            photo = functional.avg_pool2d(photo[None], kernel, 1, kernel // 2, count_include_pad=False)[0]
        elif chance < 0.24:
            small = int(self._side / random.uniform(1.3, 3.0))
            photo = functional.interpolate(photo[None], (small, small), mode="bilinear", antialias=True)
            photo = functional.interpolate(photo, (self._side, self._side), mode="bilinear")[0]
        if random.random() < 0.2:
            photo = photo + torch.from_numpy(
                random.normal(0, random.uniform(1, 9), tuple(photo.shape)).astype(np.float32)
            )
        photo = photo.clamp(0, 255)
        return _jpeg(photo, int(random.integers(35, 90))) if random.random() < 0.15 else photo


def together(pasted: Tensor, other: Tensor) -> Tensor:
    """Alpha of two subjects: both, or the pasted one's alone where the other is a passer-by."""
    small = float(other.mean()) < PASSER_BY * float(pasted.mean())
    return pasted if small else torch.maximum(pasted, other)


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """`Draws` for a loader: each of its processes gets a seed of its own."""

    def __init__(self, store: Store, side: int, seed: int, whole: float) -> None:
        self._store, self._side, self._seed, self._whole = store, side, seed, whole

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        if worker is not None:
            torch.set_num_threads(1)
            # A stop is the trainer's to handle: it saves first.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        seed = self._seed * 1009 + (worker.id if worker else 0)
        return iter(Draws(self._store, self._side, seed, self._whole))


def _jpeg(photo: Tensor, quality: int) -> Tensor:
    import io

    file = io.BytesIO()
    Image.fromarray(photo.permute(1, 2, 0).byte().numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _mask(folder: Path, photo: Path) -> Path | None:
    path = folder / f"{photo.stem}.png"
    return path if path.is_file() else None


def _lot(name: str) -> int:
    """A number that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
