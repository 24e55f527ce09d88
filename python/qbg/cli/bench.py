"""`qbg bench`: from arguments to what shall be run or shown. Must not measure or draw anything itself."""

from __future__ import annotations

from pathlib import Path

from qbg.cli import bench_options as o
from qbg.cli.exits import UsageError
from qbg.summary import readable

PUBLISHED_COUNT, COMPARED_COUNT = 38_418, 64


def command(
    what: o.What = None,
    model: o.ModelName = None,
    images: o.Images = None,
    engine: o.EngineName = None,
    precision: o.Precision = None,
    workers: o.Workers = None,
    count: o.Count = None,
    seconds: o.Seconds = None,
    repeats: o.Repeats = None,
    rate: o.Rate = None,
    only_mask: o.OnlyMask = False,
    full: o.Full = False,
    price_per_hour: o.PricePerHour = None,
    watts: o.Watts = None,
    work: o.Work = None,
    resume: o.Resume = None,
    rembg_python: o.RembgPython = None,
    json: o.JsonFile = None,
    html: o.HtmlFile = None,
    markdown: o.MarkdownFile = None,
    histogram: o.HistogramFile = None,
    quiet: o.Quiet = False,
) -> int:
    """Measure this machine: throughput by workers, stages, latency, memory, cost.

    Ends with 1 if the figures can't be defended: the report says why, and what to do about it.
    """
    reports = o.Reports(json=json, html=html, markdown=markdown, histogram=histogram)
    _check(reports)
    wish = o.Wish(
        model=model,
        images=images,
        engine=engine,
        precision=precision,
        workers=workers,
        only_mask=only_mask,
        price_per_hour=price_per_hour,
        watts=watts,
        work=work,
        resume=resume,
        reports=reports,
        quiet=quiet,
    )
    word, *rest = what or [""]
    given: dict[str, object] = {"--count": count, "--seconds": seconds, "--repeats": repeats, "--rate": rate}
    given |= {"--full": full or None, "--rembg-python": rembg_python}
    if word in ("show", "diff"):
        _only(word, given, ("--full",) if word == "show" else ())
        return _old(word, rest, reports, full)
    if word == "massive_test":
        _only(word, given, ("--count",))
        return _massive(wish, rest, count or PUBLISHED_COUNT)
    if word == "compare":
        _only(word, given, ("--count", "--repeats", "--rembg-python"))
        return _compare(wish, rest, count or COMPARED_COUNT, repeats, rembg_python)
    _only(word or "bench", given, ("--seconds", "--repeats", "--rate", "--full"))
    if rest:
        raise UsageError(f"`bench {word}` takes no `{rest[0]}`", hint="name one part, or none")
    return _standard(wish, (word,) if word else (), full, (seconds, repeats, rate))


def _standard(
    wish: o.Wish, parts: tuple[str, ...], full: bool, times: tuple[float | None, int | None, float | None]
) -> int:
    from qbg.bench import header, plan
    from qbg.cli.bench_run import measure

    host = header.host()
    seconds, repeats, rate = times
    try:
        planned = plan.standard(
            host, parts, full=full, most=wish.workers, seconds=seconds, repeats=repeats, rate=rate
        )
    except ValueError as error:
        raise UsageError(str(error), hint="or massive_test, compare rembg, show, diff") from error
    return measure(wish, planned, f"qbg bench {' '.join(parts)}".strip(), full=full)


def _massive(wish: o.Wish, rest: list[str], count: int) -> int:
    from qbg.bench import header, plan
    from qbg.cli.bench_run import measure

    if rest:
        raise UsageError(f"`bench massive_test` takes no `{rest[0]}`", hint="name the folder with --images")
    planned = plan.massive(header.host(), workers=wish.workers, count=count)
    return measure(wish, planned, "massive_test")


def _compare(wish: o.Wish, rest: list[str], count: int, repeats: int | None, python: str | None) -> int:
    from qbg.cli.bench_run import against_rembg

    if rest != ["rembg"]:
        raise UsageError("`bench compare` needs its rival", hint="qbg bench compare rembg")
    return against_rembg(wish, count, repeats, python)


def _old(word: str, rest: list[str], reports: o.Reports, full: bool) -> int:
    from qbg.cli.bench_run import read, report, show_difference

    wanted = 1 if word == "show" else 2
    if len(rest) != wanted:
        raise UsageError(
            f"`bench {word}` needs {wanted} record{'s' if wanted > 1 else ''}, not {len(rest)}",
            hint=f"qbg bench {word} {'A.json B.json' if wanted > 1 else 'R.json'}",
        )
    if word == "show":
        return report(read(rest[0]), reports, full=full)
    return show_difference(read(rest[0]), read(rest[1]), reports)


def _only(word: str, given: dict[str, object], allowed: tuple[str, ...]) -> None:
    for option, value in given.items():
        if value is not None and option not in allowed:
            raise UsageError(f"{option} says nothing to `{word}`", hint="leave it out")


def _check(reports: o.Reports) -> None:
    """Better now than after three minutes."""
    seen: dict[Path, str] = {}
    for option, name in reports.named():
        if name == "-":
            place = Path("-")
        else:
            place = Path(name).resolve()
            if not place.parent.is_dir():
                raise UsageError(f"{option} {readable(name)}: no such folder", hint="make it first")
            if place.is_dir():
                raise UsageError(f"{option} {readable(name)}: is a folder", hint="name a file in it")
        if place in seen and name == "-":
            raise UsageError("only one report can go to standard output", hint="name files for the others")
        if place in seen:
            raise UsageError(
                f"{seen[place]} and {option} name one file, {readable(name)}", hint="give each its own"
            )
        seen[place] = option
