"""What a bench will run: from what was asked to a list of cases, before anything runs. Pure.

Scenarios, in the sense of a benchmark's rules:

- scaling: N workers take pictures from a folder, each the next one as soon as it has written the last,
  for some seconds after warm-up. Timed: everything from looking at the file to the renamed output. Left
  out: making the session, warm-up, the tail in which workers run out of work. Headline: pictures per
  second.
- null: the same with an engine that does nothing: what pipeline and harness cost.
- massive: like scaling, with one number of workers and a number of pictures instead of seconds.
- open-loop: pictures arrive by a Poisson process at a given rate, whether or not a worker is free.
  Headline: percentiles of the response time, from the intended arrival to the written output.
- ablation: scaling at full width with one enabler switched off, in turns with the run that has them all.
- simulated: workers of a larger machine, real threads on an imitated topology, each picture a wait drawn
  from measured service times that holds no core. It measures what scheduler, ring and interpreter cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from qbg.report.record import Case

SCALING, NULL, MASSIVE, OPEN_LOOP, ABLATION, SIMULATED = (
    "scaling",
    "null",
    "massive",
    "open-loop",
    "ablation",
    "simulated",
)

PARTS = ("scaling", "stages", "latency", "memory", "cost", "kernels", "ablations", "simulation")
"""What `qbg bench` can be asked for; `stages`, `memory` and `cost` come out of the scaling runs."""

ENABLERS = ("stealing", "lock_free", "reuse", "pin", "numa", "simd", "mmap", "shared_weights", "ring")
"""Of the published result, as switches of a case."""

SCALING_BUDGET_S = 90.0
WINDOW_S = (3.0, 12.0)
FULL_WINDOW_S = 20.0
NULL_WINDOW_S, NULL_REPEATS = 3.0, 3
ABLATION_WINDOW_S = 5.0
LATENCY_WINDOW_S = 45.0
SIMULATED_WINDOW_S = 10.0

SIMULATED_WORKERS = 384
SIMULATED_SERVICE_S = (1.65, 0.2, 0.02, 0.005)
"""The published latency, two lighter networks, and one that shows where it breaks."""

OPEN_LOOP_SHARE, OPEN_LOOP_PICTURES = 0.7, 110
"""Of the measured throughput, as the arrival rate when nobody gives one; and the fewest arrivals then: enough
for P90 after warm-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a plan depends on.

    Attributes:
        workers: that this process may keep busy: CPUs allowed, within the quota.
        nodes: NUMA nodes among them.
        simd: best level.
    """

    workers: int
    nodes: int
    simd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run.

    Attributes:
        cases: each is run `repeats` times, in turns: all once, then all again.
        repeats: of each case, by name.
        kernels: whether kernels are measured by themselves.
        rate: arrivals per second of the open loop; None: `OPEN_LOOP_SHARE` of the measured throughput.
    """

    cases: tuple[Case, ...]
    repeats: dict[str, int]
    kernels: bool

    def turns(self) -> list[tuple[Case, int]]:
        """(case, repeat) in the order of running: A B C A B C; cases that need measured times come last."""
        late = {OPEN_LOOP, SIMULATED}
        order: list[tuple[Case, int]] = []
        for group in (
            [case for case in self.cases if case.kind not in late],
            [case for case in self.cases if case.kind in late],
        ):
            for turn in range(max((self.repeats[case.name] for case in group), default=0)):
                order += [(case, turn) for case in group if turn < self.repeats[case.name]]
        return order


def counts(most: int) -> tuple[int, ...]:
    """1, 2, 4, .. and `most` itself."""
    powers = [1 << exponent for exponent in range(most.bit_length()) if 1 << exponent < most]
    return (*powers, most)


def standard(
    host: Host,
    parts: tuple[str, ...] = (),
    *,
    full: bool = False,
    most: int | None = None,
    seconds: float | None = None,
    repeats: int | None = None,
    rate: float | None = None,
) -> Plan:
    """`qbg bench` and its parts.

    Args:
        host: where it will run.
        parts: some of `PARTS`; empty: the usual ones.
        full: also open loop, kernels, ablations and simulation, with longer windows.
        most: the largest number of workers; None: as many as the host keeps busy.
        seconds: of each window; None: by the time there is.
        repeats: of scaling cases; None: 4, the fewest that `qbg bench diff` can tell apart; 5 with `full`.
        rate: arrivals per second of the open loop.

    Raises:
        ValueError: an unknown part.
    """
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"no part `{part}`; there are: {', '.join(PARTS)}")
    workers = most or host.workers
    asked = set(parts) or ({"scaling"} | (set(PARTS) if full else set()))
    turns = repeats or (5 if full else 4)
    widths = counts(workers) if asked & {"scaling", "memory", "cost"} else (workers,)
    window = seconds or (FULL_WINDOW_S if full else _window(len(widths), turns))
    cases = (
        [Case(name=f"{SCALING}-{count}", kind=SCALING, workers=count, seconds=window) for count in widths]
        if asked - {"kernels", "simulation"} or not parts
        else []
    )
    times = {case.name: turns for case in cases}
    if asked & {"scaling", "stages"}:
        cases.append(_null(workers))
        times[cases[-1].name] = turns
    if "latency" in asked:
        name = f"{OPEN_LOOP}-{workers}"
        length = seconds or LATENCY_WINDOW_S * (2 if full else 1)
        cases.append(Case(name=name, kind=OPEN_LOOP, workers=workers, seconds=length, rate_per_s=rate))
        times[name] = 1
    if "ablations" in asked:
        for case in ablations(host, workers, seconds or ABLATION_WINDOW_S):
            cases.append(case)
            times[case.name] = turns
    if "simulation" in asked:
        for case in simulations(seconds or SIMULATED_WINDOW_S):
            cases.append(case)
            times[case.name] = 2
        if not any(case.kind == SCALING for case in cases):
            # The waits are drawn from measured service times.
            cases.insert(0, Case(name=f"{SCALING}-{workers}", kind=SCALING, workers=workers, seconds=window))
            times[cases[0].name] = 1
    return Plan(cases=tuple(cases), repeats=times, kernels="kernels" in asked)


def massive(host: Host, *, workers: int | None, count: int) -> Plan:
    """The published benchmark: one long run of many pictures, and the null run beside it."""
    width = workers or host.workers
    case = Case(name=f"{MASSIVE}-{width}", kind=MASSIVE, workers=width, count=count)
    null = _null(width)
    return Plan(cases=(case, null), repeats={case.name: 1, null.name: NULL_REPEATS}, kernels=False)


def ablations(host: Host, workers: int, seconds: float) -> list[Case]:
    """The run with everything and, for each enabler, the same without it: with a network and with none."""
    cases: list[Case] = []
    for engine in (None, "null"):
        tail = "" if engine is None else f"-{engine}"
        length = seconds if engine is None else min(seconds, NULL_WINDOW_S)
        switches = ("", *(name for name in ENABLERS if _applies(name, host, engine)))
        cases += [
            Case(
                name=f"{ABLATION}-{off or 'none'}{tail}",
                kind=ABLATION,
                workers=workers,
                seconds=length,
                off=(off,) if off else (),
                engine=engine,
            )
            for off in switches
        ]
    return cases


def simulations(seconds: float) -> list[Case]:
    """384 workers on an imitated machine of 8 nodes, at several lengths of an inference."""
    return [
        Case(
            name=f"{SIMULATED}-{SIMULATED_WORKERS}-{service:g}s",
            kind=SIMULATED,
            workers=SIMULATED_WORKERS,
            seconds=max(seconds, 12 * service),
            service_s=service,
            engine="simulated",
        )
        for service in SIMULATED_SERVICE_S
    ]


def _applies(enabler: str, host: Host, engine: str | None) -> bool:
    if enabler == "numa":
        return host.nodes > 1
    if enabler == "simd":
        return host.simd != "scalar"
    return not (enabler == "shared_weights" and engine is not None)


def _null(workers: int) -> Case:
    return Case(name=f"{NULL}-{workers}", kind=NULL, workers=workers, seconds=NULL_WINDOW_S, engine="null")


def _window(widths: int, repeats: int) -> float:
    low, high = WINDOW_S
    return min(max(SCALING_BUDGET_S / (widths * repeats), low), high)
