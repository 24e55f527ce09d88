"""`qbg rembg s`: rembg's server flags to `qbg serve`. Must not know HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from qbg.cli import serve
from qbg.cli.exits import UsageError

Port = Annotated[int, typer.Option("-p", "--port", help="Port.")]
Host = Annotated[str, typer.Option("-h", "--host", help="Address; 0.0.0.0 for all, as rembg has it.")]
LogLevel = Annotated[str, typer.Option("-l", "--log_level", hidden=True)]
Threads = Annotated[int | None, typer.Option("-t", "--threads", help="Pictures worked on at once.")]
NoUi = Annotated[bool, typer.Option("--no-ui", help="No page at /.")]
AllowOrigin = Annotated[
    list[str] | None, typer.Option(metavar="ORIGIN", help="Pages that may ask; * for all, as rembg has it.")
]
AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Fetch ?url=, as rembg does.")]


def command(
    port: Port = 7000,
    host: Host = "127.0.0.1",
    log_level: LogLevel = "info",
    threads: Threads = None,
    no_ui: NoUi = False,
    allow_urls: AllowUrls = False,
    allow_origin: AllowOrigin = None,
) -> int:
    """A server with rembg's routes; serves every model that is on this machine."""
    from qbg.compat.rembg import restored_model
    from qbg.models import DEFAULT, MODELS
    from qbg.models.files import present

    first = restored_model() or DEFAULT
    here = [first, *(name for name, model in MODELS.items() if present(model))]
    try:
        serve.announce(f"models: {', '.join(dict.fromkeys(here))}; without a name, {first}")
    except ImportError as error:
        raise UsageError(f"the server needs more packages ({error.name})", hint=serve.MISSING) from error
    return serve.command(
        model=here,
        host=host,
        port=port,
        workers=threads,
        no_page=no_ui,
        allow_urls=allow_urls,
        allow_origin=allow_origin,
    )
