"""Around every route: keys and their rates, counts, a line in the log, and an end to clients that don't read.

Must not know what the routes do. Nothing of a picture or of a query is logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qbg.serve.metrics import Metrics
from qbg.serve.problems import ClientLeftError, ProblemError, of
from qbg.serve.settings import Settings

BURST_S = 10.0
"""Of requests that a key may save up."""

CLIENT_LEFT = 499
"""A status for the log and the metrics; nobody is there to get it."""

OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/docs")
"""Routes without a key, beside the page's own files."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Keys:
    """Who may ask, and how often. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.keys
        self._rate = settings.rate
        self._saved: dict[str, tuple[float, float]] = {}

    def check(self, headers: MutableMapping[str, str] | Any) -> str | None:
        """The key's name; None where none is asked for.

        Raises:
            ProblemError: no key, an unknown one, or one that asks too often.
        """
        if not self._keys:
            return None
        given = headers.get("x-api-key")
        if given is None:
            scheme, _, rest = headers.get("authorization", "").partition(" ")
            given = rest.strip() if scheme.lower() == "bearer" else ""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        name = None
        for known, owner in self._keys.items():
            # All are compared, each in constant time, so that time tells nothing.
            if hmac.compare_digest(known, digest):
                name = owner
        if name is None:
            raise ProblemError(
                401,
                "key",
                "no key, or an unknown one",
                hint="Authorization: Bearer KEY, or X-Api-Key: KEY",
                WWW_Authenticate="Bearer",
            )
        self._count(name)
        return name

    def _count(self, name: str) -> None:
        if self._rate is None:
            return
        now = time.monotonic()
        most = max(1.0, self._rate * BURST_S)
        saved, since = self._saved.get(name, (most, now))
        saved = min(most, saved + (now - since) * self._rate)
        if saved < 1.0:
            self._saved[name] = (saved, now)
            wait_s = max(1, round((1.0 - saved) / self._rate + 0.5))
            raise ProblemError(
                429, "rate", f"more than {self._rate:g} requests per second", Retry_After=str(wait_s)
            )
        self._saved[name] = (saved - 1.0, now)


def log(event: str, **facts: object) -> None:
    """A line of JSON on standard error."""
    print(json.dumps({"time": round(time.time(), 3), "event": event, **facts}), file=sys.stderr, flush=True)  # noqa: T201


class UvicornLog(logging.Handler):
    """uvicorn's own words as lines of the same kind."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        log("server", level=record.levelname.lower(), message=record.getMessage())


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = Keys(settings)
        self._longest_s = settings.deadline_s + settings.upload_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status, sent = 0, 0
        facts: dict[str, object] = {}
        scope.setdefault("state", {})["facts"] = facts

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body", b""))
            # Who asks and then doesn't read holds a picture in memory.
            async with asyncio.timeout(self._longest_s):
                await send(message)

        try:
            await self._answer(scope, receive, watched, facts)
        except (ClientLeftError, TimeoutError):
            status = CLIENT_LEFT
        except Exception:
            status = status or 500  # which uvicorn sends
            raise
        finally:
            seconds = time.monotonic() - began
            route = _route(scope)
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            if route not in ("/healthz", "/readyz", "/metrics"):
                client = scope.get("client")
                log(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    seconds=round(seconds, 4),
                    bytes_out=sent,
                    client=client[0] if client else None,
                    **facts,
                )

    async def _answer(self, scope: Scope, receive: Receive, send: Send, facts: dict[str, object]) -> None:
        path = scope["path"]
        try:
            if path not in OPEN and not path.startswith("/page/"):
                name = self._keys.check(Request(scope).headers)
                if name is not None:
                    facts["key"] = name
        except ProblemError as problem:
            if problem.status == 429:
                self._metrics.rejects.labels("rate").inc()
            facts["problem"] = problem.code
            await answer(scope, problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def answer(scope: Scope, problem: ProblemError) -> Response:
    """A problem as a response, in the words of the route's own program."""
    if scope["path"] == "/v1.0/removebg":
        body: dict[str, object] = {"errors": [{"title": problem.message, "code": problem.code}]}
    elif scope["path"] == "/api/remove":
        body = {"detail": problem.message}
    else:
        body = {"error": problem.words()}
    return JSONResponse(body, problem.status, problem.headers)


def told(endpoint: Endpoint) -> Endpoint:
    """A route whose exceptions become responses."""

    async def run(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ClientLeftError:
            request.state.facts["problem"] = "client left"
            return Response(status_code=CLIENT_LEFT)
        except Exception as error:  # noqa: BLE001  # the last place where it can become an answer
            problem = of(error)
            request.state.facts["problem"] = problem.code
            if problem.code == "internal":
                log("bug", error=f"{type(error).__name__}: {error}")
            return answer(request.scope, problem)

    return run


def _route(scope: Scope) -> str:
    """The route's pattern: paths that nobody serves must not each become a time series."""
    path: str = scope["path"]
    if path.startswith("/page/"):
        return "/page"
    return path if scope.get("endpoint") is not None else "other"
