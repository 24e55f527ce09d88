"""rembg's Python API (2.0.86) on qbg: `remove` and `new_session` with its arguments and types.

    from qbg.compat.rembg import new_session, remove

Where the result differs on purpose stands in docs/rembg.md, with what brings rembg's way back. Must not
know the command line.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qbg.compat import matting
from qbg.elastic import Elastic
from qbg.errors import ModelError, ModelNotFoundError
from qbg.models import DEFAULT, MODELS, UNSUPPORTED, unknown
from qbg.remover import Remover

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Rembg", "Session", "new_session", "remove"]

RESTORE = "QBG_REMBG"
"""Environment variable: words that bring rembg's ways back, as in docs/rembg.md."""

PREMULTIPLIED, FLAT, EXIT_ZERO = "premultiplied", "flat", "exit-zero"
WORDS = (PREMULTIPLIED, FLAT, EXIT_ZERO)
OWN_FILES = {entry.name: entry.like for entry in UNSUPPORTED.values() if entry.like is not None}
"""rembg's names for files of your own, and the models whose recipe they take."""

NO_VITMATTE = (
    "ViTMatte isn't part of qbg: a transformer over the whole picture, 100 MB and seconds per picture on a "
    "CPU; use decontaminate (`-dc`), or alpha_matting (`-a`)"
)
OTHER_DEFAULT = (
    f"no model named: qbg's own, {DEFAULT}, is used; rembg's default, bria-rmbg, is 1 GB and not for "
    "commercial use. Name one to choose, or set QBG_REMBG=model=bria-rmbg"
)


class Rembg(UserWarning):
    """Something that differs from rembg and that its user should know."""


class Session:
    """A model that is loaded once. Made by `new_session`; safe to use from many threads.

    Attributes:
        model_name: as it was asked for.
    """

    def __init__(self, model_name: str, elastic: Elastic) -> None:
        self.model_name = model_name
        self._elastic = elastic

    def __repr__(self) -> str:
        return f"<qbg.compat.rembg.Session {self.model_name}>"

    def predict(self, img: Image, *args: Any, **kwargs: Any) -> list[Image]:
        """The masks of one picture: a list of one image of mode L, of the picture's size."""
        return [self._elastic.use(lambda remover: remover.mask(img))]

    def close(self) -> None:
        """Frees the model. rembg has no such call; nobody must make it."""
        self._elastic.close()


def new_session(model_name: str | None = None, *args: Any, sess_opts: Any = None, **kwargs: Any) -> Session:
    """Loads a model by rembg's name; downloads it if it is in neither qbg's folders nor rembg's.

    Args:
        model_name: rembg's names and qbg's. None: qbg's own model, with a warning that says so.
        args: accepted as rembg does, and not used.
        sess_opts: an `onnxruntime.SessionOptions`, of which `intra_op_num_threads` counts. None: all CPUs.
        kwargs: `model_path` for `u2net_custom`, `dis_custom` and `ben_custom`. `providers` is accepted:
            qbg runs on CPUs.

    Raises:
        ValueError: no such model.
        ModelError: it can't be brought here or loaded.
    """
    name = model_name if model_name is not None else _default(3)
    providers = kwargs.get("providers") or []
    if any("CPU" not in str(provider) for provider in providers):
        warnings.warn("qbg runs on CPUs: other providers are passed over", Rembg, stacklevel=2)
    threads = int(getattr(sess_opts, "intra_op_num_threads", 0) or 0) or None
    model, recipe = which(name, kwargs.get("model_path"))
    return Session(name, Elastic(model, threads=threads, recipe=recipe))


def which(name: str, model_path: str | os.PathLike[str] | None = None) -> tuple[str, Any]:
    """Model and recipe, as `Remover` takes them, for one of rembg's names; downloads what isn't here.

    Raises:
        ValueError: no such model, or a file of one's own without its path.
        ModelError: it can't be had.
    """
    from qbg.models.download import download
    from qbg.models.files import find

    if name in OWN_FILES:
        if model_path is None:
            raise ValueError(f"{name} needs `model_path`, the ONNX file")
        return str(Path(model_path).expanduser()), MODELS[OWN_FILES[name]].recipe
    model = MODELS.get(name)
    if model is None:
        if Path(name).is_file():
            return name, None
        raise NoSessionError(str(unknown(name)))
    try:
        find(model)
    except ModelNotFoundError:
        size = "" if model.bytes is None else f", {model.bytes / 1e6:.0f} MB"
        warnings.warn(f"{name} isn't on this machine: it is being downloaded{size}", Rembg, stacklevel=3)
        download(model)
    return name, None


class NoSessionError(ModelError, ValueError):
    """No model of that name. A ValueError too, as rembg's is."""


def remove(
    data: Any,
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Session | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    decontaminate: bool = False,
    vitmatte: bool = False,
    vitmatte_model: str | None = None,
    bgcolor: tuple[int, int, int, int] | None = None,
    force_return_bytes: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Cuts the subject out of one picture, with rembg's arguments.

    Args:
        data: encoded bytes, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4).
        alpha_matting: refine the edge with PyMatting (extra qbg[matting]).
        alpha_matting_foreground_threshold: mask above it is surely subject.
        alpha_matting_background_threshold: mask below it is surely background.
        alpha_matting_erode_size: pixels by which both are eroded.
        session: from `new_session`. None: one per model is kept; rembg loads the model at each call.
        only_mask: give the mask.
        post_process_mask: smooth the mask's outline, and make it hard.
        decontaminate: estimate the subject's own colors in soft edges.
        vitmatte, vitmatte_model: refused.
        bgcolor: (red, green, blue, alpha) behind the subject.
        force_return_bytes: give a PNG's bytes whatever `data` is.
        args: accepted as rembg does, and not used.
        kwargs: `putalpha`: keep the colors of transparent pixels. `premultiplied`: multiply colors by alpha,
            as rembg does unless `putalpha` or `decontaminate` is given. Others as for `new_session`.

    Returns:
        What `data` is: PNG bytes, a PIL image (RGBA, or L with `only_mask`), or an array.

    Raises:
        ValueError: `data` is of another kind, or ViTMatte is asked for.
        QbgError: see `qbg.Remover.cutout`.
    """
    kind = _kind(data)
    put_alpha = bool(kwargs.pop("putalpha", False))
    premultiplied = bool(kwargs.pop("premultiplied", PREMULTIPLIED in restored()))
    if vitmatte and not only_mask:
        raise ValueError(NO_VITMATTE)
    session = session if session is not None else _kept(kwargs)
    color = None if bgcolor is None or only_mask or bgcolor[3] == 0 else tuple(int(c) for c in bgcolor)
    picture = _with_channels(data) if kind == "array" else data
    if alpha_matting and not only_mask:
        found = session._elastic.use(
            lambda remover: matted(
                remover,
                picture,
                (
                    alpha_matting_foreground_threshold,
                    alpha_matting_background_threshold,
                    alpha_matting_erode_size,
                ),
                color,
                post_process=post_process_mask,
            )
        )
        return _as(found, "bytes" if force_return_bytes else kind)
    options: dict[str, Any] = {
        "only_mask": only_mask,
        "post_process": post_process_mask,
        "decontaminate": decontaminate,
        "keep_hidden": put_alpha,
        "premultiply": premultiplied and not (put_alpha or decontaminate),
        "background": color,
        "format": "png",
    }
    if kind == "bytes" or force_return_bytes:
        return session._elastic.use(lambda remover: remover.encoded(picture, **options))
    result = session._elastic.use(lambda remover: remover.cutout(picture, **options))
    if color is not None and color[3] == 255:
        # qbg leaves the channel out where nothing is transparent; rembg's callers count on four.
        return _opaque(result, kind)
    return result


def matted(
    remover: Remover,
    picture: Any,
    thresholds: tuple[int, int, int],
    background: tuple[int, ...] | None,
    *,
    post_process: bool,
) -> Image:
    """The cut-out whose edge PyMatting made, as a PIL image of mode RGBA.

    Args:
        remover: gives the mask.
        picture: a path, encoded bytes, a PIL image or an array.
        thresholds: of the trimap: foreground, background, and the pixels to erode.
        background: (red, green, blue, alpha) behind the subject; None: transparent.
        post_process: smooth and harden the mask first.

    Where the mask has no sure subject or background, colors are estimated in the usual way, as rembg does.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if isinstance(picture, Image.Image):
        source = picture
    elif isinstance(picture, np.ndarray):
        source = Image.fromarray(picture)
    else:
        data = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        source = Image.open(io.BytesIO(data))
    source = ImageOps.exif_transpose(source)
    mask = remover.mask(source, post_process=post_process)
    try:
        pixels = matting.matte(
            np.asarray(source.convert("RGB")), matting.trimap(np.asarray(mask), *thresholds)
        )
        result = Image.fromarray(pixels)
    except ValueError:
        result = remover.cutout(source, post_process=post_process, decontaminate=True).convert("RGBA")
    if background is not None:
        result = Image.alpha_composite(Image.new("RGBA", result.size, background), result)
    return result


def png(image: Image) -> bytes:
    """As a file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def restored() -> set[str]:
    """The words of the environment variable QBG_REMBG, parted by commas or blanks."""
    return {word for word in os.environ.get(RESTORE, "").replace(",", " ").split() if "=" not in word}


def restored_model() -> str | None:
    """The model that QBG_REMBG names: `model=NAME`."""
    for word in os.environ.get(RESTORE, "").replace(",", " ").split():
        if word.startswith("model="):
            return word.removeprefix("model=")
    return None


def _kind(data: object) -> str:
    if isinstance(data, bytes | bytearray | memoryview):
        return "bytes"
    kind = type(data)
    if any(base.__module__ == "PIL.Image" and base.__name__ == "Image" for base in kind.__mro__):
        return "pillow"
    if hasattr(data, "__array_interface__"):
        return "array"
    raise ValueError(f"Input type {kind} is not supported: give bytes, a PIL image or an array")


def _with_channels(data: Any) -> Any:
    """A gray array (H, W) becomes (H, W, 3)."""
    import numpy as np

    return np.dstack([data] * 3) if data.ndim == 2 else data


def _as(image: Image, kind: str) -> Any:
    import numpy as np

    if kind == "pillow":
        return image
    return np.asarray(image) if kind == "array" else png(image)


def _opaque(result: Any, kind: str) -> Any:
    import numpy as np

    if kind == "pillow":
        return result.convert("RGBA")
    return np.dstack([result, np.full(result.shape[:2], 255, np.uint8)])


def _default(level: int) -> str:
    """The model where none is named; tells so, at the caller's line, unless the environment names one."""
    name = restored_model()
    if name is None:
        warnings.warn(OTHER_DEFAULT, Rembg, stacklevel=level)
    return name if name is not None else DEFAULT


def _kept(arguments: dict[str, Any]) -> Session:
    """The session of calls that bring none: one per process and model."""
    key = (restored_model(), str(arguments.get("model_path")))
    with _lock:
        if key not in _sessions:
            _sessions[key] = new_session(_default(4), **arguments)
        return _sessions[key]


_sessions: dict[tuple[str | None, str], Session] = {}
_lock = threading.Lock()
