"""One picture through a model, from a request's bytes to an answer's. Must not know how either was packed."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from qbg.elastic import Elastic
from qbg.errors import QbgError
from qbg.serve.desk import Desk, Place
from qbg.serve.metrics import Metrics

if TYPE_CHECKING:
    from qbg._native import Result


@dataclass(frozen=True, slots=True)
class Made:
    """An answer.

    Attributes:
        data: a file of `format`.
        format: one of `qbg.options.FORMATS`.
        stage_ms: time by stage.
        warnings: as `qbg remove --verbose` tells them.
    """

    data: bytes
    format: str
    stage_ms: dict[str, float]
    warnings: tuple[str, ...]


class Workshop:
    """Desk and metrics together."""

    def __init__(self, desk: Desk, metrics: Metrics) -> None:
        self.desk = desk
        self._metrics = metrics

    async def make(
        self,
        place: Place,
        elastic: Elastic,
        picture: bytes,
        options: dict[str, Any],
        *,
        backdrop: bytes | None = None,
        gone: Awaitable[object] | None = None,
    ) -> Made:
        """One picture.

        Args:
            place: of the request.
            elastic: the model.
            picture: encoded.
            options: fields of `qbg.options.Options`.
            backdrop: an encoded picture that fills the background.
            gone: completes when the client leaves.

        Raises:
            QbgError, ProblemError, ClientLeftError.
        """
        metrics = self._metrics
        try:
            result: Result = await place.run(
                lambda: elastic.use(lambda remover: _with_backdrop(remover, picture, options, backdrop)), gone
            )
        except QbgError:
            metrics.pictures.labels("failed").inc()
            raise
        data = result.encoded or b""
        metrics.pictures.labels("done").inc()
        metrics.bytes.labels("in").inc(len(picture))
        metrics.bytes.labels("out").inc(len(data))
        for stage, spent in result.stage_ns.items():
            metrics.stage_seconds.labels(stage).inc(spent / 1e9)
        return Made(
            data,
            str(options["format"]),
            {stage: spent / 1e6 for stage, spent in result.stage_ns.items() if spent},
            tuple(result.warnings),
        )


async def gone(request: Request) -> None:
    """Completes when the client leaves. The body has to be read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def while_there(request: Request) -> asyncio.Task[None]:
    """`gone` as a task, which its maker cancels."""
    return asyncio.create_task(gone(request))


def _with_backdrop(remover: Any, picture: bytes, options: dict[str, Any], backdrop: bytes | None) -> Result:
    call: Callable[..., Result] = remover.process_encoded
    if backdrop is None:
        return call(picture, **options)
    # The core takes it by its path; what is in it is checked there as any input is.
    handle, name = tempfile.mkstemp(prefix="qbg-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(backdrop)
        return call(picture, **{**options, "background": None, "background_image": name})
    finally:
        Path(name).unlink(missing_ok=True)
