"""How many workers run and how large pictures may be, below a limit of memory. Must not know who sets it.

The estimate of a worker is measured where memory is short (one inference, resident memory before and
after); the estimate of a picture is the core's figure per pixel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BYTES_PER_PIXEL = 24
JPEG_BYTES_PER_PIXEL = 16
"""As `rust/core/src/memory.rs` has them: of one picture, all buffers together."""

SMALL_PX = (2_000_000, 32_000_000)
"""Least and most pixels that every worker can hold at any time."""

LARGE_PX = 64_000_000
"""A picture that has to be possible, before there is a second worker."""

SURE_BYTES = 1 << 30
"""Of a worker, network and tensors together: nothing that is known takes more."""

LEAST_WORKER_BYTES = 32 << 20

SHARE_OF_LIMIT = 0.9
SHARE_OF_MACHINE = 0.8

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits.

    Attributes:
        workers: that may run at once.
        small_bytes: that every worker may take for a picture at any time.
        spare_bytes: what larger pictures share, beyond that.
    """

    workers: int
    small_bytes: int
    spare_bytes: int

    def largest_px(self, *, jpeg: bool = False) -> int:
        """The largest picture that can be done, alone."""
        each = JPEG_BYTES_PER_PIXEL if jpeg else BYTES_PER_PIXEL
        return (self.small_bytes + self.spare_bytes) // each


def plan(limit: int, resident: int, worker: int, workers: int) -> Plan:
    """The most workers, at most `workers`, that leave room for a large picture; one in any case.

    Args:
        limit: bytes that this process may take.
        resident: bytes that it takes already.
        worker: bytes that each worker adds, without its picture.
        workers: that are wished for.
    """
    least, most = (pixels * BYTES_PER_PIXEL for pixels in SMALL_PX)
    free = max(0, limit - resident)
    room = free - (LARGE_PX - SMALL_PX[0]) * BYTES_PER_PIXEL
    count = max(1, min(workers, room // (worker + least)))
    left = max(0, free - count * worker)
    # A quarter is for the usual pictures, so that they need not wait for each other; less, if the large
    # one would not have room beside those.
    each = left // (4 * count)
    if count > 1:
        each = min(each, (left - LARGE_PX * BYTES_PER_PIXEL) // (count - 1))
    small = min(max(each, least), most)
    spare = max(0, free - count * (worker + small))
    return Plan(workers=count, small_bytes=small, spare_bytes=spare)


def parse_size(text: str) -> int:
    """`800M`, `1.5G`, `2GiB` or a number of bytes, to bytes; a kilo is 1024. ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * UNITS[match[2].lower()]) if match else 0
    if not 1 << 20 <= size <= 1 << 60:
        raise ValueError(f"{text!r} is not a size of memory: give 800M, 1.5G or a number of bytes")
    return size


def shown(size: int) -> str:
    """A size for people: `900 MiB`, `1.5 GiB`."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


def default_limit(memory: int | None, group: int | None) -> int | None:
    """What a process takes at most when nobody says so; None where the machine isn't known.

    Args:
        memory: of the machine, in bytes.
        group: limit of the cgroup, in bytes, where there is one.
    """
    limits = []
    if memory is not None:
        limits.append(int(memory * SHARE_OF_MACHINE))
    if group is not None:
        limits.append(int(group * SHARE_OF_LIMIT))
    return min(limits, default=None)
