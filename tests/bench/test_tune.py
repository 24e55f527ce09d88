"""Tuning: candidates, refusals and the choice on numbers made up, and a whole short one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import graphs
from conftest import SAMPLES, Outcome
from qbg.bench.batches import Pair
from qbg.bench.sections.tuning import document
from qbg.bench.sections.words import NONE
from qbg.bench.statistics import Interval
from qbg.bench.tune import Candidate, Checked, Result, Tuning, candidates, choose, contenders, near, spread
from qbg.errors import EngineError
from qbg.models.files import digest

Run = Callable[..., Outcome]
GOOD = Checked(photos=10, iou=0.9999, mean_levels=0.01, refused=None)
BAD = Checked(photos=10, iou=0.8, mean_levels=9.0, refused="IoU against the reference is 0.8000, below 0.995")


def result(name: str, *rates: float, checked: Checked = GOOD, failed: str | None = None) -> Result:
    engine, precision = name.split()
    candidate = Candidate(engine=engine, precision=precision, threads=1, workers=2)
    return Result(
        candidate=candidate, rates=rates, rounds=tuple(range(len(rates))), checked=checked, failed=failed
    )


DEFAULT = result("onnxruntime fp32", 1.0, 1.1, 0.9)


def test_workers_times_threads_never_exceed_the_cpus() -> None:
    ways = (("onnxruntime", "fp32"), ("openvino", "bf16"))
    for cpus, threads in ((1, {1}), (2, {1, 2}), (7, {1, 2, 7}), (384, {1, 2, 384})):
        found = candidates(cpus, ways)
        assert {item.threads for item in found} == threads
        assert len(set(found)) == len(found) == 2 * len(threads)
        assert all(cpus - item.threads < item.workers * item.threads <= cpus for item in found)
        assert (found[0].engine, found[0].precision, found[0].threads) == ("onnxruntime", "fp32", 1)


@pytest.mark.parametrize(
    ("others", "winner"),
    [
        ([result("openvino bf16", 2.0, 2.1, 2.2)], "openvino"),
        ([result("openvino bf16", 1.01, 1.02, 1.0)], "onnxruntime"),
        ([result("openvino bf16", 1.2, 1.2, 0.85)], "onnxruntime"),
        ([result("openvino bf16", 2.0, 2.1, checked=BAD)], "onnxruntime"),
        ([result("openvino bf16", 2.0, failed="its process ended with -4")], "onnxruntime"),
        ([result("openvino bf16")], "onnxruntime"),
    ],
)
def test_the_fastest_that_is_able_and_worth_it_wins(others: list[Result], winner: str) -> None:
    assert choose([DEFAULT, *others]).engine == winner


def test_one_disturbed_run_does_not_end_a_candidate() -> None:
    disturbed, twice = result("openvino fp32", 0.7), result("openvino bf16", 0.7, 0.84)
    calmed, slow = result("openvino int8", 0.7, 0.9), result("onnxruntime int8", 0.5)
    refused = result("onnxruntime bf16", 1.0, checked=BAD)
    going = near([result("onnxruntime fp32", 0.3), disturbed, twice, calmed, slow, refused])
    fastest = near([result("onnxruntime fp32", 1.0), disturbed, twice, calmed, slow, refused])
    assert [item.precision for item in fastest] == ["fp32", "fp32", "int8"]
    assert DEFAULT.candidate in going, "all are compared with the default"


def test_without_any_left_the_reason_is_told() -> None:
    with pytest.raises(EngineError, match="IoU"):
        choose([result("onnxruntime fp32", 1.0, checked=BAD)])


def test_gain_compares_runs_of_the_same_round() -> None:
    fast = result("openvino fp32", 2.0, 4.0)
    late = Result(candidate=fast.candidate, rates=(2.0, 4.0), rounds=(0, 2), checked=GOOD)
    first = result("onnxruntime fp32", 1.0, 9.0, 2.0)
    tuning = Tuning(results=(first, late), winner=late.candidate, seconds=1.0)
    gain = tuning.gain(late.candidate)
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == (2.0, 2.0, 2.0)


def test_the_report_says_who_was_refused_and_why() -> None:
    refused = result("onnxruntime int8", 5.0, checked=BAD)
    failed = result("openvino fp32", failed="it ended with -4")
    tuning = Tuning(results=(DEFAULT, refused, failed), winner=DEFAULT.candidate, seconds=60.0)
    made = document(tuning, "m", "cpu")
    assert "Refused for their masks: onnxruntime int8" in made.verdict
    [table] = made.sections[0].tables
    assert [row.cells[-1] for row in table.rows] == ["chosen", "refused", "failed"]
    assert all(len(row.cells) == len(table.columns) == len(table.numeric) for row in table.rows)
    assert "below 0.995" in table.rows[1].notes[0]
    assert "-4" in table.rows[2].notes[0]


def test_the_report_tells_what_two_pictures_a_call_would_gain() -> None:
    gain = Interval(value=1.05, low=1.04, high=1.06, count=9, method="range")
    pairs = (
        Pair(engine="onnxruntime", precision="int8", gain=gain),
        Pair(engine="openvino", precision="int8", why="its graph is of one picture"),
    )
    tuning = Tuning(results=(DEFAULT,), winner=DEFAULT.candidate, seconds=60.0, pairs=pairs)
    table = document(tuning, "m", "cpu").sections[0].tables[1]
    assert [row.cells[1:] for row in table.rows] == [
        ("1.05 (1.04 to 1.06)", ""),
        (NONE, "its graph is of one picture"),
    ]
    assert any("onnxruntime int8: a batch would gain" in note for note in table.notes)


def test_only_ways_near_the_fastest_are_tried_with_two_pictures() -> None:
    slow, fast = result("openvino fp32", 0.5), result("openvino bf16", 1.0)
    again = result("openvino bf16", 0.9)
    refused = result("openvino int8", 2.0, checked=BAD)
    assert contenders([result("onnxruntime fp32", 0.9), slow, fast, again, refused]) == [
        ("onnxruntime", "fp32"),
        ("openvino", "bf16"),
    ]


def test_spread_takes_from_everywhere() -> None:
    paths = [Path(str(number)) for number in range(100)]
    assert len(spread(paths, 12)) == 12
    assert spread(paths[:3], 12) == paths[:3]


def quantized(model: Path, *, shift: float) -> Path:
    """A file that says it is the model in int8; `shift` is added to its last bias."""
    graph = onnx.load(model)
    for constant in graph.graph.initializer:
        if constant.name == "b2":
            constant.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(constant) + np.float32(shift), "b2")
            )
    origin = json.dumps({"from": digest(model), "gate": {"passed": False}})
    onnx.helper.set_model_props(graph, {"qbg.precision": "int8", "qbg.quantized": origin})
    path = model.with_name(f"{model.stem}.int8.onnx")
    onnx.save(graph, path)
    return path


@pytest.mark.parametrize(("shift", "refused"), [(0.0, False), (3.0, True)])
def test_a_whole_tuning_is_remembered_and_used(
    shift: float, refused: bool, qbg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QBG_HOME", str(tmp_path / "home"))
    model = graphs.random_network(tmp_path / "m.onnx", 64, seed=1)
    quantized(model, shift=shift)
    done = qbg("tune", "-m", model, "--seconds", "0.1", "--budget", "0", "--json")
    assert done.code == 0, done.err
    told = done.summary
    assert told["pairs"][0]["gain"]["value"] > 0, told["pairs"]
    small = [item for item in told["results"] if item["candidate"]["precision"] == "int8"]
    assert small
    assert any("refused where it was made" in note for note in told["notes"])
    assert all((item["checked"]["refused"] is not None) == refused for item in small)
    if refused:
        assert told["winner"]["precision"] != "int8"
    out = tmp_path / "o.png"
    used = qbg("remove", "-m", model, SAMPLES / "coat.jpg", out, "--json")
    assert used.code == 0, used.err
    assert "as `qbg tune` found fastest" in used.err
    assert used.summary["precision"] == told["winner"]["precision"]
    quiet = qbg("remove", "-m", model, SAMPLES / "coat.jpg", out, "--overwrite", "--quiet")
    assert quiet.err == ""
    assert qbg("tune", "--forget").code == 0
    plain = qbg("remove", "-m", model, SAMPLES / "coat.jpg", out, "--overwrite")
    assert "qbg tune" not in plain.err
