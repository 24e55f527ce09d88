"""The public face: one image, many images, a folder. Wires model, engine and core together.

Must not know how a stage works, nor print. All objects here may be used from many threads at once.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from qbg import engine as engines
from qbg import images, memory
from qbg.batch import Batch, end_all, forget_all, native_path, native_paths
from qbg.calls import Calls
from qbg.errors import QbgError
from qbg.models import resolve
from qbg.models.sibling import quantized
from qbg.options import FolderOptions, Options, make_options, path_text, whole
from qbg.recipe import Recipe
from qbg.summary import Progress, Summary

if TYPE_CHECKING:
    from qbg._native import Core, Result, Slot
    from qbg.engine import Engine, Infer
    from qbg.network import Network
    from qbg.trial import Trial

PINS = ("auto", "cpu", "node", "off")

WORKERS_LIMIT = 4096

DIGEST_FORMAT = 1
"""Raised when the same model and options give other pixels than before, so that old outputs are redone."""


class Remover:
    """Cuts subjects out of pictures: a model, loaded once, and workers that each take a whole picture.

    Safe to use from many threads: up to `workers` pictures are worked on at once and further
    callers wait. Not usable in a process forked after it was made. Use it as a context manager or
    call `close`.

    Args:
        model: a name from `qbg models list` or the path of an ONNX file. None: the built-in one, qbg-base.
        workers: pictures worked on at once. None: one per CPU that this process may use.
        engine: what runs the network: `onnxruntime`; `openvino` (pip install 'qbg[openvino]'); `null` and
            `simulated:SECONDS` for measuring; or a callable that makes a `qbg.engine.Engine` for a
            `qbg.network.Network`.
        threads_per_worker: threads of one inference; more than 1 only helps with fewer pictures
            than CPUs. Each worker then has a session of its own.
        precision: `auto` for the file's; `fp32`; `bf16` where engine and CPU have it; `int8` for the
            quantized file that lies beside the model (see `qbg.models.sibling`).
        pin: `auto`, `cpu`, `node` or `off`: whether workers stay on their CPU or NUMA node. With
            more than one thread per worker `auto` means the node: threads inherit their maker's CPUs.
        recipe: how to feed and read the network, a `qbg.recipe.Recipe` or the path of a TOML file.
            None: the registry's, or for an unknown file a guess that `notes` tells.
        simd: for measuring: `scalar`, `avx2` or `avx512` instead of the best level that is there.
        max_memory: bytes that this process may take: decides how many of `workers` run, how large a picture
            may be, and lets large ones wait for each other. None: 90 % of the cgroup's limit, at most
            80 % of the machine's memory.
        root: for simulations: a folder whose `sys` and `proc` describe another machine; workers are
            placed on that one's CPUs, and those whose CPU isn't here run unpinned.
        options: defaults of `qbg.options.Options`, such as `only_mask=True` or `background="white"`.

    Attributes:
        notes: lines that a user should see, such as a guessed recipe.

    Raises:
        ModelError: the model is absent, corrupt or of a kind that qbg can't run.
        EngineError: the engine is absent or refuses the network.
        TypeError, ValueError: an option is of a wrong type, an unknown word or out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        workers: int | None = None,
        engine: str | Callable[[Network], Engine] = engines.DEFAULT,
        threads_per_worker: int = 1,
        precision: str = engines.AUTO,
        pin: str = "auto",
        recipe: Recipe | str | os.PathLike[str] | None = None,
        simd: str = "auto",
        max_memory: int | None = None,
        root: str = "/",
        **options: Any,
    ) -> None:
        from qbg import _native

        if pin not in PINS:
            raise ValueError(f"`pin` is {pin!r}, but must be one of: {', '.join(PINS)}")
        if workers is not None:
            whole("option", "workers", workers, 1, WORKERS_LIMIT)
        if max_memory is not None:
            whole("option", "max_memory", max_memory, 1 << 20, 1 << 60)
        whole("option", "threads_per_worker", threads_per_worker, 1, WORKERS_LIMIT)
        if not isinstance(engine, str) and not callable(engine):
            raise TypeError(f"option `engine` is {engine!r}, but must be one of: {', '.join(engines.NAMES)}")
        if recipe is not None and not isinstance(recipe, Recipe | str | os.PathLike):
            raise TypeError(f"option `recipe` is {recipe!r}, but must be a Recipe or a path")
        self._options = make_options(None, **options)
        self._resolved = resolve(None if model is None else path_text("model", model), recipe)
        if precision == "int8":
            self._resolved = quantized(self._resolved)
        network = self._resolved.network
        machine = _native.system()
        count = workers if workers is not None else max(1, int(machine["default_workers"]))
        self._engine: Engine = (
            engines.make(engine, network, threads=threads_per_worker, precision=precision, workers=count)
            if isinstance(engine, str)
            else engine(network)
        )
        self._pid = os.getpid()
        self._closed = False
        self._refusal: QbgError | None = None
        if threads_per_worker > 1 and pin == "auto":
            pin = "node"

        def core(workers: int) -> Core:
            try:
                return _native.Core(
                    self._resolved.recipe,
                    self._engine.output_shape,
                    self._make_worker,
                    workers=workers,
                    pin=pin,
                    simd=simd,
                    root=root,
                )
            except Exception:
                # The engine's own words say more than what the core makes of them.
                if self._refusal is not None:
                    raise self._refusal from None
                raise

        self._core: Core = core(count)
        self.notes: tuple[str, ...] = self._resolved.notes
        limit = max_memory
        if limit is None:
            limit = memory.default_limit(machine["memory_bytes"], machine["memory_limit_bytes"])
        fits = None if limit is None else self._fitting(limit, count)
        if fits is not None:
            if fits.workers < count:
                self._core.close()
                self._core = core(fits.workers)
            self._core.limit_memory(fits.small_bytes, fits.spare_bytes)
        _live.add(self)

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.workers} workers"
        return f"<qbg.Remover {self._resolved.name}, {self._engine.name}, {state}>"

    @property
    def workers(self) -> int:
        """Pictures that are worked on at once."""
        return self._core.workers

    @property
    def tensor_bytes(self) -> int:
        """Of one worker's input and output tensors, float32, by their shapes; 0 where sizes are open."""
        channels, height, width = self._engine.output_shape
        return 4 * (math.prod(self._engine.input_shape) + channels * height * width)

    @property
    def facts(self) -> dict[str, Any]:
        """What runs: `model`, `model_digest` (SHA-256), `engine`, `precision`."""
        return {
            "model": self._resolved.name,
            "model_digest": self._resolved.network.digest,
            "engine": self._engine.name,
            "precision": self._engine.precision,
        }

    def close(self) -> None:
        """Frees model and workers, after pictures in hand. May be called again; other calls then fail."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        _live.discard(self)
        self._core.close()

    def cutout(self, x: Any, **options: Any) -> Any:
        """Cuts the subject out of one picture.

        While a batch of this Remover runs, its workers belong to the batch: the call waits for its end.

        Args:
            x: a path; encoded bytes; a PIL image; or a uint8 array (H, W, 3 or 4), sRGB, straight
                alpha. Alpha in the picture is multiplied into the result's.
            options: fields of `qbg.options.Options` that differ from this Remover's.

        Returns:
            The same kind as `x`, and a PIL image for a path. Pixels are RGBA with straight alpha
            and RGB 0 where alpha is 0; RGB on an opaque background; one plane (H, W), mode L, with
            `only_mask`. Colors and profile are those of the picture. Bytes are a file of
            `options.format`. An array is a new one.

        Raises:
            InputError: the picture can't be read.
            EngineError: the network failed on it.
            OutputError: it can't be encoded.
            TypeError, ValueError: `x` or an option is of a wrong kind.
            RuntimeError: after `close`, or in a forked process.
        """
        return self._cutout(x, self._chosen(options))

    def mask(self, x: Any, **options: Any) -> Any:
        """The alpha plane of one picture: `cutout` with `only_mask=True`.

        Returns:
            A PIL image of mode L for a path or a PIL image; an array (H, W) uint8 for an array; a
            grey file's bytes for bytes.
        """
        return self.cutout(x, **{**options, "only_mask": True})

    def encoded(self, x: Any, **options: Any) -> bytes:
        """Like `cutout`, but gives the bytes of a file of `options.format` whatever kind `x` is."""
        return self._encoded(x, self._chosen(options))

    def process_encoded(self, x: Any, **options: Any) -> Result:
        """Like `encoded`, with times and warnings. For the command line."""
        return self._process_encoded(x, self._chosen(options))

    def cutout_many(
        self, items: Iterable[Any], *, ordered: bool = True, errors: str = "raise", **options: Any
    ) -> Generator[Any, None, None]:
        """Cuts out many pictures at once, with at most 2 x `workers` of them in memory.

        Args:
            items: anything that `cutout` takes; read as far as the window reaches, no further.
            ordered: give results in the order of `items`; False: as they are done.
            errors: `raise` stops at the first failure and raises it. `return` gives the exception
                (`QbgError`, `TypeError`, `ValueError`) in the place of that picture's result.
            options: as for `cutout`.

        Yields:
            Results as `cutout` gives them.

        Closing the generator drops what hasn't begun and waits for the pictures in hand.
        """
        self._check_many(items, errors)
        chosen = self._chosen(options)
        return self._many(iter(items), ordered, errors == "return", lambda item: self._cutout(item, chosen))

    def encoded_many(
        self, items: Iterable[Any], *, ordered: bool = True, errors: str = "raise", **options: Any
    ) -> Generator[Any, None, None]:
        """As `cutout_many`, but gives the bytes of a file of `options.format` for each picture."""
        self._check_many(items, errors)
        chosen = self._chosen(options)
        return self._many(iter(items), ordered, errors == "return", lambda item: self._encoded(item, chosen))

    def remove_folder(
        self,
        src: str | os.PathLike[str],
        dst: str | os.PathLike[str],
        *,
        recursive: bool = True,
        overwrite: bool = False,
        keep_foreign: bool = False,
        shard: tuple[int, int] | None = None,
        on_collision: str = "fail",
        fsync: bool = False,
        fail_fast: bool = False,
        journal: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
        **options: Any,
    ) -> Summary:
        """Cuts out every picture below a folder into another one, keeping its structure.

        Outputs are written whole or not at all. Those that are newer than their input and were
        made with the same model and options are skipped, so a stopped run can be taken up again.

        Args:
            src: a folder, or one picture.
            dst: a folder, made if need be.
            recursive: also folders below `src`.
            overwrite: redo outputs that are up to date.
            keep_foreign, shard: see `qbg.options.FolderOptions`.
            on_collision: `fail` or `rename`, when two pictures want one output.
            fsync: make each output durable before it is renamed.
            fail_fast: stop at the first failure.
            journal: a file to which a line of JSON is appended for each finished image.
            resume: skip what the journal says is done with this model and these options, without a
                look at time stamps.
            on_progress: called about ten times a second, on this thread.
            options: as for `cutout`.

        Returns:
            Counts, failures, times. A picture that fails is a record there, never an exception.
        """
        folder = FolderOptions(
            recursive=recursive,
            overwrite=overwrite,
            on_collision=on_collision,
            keep_foreign=keep_foreign,
            shard=shard,
            fsync=fsync,
            fail_fast=fail_fast,
            journal=None if journal is None else native_path(path_text("journal", journal)),
            resume=resume,
        )
        # The separator says that a folder is meant, also where nothing is there yet.
        batch = self.start([os.fspath(src)], os.path.join(os.fspath(dst), ""), folder, **options)
        return batch.wait(on_progress)

    def start(
        self,
        inputs: Sequence[str | bytes],
        output: str | None,
        folder: FolderOptions,
        *,
        trial: Trial | None = None,
        **options: Any,
    ) -> Batch:
        """Starts a batch and returns at once; `Batch.wait` gives its summary. For the command line.

        Args:
            inputs: paths, globs or one list, as `folder.inputs_are` says.
            output: a folder, or a file for one input; None: beside each input.
            folder: how to walk and write.
            trial: for measuring: see `qbg.trial.Trial`. `Batch.samples` then has a row per picture.
            options: as for `cutout`.

        Raises:
            ValueError: the trial is impossible, or the inputs can't be taken more than once.
            OutputError: the journal can't be opened or read.
        """
        self._check()
        chosen = self._chosen(options)
        target = native_path(output) if output is not None else None
        tag = self.digest(chosen)
        with _calls:
            run = self._core.run(native_paths(inputs), target, chosen, folder, tag, trial)
            return Batch(run, self.facts)

    def digest(self, options: Options | None = None) -> str:
        """The tag, 32 hex digits, that outputs carry: equal tags mean the same model, recipe and options."""
        chosen = options if options is not None else self._options
        parts: list[object] = [
            DIGEST_FORMAT,
            self._resolved.network.digest,
            self._resolved.recipe,
            self._engine.name,
            self._engine.precision,
            # Limits decide whether a picture is done, not how it looks.
            replace(chosen, max_pixels=1, max_metadata_bytes=0),
        ]
        if chosen.background_image is not None:
            parts.append(_file_tag(chosen.background_image))
        return sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def _chosen(self, changes: dict[str, Any]) -> Options:
        return make_options(self._options, **changes) if changes else self._options

    def _cutout(self, x: Any, options: Options) -> Any:
        self._check()
        source = images.take(x, options.max_pixels)
        encode = source.kind == "bytes"
        with _calls:
            result = self._core.process(source.image, options, encode=encode, is_path=source.is_path)
        return images.give(source, result)

    def _process_encoded(self, x: Any, options: Options) -> Result:
        self._check()
        source = images.take(x, options.max_pixels)
        with _calls:
            return self._core.process(source.image, options, encode=True, is_path=source.is_path)

    def _encoded(self, x: Any, options: Options) -> bytes:
        result = self._process_encoded(x, options)
        assert result.encoded is not None
        return result.encoded

    def _fitting(self, limit: int, count: int) -> memory.Plan | None:
        """What fits below `limit`; None where the system doesn't tell what is taken already."""
        from qbg.bench.system import rss_bytes

        resident = rss_bytes()
        if resident is None:
            return None
        fits = memory.plan(limit, resident, memory.SURE_BYTES, count)
        if fits.workers == count and fits.largest_px() >= self._options.max_pixels:
            return fits
        # Memory is short: one inference tells what a worker takes.
        try:
            self._core.process((8, 8, 3, bytes(192)), Options())
        except QbgError:
            if self._refusal is not None:
                raise self._refusal from None
            # A network that fails on this fails on pictures too, and says so there.
        after = rss_bytes() or resident
        worker = max(after - resident, memory.LEAST_WORKER_BYTES)
        fits = memory.plan(limit, resident, worker, count)
        told = []
        if fits.workers < count:
            told.append(f"{fits.workers} worker{'' if fits.workers == 1 else 's'} in place of {count}")
        if fits.largest_px() < self._options.max_pixels:
            jpeg, other = fits.largest_px(jpeg=True) / 1e6, fits.largest_px() / 1e6
            told.append(f"pictures of at most {other:.0f} megapixels (JPEG: {jpeg:.0f})")
        if told:
            self.notes += (f"{' and '.join(told)}, to stay below {memory.shown(limit)} of memory",)
        return fits

    def _make_worker(self, slot: Slot) -> Infer:
        try:
            return self._engine.make_worker(slot)
        except QbgError as error:
            self._refusal = error
            raise

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError("this Remover was made before a fork: make a new one in this process")
        if self._closed:
            raise RuntimeError("this Remover is closed: make a new one")

    def _check_many(self, items: object, errors: str) -> None:
        self._check()
        if isinstance(items, str | bytes | bytearray | memoryview | os.PathLike) or _is_picture(items):
            raise TypeError(
                f"`items` is one picture ({type(items).__name__}): give a list of pictures, or use `cutout`; "
                "for a folder there is `remove_folder`"
            )
        if errors not in ("raise", "return"):
            raise ValueError(f"`errors` is {errors!r}, but must be one of: raise, return")

    def _many(
        self, items: Any, ordered: bool, keep_errors: bool, one: Callable[[Any], Any]
    ) -> Generator[Any, None, None]:
        window = 2 * self.workers

        def outcome(future: Future[Any]) -> Any:
            try:
                return future.result()
            except (QbgError, TypeError, ValueError) as error:
                if not keep_errors:
                    raise
                return error

        threads = ThreadPoolExecutor(self.workers, thread_name_prefix="qbg-many")
        pending: deque[Future[Any]] = deque()
        try:
            more = True
            while more or pending:
                while more and len(pending) < window:
                    try:
                        item = next(items)
                    except StopIteration:
                        more = False
                        break
                    pending.append(threads.submit(one, item))
                    del item
                if not pending:
                    break
                if ordered:
                    future = pending.popleft()
                else:
                    future = next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
                    pending.remove(future)
                yield outcome(future)
                del future
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def remove(x: Any, model: str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """Cuts the subject out of one picture.

    The first call loads the model; a Remover per model is kept for later calls, shared by all
    threads, until the process ends. For many pictures or a folder use `Remover`.

    Args:
        x: a path; encoded bytes; a PIL image; or a uint8 array (H, W, 3 or 4).
        model: a name from `qbg models list` or the path of an ONNX file. None: the built-in one, qbg-base.
        options: fields of `qbg.options.Options`, such as `only_mask=True` or `background="white"`.

    Returns:
        The same kind as `x`, and a PIL image for a path: see `Remover.cutout`.

    Raises:
        QbgError: see `Remover` and `Remover.cutout`.
    """
    chosen = make_options(None, **options)
    key = None if model is None else path_text("model", model)
    with _lock:
        remover = _shared.get(key)
        if remover is None:
            remover = _shared[key] = Remover(key)
    return remover._cutout(x, chosen)


_shared: dict[str | None, Remover] = {}
_lock = threading.Lock()
_live: weakref.WeakSet[Remover] = weakref.WeakSet()
_lost: list[Remover] = []
_calls = Calls()


def _after_fork() -> None:
    """In the child: no worker thread lives on, so that no Remover works. They are never freed there,
    because freeing would wait for those threads."""
    global _lock, _calls
    _calls = Calls()
    forget_all()
    _lost.extend(_live)
    _live.clear()
    _shared.clear()
    _lock = threading.Lock()


def _at_exit() -> None:
    """Batches first, also those of daemon threads, then single pictures; nothing new begins meanwhile."""
    _calls.end()
    end_all()
    _calls.wait()
    end_all()  # one may have begun while the door was shut
    for remover in list(_live):
        remover.close()
    _shared.clear()


def _is_picture(items: object) -> bool:
    """An array of one picture would be taken row by row."""
    return getattr(items, "ndim", None) in (2, 3)


def _file_tag(path: str) -> str:
    """A background picture's content; its path where it can't be read (each image then fails on it)."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            digest = sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except OSError:
        return path


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
