"""The addresses, and what each makes of a request. Must not know sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from qbg.naming import Names
from qbg.serve import asks, bundle, wishes
from qbg.serve.desk import Place
from qbg.serve.fetch import fetch
from qbg.serve.models import Models
from qbg.serve.problems import ProblemError, of
from qbg.serve.settings import Settings
from qbg.serve.work import Made, Workshop, while_there

OLD_FIELDS = ("a", "af", "ab", "ae", "om", "ppm", "dc", "vm", "model", "bgc", "extras")
"""rembg's."""

BATCH_PATIENCE = 10
"""A batch's body may take so many times as long as a picture's."""

NO_MATTING = "alpha matting takes minutes and gigabytes on a large picture: not in a server; use dc"


class Routes:
    """Of one server."""

    def __init__(self, settings: Settings, models: Models, workshop: Workshop) -> None:
        self._settings = settings
        self._models = models
        self._workshop = workshop
        self.ready = True

    async def cutout(self, request: Request) -> Response:
        """`POST /v1/cutout`."""
        form = wishes.accepted(request.headers.get("accept"))
        with self._workshop.desk.admit() as place:
            ask = await self._read(request, place)
            picture = await self._picture(ask, place, "image", "url", ("", "image", "file", "image_file"))
            model = _text(ask.fields.pop("model", None), "model")
            as_json = form == "json"
            options = wishes.read(ask.fields, None if as_json else form)
            backdrop = ask.take("background_image")
            made = await self._make(request, place, model, picture, options, backdrop)
        if as_json:
            return JSONResponse(
                {
                    "image": base64.b64encode(made.data).decode(),
                    "format": made.format,
                    "model": model or self._models.default,
                    "stage_ms": {stage: round(ms, 3) for stage, ms in made.stage_ms.items()},
                    "warnings": list(made.warnings),
                }
            )
        return _file(made)

    async def batch(self, request: Request) -> Response:
        """`POST /v1/batch`."""
        settings = self._settings
        accept = request.headers.get("accept", "")
        stream = bundle.MultipartStream() if "multipart/" in accept else bundle.ZipStream()
        place = self._workshop.desk.admit(many=True)
        try:
            ask = await asks.read(
                request,
                settings.max_batch_bytes,
                BATCH_PATIENCE * settings.upload_s,
                settings.max_batch_pictures,
            )
            model = self._models.get(_text(ask.fields.pop("model", None), "model"))
            options = wishes.read(ask.fields)
            if not ask.files:
                raise ProblemError(400, "missing", "no pictures", hint="send a zip, or a form with files")
            # Everything that can be refused is, before the first byte of the answer.
            pictures = self._pictures(ask)
            first = await asyncio.to_thread(next, pictures, None)
        except BaseException:
            place.__exit__()
            raise

        async def pieces() -> AsyncIterator[bytes]:
            names, errors = Names(options["format"], fold_case=True), []
            media = wishes.MEDIA[options["format"]]
            waiting: dict[asyncio.Task[Made], tuple[str, str]] = {}
            window = 2 * self._workshop.desk.workers
            try:
                item = first
                while item is not None or waiting:
                    while item is not None and len(waiting) < window:
                        name, content = item
                        if isinstance(content, ProblemError):
                            errors.append((name, content))
                        else:
                            made = self._workshop.make(place, model, content, options)
                            output = names.give(bundle.safe(name))
                            waiting[asyncio.create_task(made)] = name, output
                        # Unpacking takes its time: not on the loop that answers everybody.
                        item = await asyncio.to_thread(_next, pictures, errors)
                    if not waiting:
                        break
                    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        name, output = waiting.pop(task)
                        problem = task.exception()
                        if problem is None:
                            yield stream.add(output, task.result().data, media)
                        elif isinstance(problem, Exception):
                            errors.append((name, of(problem)))
                if errors:
                    told = [{"file": name, **error.words()} for name, error in errors]
                    yield stream.add("errors.json", json.dumps(told, indent=1).encode(), "application/json")
                yield stream.end()
            finally:
                for task in waiting:
                    task.cancel()

        return _Stream(pieces(), place, stream.media)

    async def rembg(self, request: Request) -> Response:
        """rembg's `POST` and `GET /api/remove`."""
        with self._workshop.desk.admit() as place:
            ask = await self._read(request, place)
            names = ("file",) if request.method == "POST" else ()
            picture = await self._picture(ask, place, "", "url", names)
            model = _text(ask.fields.pop("model", None), "model")
            options = _as_rembg(ask.fields)
            made = await self._make(request, place, model, picture, options, None)
        return _file(made)

    async def removebg(self, request: Request) -> Response:
        """remove.bg's `POST /v1.0/removebg`."""
        with self._workshop.desk.admit() as place:
            ask = await self._read(request, place)
            picture = await self._picture(ask, place, "image_file_b64", "image_url", ("image_file",))
            options = _as_removebg(ask.fields)
            backdrop = ask.take("bg_image_file")
            made = await self._make(request, place, None, picture, options, backdrop)
        headers = {"X-Type": "other", "X-Credits-Charged": "0"}
        if "application/json" in request.headers.get("accept", ""):
            body = {"data": {"result_b64": base64.b64encode(made.data).decode()}}
            return JSONResponse(body, headers=headers)
        return _file(made, headers)

    async def healthz(self, request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether it takes work."""
        if self.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "draining"}, 503)

    async def _read(self, request: Request, place: Place) -> asks.Ask:
        seconds = min(self._settings.upload_s, place.rest_s)
        return await asks.read(request, self._settings.max_upload_bytes, seconds)

    async def _picture(
        self, ask: asks.Ask, place: Place, base64_name: str, url_name: str, files: tuple[str, ...]
    ) -> bytes:
        """The one picture: a file, base64 under one name, or an address under another."""
        limit = self._settings.max_upload_bytes
        found = ask.take(*files)
        text, url = ask.fields.pop(base64_name, None), ask.fields.pop(url_name, None)
        given = [item for item in (found or None, text, url) if item is not None]
        if len(given) != 1:
            names = ", ".join(f"`{name}`" for name in dict.fromkeys((*files, base64_name, url_name)) if name)
            raise ProblemError(
                400, "missing", f"exactly one picture is wanted: {names}, or a body of image/*"
            )
        if found:
            return found
        if text is not None:
            return asks.decoded(text, limit)
        if not self._settings.allow_urls:
            raise ProblemError(400, "url", "this server fetches nothing", hint="send the picture itself")
        address = _text(url, url_name)
        return await asyncio.to_thread(fetch, str(address), limit, min(self._settings.upload_s, place.rest_s))

    async def _make(
        self,
        request: Request,
        place: Place,
        model: str | None,
        picture: bytes,
        options: dict[str, Any],
        backdrop: bytes | None,
    ) -> Made:
        request.state.facts["bytes_in"] = len(picture)
        elastic = self._models.get(model)
        watch = while_there(request)
        try:
            return await self._workshop.make(place, elastic, picture, options, backdrop=backdrop, gone=watch)
        finally:
            watch.cancel()

    def _pictures(self, ask: asks.Ask) -> Any:
        settings = self._settings
        for number, (field, name, content) in enumerate(ask.files):
            if field == "zip" or content[:4] == b"PK\x03\x04":
                yield from bundle.unpacked(
                    content, settings.max_batch_pictures, settings.max_upload_bytes, settings.max_batch_bytes
                )
            else:
                yield name or f"picture-{number}", content


class _Stream(StreamingResponse):
    """Gives its place back however it ends, also if its client has left before it began."""

    def __init__(self, content: AsyncIterator[bytes], place: Place, media: str) -> None:
        super().__init__(content, media_type=media)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


def _next(pictures: Any, errors: list[tuple[str, ProblemError]]) -> Any:
    try:
        return next(pictures, None)
    except ProblemError as problem:  # the answer has begun: what is left is told in it
        errors.append(("", problem))
        return None


def _file(made: Made, headers: dict[str, str] | None = None) -> Response:
    timing = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in made.stage_ms.items())
    return Response(
        made.data, media_type=wishes.MEDIA[made.format], headers={"Server-Timing": timing, **(headers or {})}
    )


def _text(value: object, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ProblemError(400, "parameter", f"`{name}` must be text")


def _flag(fields: dict[str, object], name: str) -> bool:
    """As FastAPI reads booleans, which rembg's clients count on."""
    value = str(fields.pop(name, "false")).lower()
    if value in ("1", "true", "on", "yes", "t", "y"):
        return True
    if value in ("0", "false", "off", "no", "f", "n"):
        return False
    raise ProblemError(422, "parameter", f"`{name}` must be true or false")


def _as_rembg(fields: dict[str, object]) -> dict[str, Any]:
    """rembg's fields as options of qbg."""
    if unknown := [name for name in fields if name not in OLD_FIELDS]:
        raise ProblemError(422, "parameter", f"no parameter `{unknown[0][:80]}`")
    if _flag(fields, "a"):
        raise ProblemError(422, "matting", NO_MATTING)
    if _flag(fields, "vm"):
        raise ProblemError(422, "vitmatte", "ViTMatte isn't part of qbg: use dc")
    for name in ("af", "ab", "ae", "extras"):
        fields.pop(name, None)
    only_mask = _flag(fields, "om")
    options: dict[str, Any] = {
        "only_mask": only_mask,
        "post_process": _flag(fields, "ppm"),
        "decontaminate": _flag(fields, "dc"),
        "format": "png",
    }
    color = fields.pop("bgc", None)
    if color and not only_mask:
        try:
            red, green, blue, alpha = (int(level) for level in str(color).split(","))
            if not all(0 <= level <= 255 for level in (red, green, blue, alpha)):
                raise ValueError
        except ValueError as error:
            raise ProblemError(422, "parameter", "`bgc` is R,G,B,A, 0 to 255 each") from error
        options["background"] = (red, green, blue, alpha) if alpha else None
    return options


REMOVEBG_IGNORED = ("size", "type", "type_level", "semitransparency", "shadow_type", "shadow_opacity")
REMOVEBG_REFUSED = ("roi", "scale", "position", "add_shadow", "bg_image_url")


def _as_removebg(fields: dict[str, object]) -> dict[str, Any]:
    """remove.bg's fields as options of qbg."""
    for name in REMOVEBG_IGNORED:
        fields.pop(name, None)
    for name in REMOVEBG_REFUSED:
        if str(fields.pop(name, "")).lower() not in ("", "false", "0", "original"):
            raise ProblemError(400, "unsupported_parameter", f"`{name}` isn't supported here")
    form = str(fields.pop("format", "auto")).lower()
    forms = {"auto": "png", "png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
    if form not in forms:
        raise ProblemError(400, "invalid_parameter", "`format` must be auto, png, jpg or webp")
    given: dict[str, object] = {"format": forms[form]}
    channels = fields.pop("channels", "rgba")
    if channels not in ("rgba", "alpha"):
        raise ProblemError(400, "invalid_parameter", "`channels` must be rgba or alpha")
    if channels == "alpha":
        given["only_mask"] = True
    if color := fields.pop("bg_color", None):
        given["background"] = color
    if str(fields.pop("crop", "false")).lower() in ("true", "1"):
        given["crop"] = True
    if margin := fields.pop("crop_margin", None):
        given["margin"] = str(margin).removesuffix("px")
    if fields:
        raise ProblemError(400, "unsupported_parameter", f"no parameter `{next(iter(fields))[:80]}`")
    return wishes.read(given)


def methods() -> dict[str, tuple[str, list[str]]]:
    """Address by handler's name, with its methods."""
    return {
        "cutout": ("/v1/cutout", ["POST"]),
        "batch": ("/v1/batch", ["POST"]),
        "rembg": ("/api/remove", ["GET", "POST"]),
        "removebg": ("/v1.0/removebg", ["POST"]),
        "healthz": ("/healthz", ["GET"]),
        "readyz": ("/readyz", ["GET"]),
    }
