"""Puts the server together: settings to an ASGI application, and that to a running uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from qbg.serve import openapi
from qbg.serve.desk import Desk
from qbg.serve.guard import Guard, UvicornLog, answer, log, told
from qbg.serve.metrics import CONTENT_TYPE, Metrics
from qbg.serve.models import Models
from qbg.serve.problems import ProblemError
from qbg.serve.routes import Routes, methods
from qbg.serve.settings import Settings
from qbg.serve.work import Workshop

QUEUE_PER_WORKER = 16

CONNECTIONS = 1024
"""At once; more are answered with 503 by uvicorn."""

KEEP_ALIVE_S = 30

# Nothing from elsewhere: pictures made in the page are blobs, the rest is the server's own.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def make_app(settings: Settings) -> ASGIApp:
    """The application; models are loaded here, and freed when it shuts down."""
    metrics = Metrics()
    models = Models(settings)
    queue = settings.queue if settings.queue is not None else QUEUE_PER_WORKER * models.workers
    desk = Desk(models.workers, queue, settings.deadline_s, metrics)
    routes = Routes(settings, models, Workshop(desk, metrics))
    for note in models.warm():
        log("note", message=note)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        yield
        routes.ready = False
        await asyncio.to_thread(desk.close)
        await asyncio.to_thread(models.close)

    async def openapi_json(request: Request) -> Response:
        return JSONResponse(openapi.document(settings))

    async def metrics_text(request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.DOCS, headers=PAGE_HEADERS)

    page = files("qbg.serve") / "page"

    async def index(request: Request) -> Response:
        return HTMLResponse((page / "index.html").read_bytes(), headers=PAGE_HEADERS)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not found", 405: "method"}.get(error.status_code, "http")
        problem = ProblemError(error.status_code, code, str(error.detail))
        problem.headers = dict(error.headers or {})
        return answer(request.scope, problem)

    table = [
        Route(path, told(getattr(routes, name)), methods=verbs) for name, (path, verbs) in methods().items()
    ]
    table += [Route("/openapi.json", openapi_json), Route("/metrics", metrics_text)]
    if settings.page:
        table += [
            Route("/", index),
            Route("/docs", docs),
            Mount("/page", _Page(directory=str(page))),  # type: ignore[list-item]
        ]
    app = Starlette(routes=table, lifespan=life, exception_handlers={HTTPException: failed})
    guarded = Guard(app, settings, metrics)
    if not settings.origins:
        return guarded
    # Outermost, since a browser asks for leave without a key.
    return CORSMiddleware(
        guarded, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
    )


class _Page(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(PAGE_HEADERS)
        response.headers["Cache-Control"] = "no-cache"
        return response


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, patient for so long only.

    Who sends a head drop by drop is cut off, and so is who goes on sending a body that was refused; until
    then that is read and thrown away, so that the answer arrives.
    """

    header_s = 10.0

    def connection_made(self, transport: Any) -> None:
        """A new client."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """More of a head or of a body."""
        super().data_received(data)
        cycle: Any = self.cycle  # None before the first request
        between = cycle is None or cycle.response_complete
        if between and self._timer is None and not self.transport.is_closing():
            self._wait()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.header_s, self._cut)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        log("cut", reason=f"no whole head within {self.header_s:g} s", client=self.client and self.client[0])
        self.transport.close()


def serve(settings: Settings, host: str, port: int, drain_s: float, *, ready: Any = None) -> int:
    """Runs until SIGTERM or Ctrl-C; then takes nothing new and finishes what is in hand.

    Args:
        settings: of the application.
        host, port: where to listen; port 0: any.
        drain_s: for what is in hand at the end.
        ready: called with host and port when it listens.

    Returns:
        An exit code: 0, or 1 if it couldn't listen.
    """
    app = make_app(settings)
    protocol = type("PatientFor", (Patient,), {"header_s": settings.header_s})
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(drain_s)),
        backlog=1024,
    )
    logger = logging.getLogger("uvicorn")
    logger.handlers, logger.propagate = [UvicornLog()], False
    logger.setLevel(logging.WARNING)
    # uvicorn raises the signal again when it is done; what the command line made of it would cut off the end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server = _Server(config, ready)
    server.run()
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Any) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready(*self.servers[0].sockets[0].getsockname()[:2])
