"""`qbg tune`'s report: one table of all candidates, the winner, and what was refused. Pure."""

from __future__ import annotations

from qbg.bench.gate import RULE
from qbg.bench.sections.words import NONE, figure, interval
from qbg.bench.tune import WORTH, Candidate, Result, Tuning
from qbg.report.document import MEASURED, Document, Row, Section, Table


def document(tuning: Tuning, model: str, cpu: str) -> Document:
    """The whole of it."""
    table = Table(
        title="",
        columns=("way, workers x threads", "images/s", "x the default", "IoU", "verdict"),
        numeric=(False, True, True, True, False),
        rows=tuple(_row(tuning, result) for result in tuning.results),
        notes=(
            "images/s: medians of runs in turns, from file to written cut-out; in brackets the ratio's "
            "interval; those far from the fastest ran less often and may have none",
            f"IoU of masks against a plain fp32 ONNX Runtime session; {RULE}",
            f"chosen: the first that loses at most {WORTH:.0%} against the fastest, if it is surely faster "
            "than the default",
        ),
    )
    return Document(
        title=f"qbg tune: {model} on {cpu}",
        verdict=words(tuning),
        valid=True,
        reasons=(),
        sections=(Section(title="Candidates", text=tuning.notes, tables=(table, *_pairs(tuning))),),
    )


def _pairs(tuning: Tuning) -> tuple[Table, ...]:
    """Two pictures a call; nothing where no way was tried."""
    if not tuning.pairs:
        return ()
    worth = [
        f"{pair.engine} {pair.precision}" for pair in tuning.pairs if pair.gain and pair.gain.low > 1 + WORTH
    ]
    told = (f"{' and '.join(worth)}: a batch would gain something; qbg makes none",) if worth else ()
    rows = [
        Row(
            cells=(
                f"{pair.engine} {pair.precision}",
                interval(pair.gain) if pair.gain else NONE,
                pair.why or "",
            ),
            label=MEASURED,
        )
        for pair in tuning.pairs
    ]
    return (
        Table(
            title="Two pictures a call",
            columns=("way, 1 thread", "x one a call", "why not"),
            numeric=(False, True, False),
            rows=tuple(rows),
            notes=(
                "the network alone, in turns: images/s of calls with two pictures over calls with one; of "
                "engines and precisions near the fastest. Workers take one picture each",
                *told,
            ),
        ),
    )


def words(tuning: Tuning) -> str:
    """The winner in a sentence or two."""
    winner, gain = tuning.winner, tuning.gain(tuning.winner)
    line = f"{_name(winner)}: {interval(tuning.rate(winner))} images/s"
    if winner == tuning.results[0].candidate:
        line += ", the default; nothing is enough faster to leave it"
    elif gain is not None:
        line += f", {interval(gain)} x the default"
    refused = sorted({_way(result.candidate) for result in tuning.results if _refusal(result)})
    more = f" Refused for their masks: {'; '.join(refused)}." if refused else ""
    return f"{line}. It took {tuning.seconds:.0f} s.{more}"


def _row(tuning: Tuning, result: Result) -> Row:
    candidate, checked = result.candidate, result.checked
    notes = [reason for reason in (_refusal(result), result.failed) if reason]
    return Row(
        cells=(
            f"{_way(candidate)} {candidate.workers}x{candidate.threads}",
            figure(tuning.rate(candidate).value) if result.rates else NONE,
            _gain(tuning, result),
            f"{checked.iou:.4f}" if checked and checked.photos else NONE,
            _verdict(tuning, result),
        ),
        label=MEASURED,
        strong=candidate == tuning.winner,
        notes=tuple(f"{_way(candidate)}: {reason}" for reason in notes),
    )


def _gain(tuning: Tuning, result: Result) -> str:
    if result == tuning.results[0]:
        return "1"
    gain = tuning.gain(result.candidate)
    return NONE if gain is None else interval(gain)


def _verdict(tuning: Tuning, result: Result) -> str:
    if result.failed is not None:
        return "failed"
    if _refusal(result) is not None:
        return "refused"
    return "chosen" if result.candidate == tuning.winner else ""


def _refusal(result: Result) -> str | None:
    return result.checked.refused if result.checked is not None else None


def _way(candidate: Candidate) -> str:
    return f"{candidate.engine} {candidate.precision}"


def _name(candidate: Candidate) -> str:
    threads = f"{candidate.threads} thread{'s' if candidate.threads > 1 else ''} each"
    return (
        f"{_way(candidate)}, {candidate.workers} worker{'s' if candidate.workers > 1 else ''} with {threads}"
    )
