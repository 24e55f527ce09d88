"""The options of `qbg bench`, declared once, and what they ask for together. Must not run anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from qbg.cli.exits import finite

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHAT]",
        show_default=False,
        help="Nothing: the usual three minutes. A part: scaling, stages, latency, memory, cost, kernels, "
        "ablations, simulation. `massive_test`: the published benchmark. `compare rembg`. `show R.json`: an "
        "old record. `diff A.json B.json`: two records.",
    ),
]
ModelName = Annotated[
    str | None, typer.Option("-m", "--model", metavar="MODEL", help="Name or path of an ONNX file.")
]
Images = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of photos; default: those that come with qbg.")
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="NAME", help="What runs the network; default: as tuned, or onnxruntime."
    ),
]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="WORD", help="auto, fp32, bf16 or int8; see remove.")
]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, max=4096, help="At most so many at once.")]
Count = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="massive_test: pictures in all (38418); compare: pictures (64)."),
]
Seconds = Annotated[
    float | None, typer.Option(metavar="S", min=0.1, callback=finite, help="Measured time of each run.")
]
Repeats = Annotated[int | None, typer.Option(metavar="N", min=1, help="Runs of each case.")]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="PER_S",
        min=0.001,
        callback=finite,
        help="Arrivals of the open loop; default: 70 % of throughput.",
    ),
]
OnlyMask = Annotated[bool, typer.Option("--only-mask", help="Write masks instead of cut-outs.")]
Full = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Everything: open loop, kernels, enablers, simulation; takes long. With show: all tables.",
    ),
]
PricePerHour = Annotated[
    float | None,
    typer.Option(metavar="DOLLARS", min=0.0001, callback=finite, help="What this machine costs an hour."),
]
Watts = Annotated[
    float | None,
    typer.Option(metavar="W", min=0.1, callback=finite, help="What it draws, where counters can't be read."),
]
Work = Annotated[
    str | None, typer.Option(metavar="DIR", help="Outputs go below it and are removed; default: temporary.")
]
Resume = Annotated[str | None, typer.Option(metavar="R.json", help="Go on from a partial record.")]
RembgPython = Annotated[
    str | None, typer.Option(metavar="FILE", help="compare rembg: the interpreter that has it.")
]
JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the record; `-`: stdout.")
]
HtmlFile = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with charts.")]
MarkdownFile = Annotated[
    str | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown tables.")
]
HistogramFile = Annotated[
    str | None, typer.Option("--histogram", metavar="FILE", help="Write service times as HdrHistogram does.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress; only the tables.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a bench is asked, beyond what it shall run."""

    model: str | None
    images: str | None
    engine: str | None
    precision: str | None
    workers: int | None
    only_mask: bool
    price_per_hour: float | None
    watts: float | None
    work: str | None
    resume: str | None
    reports: Reports
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Where reports go; None: not written, `-`: standard output."""

    json: str | None
    html: str | None
    markdown: str | None
    histogram: str | None

    def named(self) -> tuple[tuple[str, str], ...]:
        """(option, file or `-`) of those that were asked for."""
        pairs = (
            ("--json", self.json),
            ("--html", self.html),
            ("--markdown", self.markdown),
            ("--histogram", self.histogram),
        )
        return tuple((option, name) for option, name in pairs if name is not None)
