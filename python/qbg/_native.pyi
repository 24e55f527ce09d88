"""The native module: what Rust exports to `qbg`. Not a public interface; use `qbg` itself."""

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from qbg.options import FolderOptions, Options
from qbg.recipe import Recipe
from qbg.trial import Trial

__version__: Final[str]
BUILD_PROFILE: Final[str]
"""`release` or `debug`: a benchmark refuses a debug build."""

@final
class Tensor:
    """A worker's float32 memory, C-contiguous NCHW; Rust owns it, NumPy views it.

    `numpy.asarray(tensor)` is a writable view that keeps the memory alive.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def address(self) -> int:
        """Address of the first element; stays the same for the life of the object."""
    @property
    def capacity(self) -> int:
        """Elements that the memory can hold: at least the product of `shape`."""
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

@final
class Slot:
    """What an engine gets to make one worker: its number, its place and its two tensors."""

    @property
    def index(self) -> int: ...
    @property
    def node(self) -> int | None:
        """NUMA node that the worker runs on; None where that isn't known."""
    @property
    def input(self) -> Tensor:
        """(1, 3, H, W). For a dynamic recipe H and W are the largest that can happen."""
    @property
    def output(self) -> Tensor:
        """(1, C, h, w), like `input`."""
    @property
    def dynamic(self) -> bool:
        """Whether `infer` is called with (height, width) of each picture's tensor, or with nothing."""

@final
class Pixels:
    """An 8-bit image that Rust made: (H, W, C) with C = 1 (as (H, W)), 3 or 4.

    `numpy.asarray(pixels)` is a view that keeps the memory alive.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def tobytes(self) -> bytes: ...

@final
class Result:
    """One finished image."""

    @property
    def pixels(self) -> Pixels | None:
        """The cut-out (or alpha); None when it was encoded."""
    @property
    def encoded(self) -> bytes | None:
        """The file's bytes; None unless `encode` was asked for."""
    @property
    def icc(self) -> bytes | None:
        """The input's RGB profile, if it had one: the pixels are in its space."""
    @property
    def density(self) -> tuple[float, float] | None:
        """Dots per inch (x, y) of the input after orientation; None when it was encoded or has none."""
    @property
    def stage_ns(self) -> dict[str, int]:
        """Nanoseconds per stage, by name."""
    @property
    def warnings(self) -> list[str]: ...

@final
class Failure:
    """One image that failed."""

    @property
    def file(self) -> str:
        """The path as it is: bytes that aren't UTF-8 as surrogates, as `os.fsdecode` gives them."""
    @property
    def stage(self) -> str: ...
    @property
    def message(self) -> str:
        """What happened, without stage and file."""
    @property
    def hint(self) -> str | None: ...
    @property
    def line(self) -> str:
        """`stage path: what happened`."""

@final
class Run:
    """A batch that is being worked on by the core's workers."""

    def poll(self, timeout_s: float) -> bool:
        """Collects finished images for at most `timeout_s` (without the GIL); True when all is over."""
    def progress(self) -> tuple[int, int, int, int | None]:
        """(done, skipped, failed, total); total is None until the side walk has counted."""
    def failures(self, start: int = 0) -> list[Failure]:
        """Failures from the `start`-th on, in the order in which they happened."""
    def warnings(self, start: int = 0) -> list[str]:
        """One line each: an output that was redone, an animation's first frame, a broken profile."""
    def cancel(self) -> None:
        """Workers finish or abandon the image in hand and take no other. Returns at once."""
    def summary(self) -> dict[str, Any]:
        """After the end: `images`, `done`, `skipped`, `failed`, `cancelled`, `stopped` (why, if by itself),
        `seconds`,
        `stage_seconds` (by stage), `service_ns` (percentiles: `p50`, `p90`, `p95`, `p99`, `max`),
        `steals` (`own`, `injector`, `local`, `remote`), `idle_seconds`, `workers`,
        `pixels`, `bytes_in`, `bytes_out`, `unpinned` (workers that the system wouldn't pin),
        `mapped` (done pictures whose file was mapped and not read)."""
    def samples(self, start: int = 0) -> bytes:
        """After the end, and only with a `trial`: one row of uint64 (native byte order) per finished image
        from the `start`-th on, in the order in which they ended, with the columns `SAMPLE_COLUMNS`."""

@final
class Core:
    """Workers, their slots and their engine's callables.

    make_worker   called once per worker with its `Slot`, on the worker's own pinned thread;
                  returns `infer`, called with nothing (or with (height, width) if the slot is
                  dynamic) each time the input tensor has been filled; it must fill the output.
                  What it raises is that image's failure.
    output_shape  (C, h, w) of the network's output; h = w = 0 when they equal the input's.
    pin           auto, cpu, node, off
    simd          auto, scalar, avx2, avx512
    root          where the machine's topology is read; another one than `/` is for simulations
    Raises ValueError for an unknown word or an impossible recipe.
    """

    def __new__(
        cls,
        recipe: Recipe,
        output_shape: tuple[int, int, int],
        make_worker: Callable[[Slot], Callable[..., None]],
        *,
        workers: int,
        pin: str = "auto",
        simd: str = "auto",
        root: str = "/",
    ) -> Core: ...
    @property
    def workers(self) -> int: ...
    @property
    def simd(self) -> str: ...
    def process(
        self,
        image: str | bytes | tuple[int, int, int, bytes],
        options: Options,
        *,
        encode: bool = False,
        is_path: bool = False,
    ) -> Result:
        """One image on the calling thread, with a worker's slot that is idle (waits for one).

        image   a path (`is_path`), a file's bytes, or (height, width, channels, pixels) with 3 or 4 channels.
        Raises the class of `qbg.errors` that fits; RuntimeError after `close`.
        """
    def run(
        self,
        inputs: Sequence[str | bytes],
        output: str | bytes | None,
        options: Options,
        folder: FolderOptions,
        digest: str,
        trial: Trial | None = None,
    ) -> Run:
        """Starts a batch. One batch at a time: a second waits for the first one's slots.

        inputs   paths of files and folders, globs, or one list (`-` is standard input), as
                 `folder.inputs_are` says.
        digest   ASCII tag of model and options, written into every output.
        trial    for measuring: repeats, arrivals, parts switched off; keeps a sample of every image.
                 With `pixels` off `inputs` is empty, `output` None, and `count` says how many jobs.
        """
    def limit_memory(self, small_bytes: int, bytes: int) -> None:
        """From the next image on, those that take more than `small_bytes` share `bytes` in turn."""
    def close(self) -> None:
        """Frees slots and callables. Idempotent."""

def plan(
    inputs: Sequence[str | bytes],
    output: str | bytes | None,
    options: Options,
    folder: FolderOptions,
) -> list[tuple[str, str]]:
    """The (input, output) pairs of a run, without doing it. For `--dry-run`."""

def is_picture(name: str | bytes) -> bool:
    """Whether a file of this name in a folder is taken for a picture, by its ending; HEIC and AVIF are, to be
    refused aloud."""

def system(root: str = "/") -> dict[str, Any]:
    """What `doctor` prints of the machine: `cpu`, `cpus_allowed`, `cpus_online`, `quota`, `nodes`,
    `cpus_by_node` (those allowed), `smt`, `memory_bytes`, `memory_limit_bytes`, `simd` (best level),
    `simd_levels`, `default_workers`."""

SAMPLE_COLUMNS: Final[tuple[str, ...]]
"""`index` (in the order of discovery), `worker`, `arrival_ns` (intended; 0 in a closed loop), `begin_ns`,
`end_ns` (since the batch began), `status` (0 done, 1 skipped, 2 failed), `pixels`, `bytes_in`, `bytes_out`,
then `<stage>_ns` for each stage in the order of the flow."""

def triad(threads: int, bytes_per_array: int, repeats: int) -> list[float]:
    """Memory bandwidth, bytes per second, of each repeat: a = b + s * c on float64 arrays, split among
    `threads` threads, each on memory it touched first. Counts 24 bytes per element (McCalpin's STREAM)."""

def peak_rss_bytes() -> int:
    """High-water mark of this process's resident memory; 0 where the system doesn't tell."""

# Kernels at a chosen level: for tests, benches and power users.

def resize(
    image: tuple[int, int, int, bytes], height: int, width: int, filter: str, level: str = "auto"
) -> Pixels:
    """(H, W, C) uint8 with C = 1, 3 or 4; Pillow's two 8-bit passes. `filter`: bilinear, lanczos."""

def preprocess(image: tuple[int, int, int, bytes], recipe: Recipe, level: str = "auto") -> Tensor:
    """(H, W, 3) uint8 sRGB to (1, 3, h, w) float32."""

def mask(
    logits: tuple[int, int, int, bytes],
    recipe: Recipe,
    height: int,
    width: int,
    level: str = "auto",
    image: tuple[int, int, int, bytes] | None = None,
) -> Pixels:
    """(C, h, w) float32 bytes to (H, W) uint8 alpha; with (H, W, 3) `image`, edges are moved to its own."""

def composite(
    image: tuple[int, int, int, bytes],
    alpha: tuple[int, int, int, bytes],
    options: Options,
    level: str = "auto",
) -> Pixels:
    """(H, W, 3) colors and (H, W, 1) alpha to (H, W, 4), or (H, W, 3) on an opaque background."""

def decode(data: bytes, options: Options) -> tuple[Pixels, Pixels | None]:
    """File bytes to RGB (H, W, 3) and the input's alpha (H, W), orientation applied."""

def encode(image: tuple[int, int, int, bytes], options: Options) -> bytes:
    """(H, W, C) uint8 with C = 1, 3 or 4 to a file's bytes."""
