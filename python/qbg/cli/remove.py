"""`qbg remove`: from arguments to one batch or one streamed picture. Must not know how either works."""

from __future__ import annotations

import json

from qbg.batch import native_path
from qbg.cli import arguments as a
from qbg.cli.choice import Asked, choose
from qbg.cli.download import bring_named
from qbg.cli.exits import UsageError, tell
from qbg.cli.places import Places, check_there, nothing_found, read_places
from qbg.cli.plan import print_plan
from qbg.memory import parse_size
from qbg.options import FolderOptions, Options, make_options


def command(
    paths: a.Paths = None,
    output: a.Output = None,
    model: a.ModelName = None,
    download: a.Download = False,
    recipe: a.RecipeFile = None,
    engine: a.EngineName = None,
    precision: a.Precision = None,
    only_mask: a.OnlyMask = False,
    refine: a.Refine = None,
    threshold: a.Threshold = None,
    invert: a.Invert = False,
    feather: a.Feather = 0.0,
    post_process: a.PostProcess = False,
    background: a.Background = None,
    background_image: a.BackgroundImage = None,
    no_decontaminate: a.NoDecontaminate = False,
    keep_hidden: a.KeepHidden = False,
    premultiply: a.Premultiply = False,
    crop: a.Crop = False,
    margin: a.Margin = None,
    form: a.Format = None,
    png_level: a.PngLevel = None,
    quality: a.Quality = None,
    max_pixels: a.MaxPixels = None,
    workers: a.Workers = None,
    max_memory: a.MaxMemory = None,
    latency: a.Latency = False,
    pin: a.Pin = "auto",
    overwrite: a.Overwrite = False,
    fsync: a.Fsync = False,
    no_recursive: a.NoRecursive = False,
    from_file: a.FromFile = None,
    glob: a.Glob = False,
    on_collision: a.OnCollision = "fail",
    journal: a.Journal = None,
    resume: a.Resume = False,
    shard: a.ShardOf = None,
    fail_fast: a.FailFast = False,
    dry_run: a.DryRun = False,
    as_json: a.Json = False,
    quiet: a.Quiet = False,
    verbose: a.Verbose = False,
) -> int:
    """Cut subjects out of pictures.

    IN and OUT are files, folders or `-`. Without OUT, photo.jpg gives photo.cutout.png beside it.
    """
    places = read_places(paths or [], output, from_file, glob, form)
    check_there("--from-file", None if from_file == "-" else from_file)
    check_there("--background-image", background_image)
    try:
        options = make_options(
            None,
            **a.image_options(
                decontaminate=not no_decontaminate,
                crop=crop,
                margin=margin,
                only_mask=only_mask,
                refine=refine,
                threshold=threshold,
                invert=invert,
                feather=feather,
                post_process=post_process,
                background=background,
                background_image=background_image,
                keep_hidden=keep_hidden,
                premultiply=premultiply,
                format=places.format,
                png_level=png_level,
                quality=quality,
                max_pixels=max_pixels,
            ),
        )
        folder = FolderOptions(
            recursive=not no_recursive,
            on_collision=on_collision,
            overwrite=overwrite,
            fsync=fsync,
            fail_fast=fail_fast,
            shard=a.shard_of(shard),
            journal=None if journal is None else native_path(journal),
            resume=resume,
            inputs_are=places.inputs_are,
        )
        limit = None if max_memory is None else parse_size(max_memory)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if dry_run:
        return print_plan(places, options, folder, as_json)
    if download:
        bring_named(model, quiet=quiet)
    asked = Asked(model=model, engine=engine, precision=precision, workers=workers, latency=latency)
    return _run(places, options, folder, (asked, recipe, pin, limit), (as_json, quiet, verbose))


def _run(
    places: Places,
    options: Options,
    folder: FolderOptions,
    network: tuple[Asked, str | None, str, int | None],
    talk: tuple[bool, bool, bool],
) -> int:
    from dataclasses import asdict

    from qbg.cli.stream import check_stream, run_stream
    from qbg.cli.work import run_batch
    from qbg.remover import Remover
    from qbg.report.console import Console

    asked, recipe, pin, max_memory = network
    as_json, quiet, verbose = talk
    console = Console(quiet=quiet, verbose=verbose)
    if places.stream:
        if folder.journal is not None:
            raise UsageError("a picture through standard input or output leaves no line in a journal")
        if folder.shard is not None:
            raise UsageError("--shard divides many pictures, not one through standard input or output")
        check_stream(places, overwrite=folder.overwrite, as_json=as_json)
    try:
        chosen = choose(asked, places.count)
        remover = Remover(
            asked.model,
            recipe=recipe,
            engine=chosen.engine,
            precision=chosen.precision,
            workers=chosen.workers,
            threads_per_worker=chosen.threads,
            pin=pin,
            max_memory=max_memory,
            **asdict(options),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    with remover:
        for note in (*chosen.notes, *remover.notes):
            console.say(note)
        facts = remover.facts
        console.detail(
            f"{facts['model']} on {facts['engine']} {facts['precision']}, {remover.workers} workers"
        )
        if places.stream:
            return run_stream(remover, places, as_json=as_json)
        summary, code = run_batch(remover.start(list(places.inputs), places.output, folder), console)
    if summary.images == 0 and not summary.cancelled:
        console.say(nothing_found(places))
    if as_json:
        tell(json.dumps(summary.to_json(), indent=2))
    return code
