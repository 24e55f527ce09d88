"""The Typer application: its commands and what stands above them."""

from __future__ import annotations

from typing import Annotated

import typer

from qbg.cli import (
    bench,
    build,
    cluster,
    discard,
    doctor,
    download,
    evaluate,
    models,
    quantize,
    rembg,
    remove,
    serve,
    tune,
    verify,
)
from qbg.cli.exits import guarded


def version(asked: bool) -> None:
    """`--version`: prints it and ends."""
    if asked:
        import qbg

        typer.echo(f"qbg {qbg.__version__}")
        raise typer.Exit


def top(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Removes the background of photos, on the CPU.

    Exit codes: 0 all done, 1 some images failed, 2 wrong usage, 3 model or engine not usable,
    4 quantizing refused, 130 interrupted.
    """


# Without Rich in help and errors: it would take longer to load than all the rest.
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
app.callback()(top)
app.command("remove")(guarded(remove.command))
app.command("bench")(guarded(bench.command))
app.command("tune")(guarded(tune.command))
app.command("evaluate")(guarded(evaluate.command))
app.command("serve")(guarded(serve.command))
app.command("doctor")(guarded(doctor.command))
models_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="The models that qbg knows by name."
)
models_app.command("list")(guarded(models.list_command))
models_app.command("info")(guarded(models.info_command))
models_app.command("download")(guarded(download.command))
models_app.command("remove")(guarded(discard.command))
models_app.command("verify")(guarded(verify.command))
models_app.command("build")(guarded(build.command))
models_app.command("quantize")(guarded(quantize.command))
app.add_typer(models_app, name="models")
cluster_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Many machines, with Ray.")
cluster_app.callback()(lambda: None)
cluster_app.command("run")(guarded(cluster.run_command))
app.add_typer(cluster_app, name="cluster")
app.add_typer(rembg.make_app(), name="rembg", help="rembg's command line: i, p, s, b, d.")
