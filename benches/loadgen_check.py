"""Holds our way of counting against MLPerf's LoadGen: the same run of `qbg.Remover`, measured by both.

LoadGen issues the pictures and takes its times; a thread per worker answers them with `Remover.encoded`, and
notes begin and end of each by its own clock. Throughput and percentiles of the two must agree within 3 %.

    Offline   all pictures at once. Latency is from that moment; throughput is the figure.
    Server    one at a time, Poisson arrivals at `--rate`. Latency is from the arrival that was intended,
              which is read from LoadGen's trace: only the schedule, no time that it measured.

Issued: the files' bytes, read beforehand, in LoadGen's random order. Timed: decode to encoded bytes. Left
out: reading, writing, the first pictures of each worker. Needs mlcommons-loadgen (PyPI); without it this
says so and ends with 0. Ends with 1 if the two disagree. Whether a run would pass MLPerf's rules isn't asked.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import measure
import qbg
import spine
from qbg.bench.statistics import nearest_rank

TOLERANCE = 0.03
PERCENTILES = (50, 90, 95, 99)
ANSWER_LIMIT_NS = 60_000_000_000
"""Latency that the Server scenario is told to accept: LoadGen gives up on a run that it finds hopeless."""


@dataclass(frozen=True)
class Figures:
    """What one side says of a run.

    Attributes:
        per_s: throughput, pictures per second.
        latency_s: by percentile, such as `p50`; and `mean`.
    """

    per_s: float
    latency_s: dict[str, float]


def figures(times_ns: Sequence[tuple[int, int]], scenario: str) -> Figures:
    """Ours, from (begin, end) of each picture, with the percentiles of `qbg bench`.

    An open loop's first arrival opens the time that the others take: it isn't counted in the rate.
    """
    span_ns = max(end for _, end in times_ns) - min(begin for begin, _ in times_ns)
    counted = len(times_ns) - (scenario == "Server")
    waits = sorted((end - begin) / 1e9 for begin, end in times_ns)
    latency = {f"p{p}": nearest_rank(waits, p * 10) for p in PERCENTILES}
    return Figures(counted / span_ns * 1e9, latency | {"mean": sum(waits) / len(waits)})


def loadgen_figures(log: str, scenario: str) -> Figures:
    """LoadGen's, from its detailed log: lines `:::MLLOG {"key": .., "value": ..}`.

    Raises:
        KeyError: this version of LoadGen names its results otherwise.
    """
    lines = re.findall(r"^:::MLLOG (\{.*\})$", log, re.MULTILINE)
    values = {entry["key"]: entry["value"] for entry in map(json.loads, lines)}
    rate = "result_samples_per_second" if scenario == "Offline" else "result_completed_samples_per_sec"
    latency = {f"p{p}": values[f"result_{p:.2f}_percentile_latency_ns"] / 1e9 for p in PERCENTILES}
    return Figures(values[rate], latency | {"mean": values["result_mean_latency_ns"] / 1e9})


def intended_ns(issued_ns: Sequence[int], trace: str) -> list[int]:
    """When each picture should have come, by our clock: the schedule, laid so that none came too early.

    The one that came soonest after its time is taken to have been on time; it was late by microseconds.
    """
    pattern = r'"name":"Sample","cat":"default","ph":"b",.*?"ts":(-?[\d.]+),"args":\{"sample_seq":(\d+),'
    schedule = {int(number): round(float(at_us) * 1000) for at_us, number in re.findall(pattern, trace)}
    due = [schedule[number] for number in range(len(issued_ns))]
    offset = min(issued - at for issued, at in zip(issued_ns, due, strict=True))
    return [at + offset for at in due]


class Server:
    """Answers LoadGen's queries with a thread per worker, and notes when each began and ended."""

    def __init__(self, loadgen: Any, remover: qbg.Remover, pictures: list[bytes]) -> None:
        self._loadgen, self._remover, self._pictures = loadgen, remover, pictures
        self._waiting: queue.SimpleQueue[tuple[int, int, int] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work) for _ in range(remover.workers)]
        self.issued_ns: list[int] = []
        self.ended_ns: dict[int, int] = {}
        self.errors: list[Exception] = []

    def __enter__(self) -> Server:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def issue(self, samples: list[Any]) -> None:
        """LoadGen's call: begins all of them now."""
        now = time.monotonic_ns()
        for sample in samples:
            self._waiting.put((len(self.issued_ns), sample.id, sample.index))
            self.issued_ns.append(now)

    def _work(self) -> None:
        while (query := self._waiting.get()) is not None:
            number, name, index = query
            try:
                self._remover.encoded(self._pictures[index])
            except Exception as error:  # noqa: BLE001 - LoadGen waits for an answer to each query
                self.errors.append(error)
            self.ended_ns[number] = time.monotonic_ns()
            self._loadgen.QuerySamplesComplete([self._loadgen.QuerySampleResponse(name, 0, 0)])


def run(loadgen: Any, remover: qbg.Remover, pictures: list[bytes], settings: Any) -> dict[str, Any]:
    """One scenario: LoadGen's figures, ours, the number of pictures, and how late they came on average."""
    scenario = settings.scenario.name
    log = loadgen.LogSettings()
    log.enable_trace = True
    with tempfile.TemporaryDirectory(prefix="qbg-loadgen-") as folder:
        log.log_output.outdir = folder
        with Server(loadgen, remover, pictures) as server:
            library = loadgen.ConstructQSL(len(pictures), len(pictures), lambda _: None, lambda _: None)
            system = loadgen.ConstructSUT(server.issue, lambda: None)
            loadgen.StartTestWithLogSettings(system, library, settings, log)
            loadgen.DestroySUT(system)
            loadgen.DestroyQSL(library)
        detail = (Path(folder) / "mlperf_log_detail.txt").read_text(encoding="utf-8")
        trace = (Path(folder) / "mlperf_log_trace.json").read_text(encoding="utf-8")
    if server.errors:
        raise server.errors[0]
    due = intended_ns(server.issued_ns, trace) if scenario == "Server" else server.issued_ns
    times = [(begin, server.ended_ns[number]) for number, begin in enumerate(due)]
    late_ns = [issued - begin for issued, begin in zip(server.issued_ns, due, strict=True)]
    return {
        "loadgen": loadgen_figures(detail, scenario),
        "ours": figures(times, scenario),
        "count": len(times),
        "late_mean_s": sum(late_ns) / len(late_ns) / 1e9,
    }


def settings_of(loadgen: Any, scenario: str, rate: float, seconds: float) -> Any:
    """LoadGen's settings; it makes 1.1 times as many pictures of an Offline run as the rate asks for."""
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 1
    settings.offline_expected_qps = settings.server_target_qps = rate
    settings.server_target_latency_ns = ANSWER_LIMIT_NS
    return settings


def compared(theirs: Figures, ours: Figures) -> list[dict[str, Any]]:
    """A row per figure: name, both values, ours over theirs, whether they agree."""
    pairs = {"images/s": (theirs.per_s, ours.per_s)}
    pairs |= {f"{name} s": (value, ours.latency_s[name]) for name, value in theirs.latency_s.items()}
    return [
        {"figure": name, "loadgen": a, "ours": b, "ratio": b / a, "agrees": abs(b / a - 1) <= TOLERANCE}
        for name, (a, b) in pairs.items()
    ]


def warm_up(remover: qbg.Remover, pictures: list[bytes]) -> float:
    """Two rounds of one picture per worker; pictures per second in the second."""
    for _ in range(2):
        begin = time.monotonic()
        list(remover.cutout_many(pictures[turn % len(pictures)] for turn in range(remover.workers * 2)))
    return remover.workers * 2 / (time.monotonic() - begin)


def show(scenario: str, count: int, rows: list[dict[str, Any]]) -> None:
    """Prints the table of one scenario."""
    print(f"\n{scenario}, {count} pictures\n  {'':10}{'LoadGen':>12}{'ours':>12}{'ratio':>9}")
    for row in rows:
        shown = f"{row['loadgen']:>12.4f}{row['ours']:>12.4f}{row['ratio']:>9.4f}"
        print(f"  {row['figure']:10}{shown}{'' if row['agrees'] else '   DISAGREES'}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEGs; as for spine.py if not given")
    parser.add_argument("--workers", type=int, help="one per CPU that may be used if not given")
    parser.add_argument("--model", help="name or path; the built-in one if not given")
    parser.add_argument("--engine", default="onnxruntime", help="`null` leaves the network out")
    parser.add_argument("--seconds", type=float, default=15, help="of each scenario, at least")
    parser.add_argument("--rate", type=float, help="arrivals per second; 0.7 of Offline's rate if not given")
    parser.add_argument("--output", type=Path, default=measure.ROOT / "out" / "loadgen_check.json")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    try:
        import mlperf_loadgen
    except ImportError:
        print("skipped: LoadGen is not installed here (pip install mlcommons-loadgen)")
        return 0
    pictures = [path.read_bytes() for path in spine.find_photos(asked.images)]
    record: dict[str, Any] = {"kind": "loadgen", "pictures": len(pictures), "tolerance": TOLERANCE}
    with qbg.Remover(asked.model, workers=asked.workers, engine=asked.engine) as remover:
        record |= {"machine": measure.machine(sorted(os.sched_getaffinity(0))), "workers": remover.workers}
        record |= remover.facts | {"scenarios": {}}
        rate = warm_up(remover, pictures)
        for scenario in ("Offline", "Server"):
            if scenario == "Server":
                rate = asked.rate or 0.7 * rate
            settings = settings_of(mlperf_loadgen, scenario, rate, asked.seconds)
            found = run(mlperf_loadgen, remover, pictures, settings)
            rows = compared(found["loadgen"], found["ours"])
            show(scenario, found["count"], rows)
            both = {side: asdict(found[side]) for side in ("loadgen", "ours")}
            record["scenarios"][scenario] = found | both | {"asked_per_s": rate, "rows": rows}
            rate = found["loadgen"].per_s
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    agree = all(row["agrees"] for part in record["scenarios"].values() for row in part["rows"])
    print(f"\n{'agree' if agree else 'DISAGREE'} within {TOLERANCE:.0%}: {asked.output}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
