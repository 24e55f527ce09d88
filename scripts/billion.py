#!/usr/bin/env python3
"""A billion pictures on paper: what a plan costs in time, machines' hours and lost work, by simulation.

    python scripts/billion.py [--record BENCH.json] [--pictures 1e9] [--machines 40] [--cores 96] [...]

Everything it prints is a projection from one measured figure, images per second and core, which is read from
a record of `qbg bench`; whoever runs the plan measures theirs first. Simulated: machines that are lost at
random (exponential times between losses, as spot machines are), come back after a while, and lose the chunks
that they had in hand; each machine takes the next chunk when it has done one. The share of work that is done
twice is printed beside what arithmetic expects. Left out: a network or a store that is the bottleneck,
machines of unequal speed, and what transfers cost.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided, and what is measured.

    Attributes:
        pictures: all of them.
        machines: at once.
        cores: of each.
        rate: images per second and core.
        chunk: pictures that a machine gets, and loses, at once.
        ahead: chunks that it has at once.
        mtbf_h: hours between losses of one machine, as a mean.
        back_s: until a lost machine, or another in its place, works again.
    """

    pictures: int
    machines: int
    cores: int
    rate: float
    chunk: int
    ahead: int
    mtbf_h: float
    back_s: float

    @property
    def chunk_s(self) -> float:
        """One chunk on one machine."""
        return self.chunk / (self.rate * self.cores)


@dataclass(slots=True)
class Outcome:
    """Of one simulated run.

    Attributes:
        seconds: until the last picture is done.
        losses: of machines.
        lost: pictures that were done, or begun, and had to be done anew.
        busy_s: machines' time, working or not.
    """

    seconds: float
    losses: int
    lost: float
    busy_s: float


def simulate(plan: Plan, seed: int) -> Outcome:
    """One run, event by event: an event is a batch of chunks done, or a machine lost.

    A machine's work between losses is a whole number of chunks and a rest that is lost, so that a billion
    pictures take as many events as there are losses, not as there are chunks.
    """
    dice = random.Random(seed)
    mtbf_s = plan.mtbf_h * HOUR_S
    open_chunks = -(-plan.pictures // plan.chunk)
    lost, losses, end = 0.0, 0, 0.0
    # (when the machine's next loss is, when it began to work)
    machines = [(dice.expovariate(1.0 / mtbf_s), 0.0) for _ in range(plan.machines)]
    heapq.heapify(machines)
    while True:
        # All machines work from now on; would the rest be done before the next loss?
        finish = _finish(plan, open_chunks, [began for _, began in machines])
        fails, began = machines[0]
        if finish <= fails:
            end = finish
            break
        heapq.heappop(machines)
        whole = int((fails - began) / plan.chunk_s) if fails > began else 0
        open_chunks = max(0, open_chunks - whole)
        if fails > began:
            rest = (fails - began) / plan.chunk_s - whole
            lost += (rest + plan.ahead - 1) * plan.chunk if plan.ahead > 1 else rest * plan.chunk
            losses += 1
        back = fails + plan.back_s
        heapq.heappush(machines, (back + dice.expovariate(1.0 / mtbf_s), back))
    return Outcome(end, losses, lost, end * plan.machines)


def _finish(plan: Plan, chunks: int, began: list[float]) -> float:
    """When `chunks` are done by machines that work without a break from their times on."""
    pace = plan.machines / plan.chunk_s
    return sum(began) / plan.machines + chunks / pace + plan.chunk_s / 2


def expected_loss_share(plan: Plan) -> float:
    """By arithmetic: a loss costs half a chunk that was begun, and the chunks behind it, per mean time."""
    per_loss_s = plan.chunk_s * (plan.ahead - 0.5)
    return per_loss_s / (plan.mtbf_h * HOUR_S)


def read_rate(path: Path) -> tuple[float, str]:
    """Images per second and worker of a record's highest point, and where it comes from."""
    record = json.loads(path.read_text(encoding="utf-8"))
    workers = {case["name"]: case["workers"] for case in record["cases"] if case["kind"] == "scaling"}
    most = max(workers.values())
    rates = [
        outcome["images_per_s"] / most
        for outcome in record["outcomes"]
        if workers.get(outcome["case"]) == most
    ]
    machine, subject = record["machine"], record["subject"]
    words = f"{subject['model']} {subject['precision']} on {machine['cpu']} ({machine['simd']})"
    return statistics.median(rates), words


def main() -> int:
    """Prints the plan."""
    options = arguments()
    rate = options.rate
    origin = "given"
    if rate is None:
        rate, words = read_rate(Path(options.record))
        origin = f"measured: {words}, {Path(options.record).name}"
    plan = Plan(
        int(options.pictures),
        options.machines,
        options.cores,
        rate,
        options.chunk,
        2,
        options.mtbf_hours,
        options.back_s,
    )
    runs = [simulate(plan, seed) for seed in range(options.runs)]
    hours = sorted(run.seconds / HOUR_S for run in runs)
    ideal_h = plan.pictures / (plan.rate * plan.cores * plan.machines) / HOUR_S
    lost = sum(run.lost for run in runs) / len(runs) / plan.pictures
    found = {
        "label": "projected",
        "images_per_s_per_core": round(rate, 3),
        "rate_is": origin,
        "pictures": plan.pictures,
        "machines": plan.machines,
        "cores": plan.cores,
        "chunk": plan.chunk,
        "chunk_s": round(plan.chunk_s, 2),
        "hours_without_loss": round(ideal_h, 2),
        "hours_median": round(hours[len(hours) // 2], 2),
        "hours_longest": round(hours[-1], 2),
        "losses_mean": round(sum(run.losses for run in runs) / len(runs), 1),
        "work_done_twice": lost,
        "work_done_twice_expected": expected_loss_share(plan),
        "machine_hours": round(sum(run.busy_s for run in runs) / len(runs) / HOUR_S, 1),
        "get_requests": plan.pictures,
        "put_requests": plan.pictures,
        "list_requests": -(-plan.pictures // 1000),
        "journal_files": -(-plan.pictures // 5000),
    }
    if options.price_per_hour is not None:
        found["dollars_for_machines"] = round(found["machine_hours"] * options.price_per_hour, 2)
    if options.price_per_1000_requests is not None:
        requests = found["get_requests"] + found["put_requests"] + found["list_requests"]
        found["dollars_for_requests"] = round(requests / 1000 * options.price_per_1000_requests, 2)
    json.dump(found, sys.stdout, indent=1)
    print()
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    record = ROOT / "benches" / "record" / "amd-epyc-avx2" / "2026-11-25-bench.json"
    parser.add_argument("--record", default=str(record))
    parser.add_argument("--rate", type=float, default=None, help="images per second and core, in place of it")
    parser.add_argument("--pictures", type=float, default=1e9)
    parser.add_argument("--machines", type=int, default=40)
    parser.add_argument("--cores", type=int, default=96)
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--mtbf-hours", type=float, default=24.0)
    parser.add_argument("--back-s", type=float, default=300.0)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--price-per-hour", type=float, default=None)
    parser.add_argument("--price-per-1000-requests", type=float, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
