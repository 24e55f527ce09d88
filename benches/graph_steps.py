"""What each rewriting of InSPyReNet's graph is worth: images per second of one thread, step after step.

    python benches/graph_steps.py [--size 384] [--rounds 7] [--leave-out]

Builds the network with random weights plain, then with one rewriting after the other (in the order
of `qbg.models.graphs.layers.Form`); with --leave-out also without each one alone. Sessions take
turns, so that a disturbed machine disturbs all of them; a figure is the CPU time of one inference
on one thread, which doesn't count waiting for the core but does count a busy neighbor on the same
core: hence medians, and the best round of each. Takes about 1 GB. Needs the onnx package. Not
timed: decoding, resizing, masks.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import fields, replace

import numpy as np

from qbg.engine.onnx import load_onnxruntime
from qbg.models.build import graph_of, tensors_of
from qbg.models.graphs.layers import FAST, PLAIN, Form
from qbg.models.graphs.weights import random_weights

NAME = "inspyrenet-fast"


def forms(*, leave_out: bool) -> dict[str, Form]:
    """Forms by what is said of them, plain first."""
    found = {"plain": PLAIN}
    form = PLAIN
    for field in fields(Form):
        form = replace(form, **{field.name: True})
        found[f"+ {field.name}"] = form
    if leave_out:
        found |= {f"all but {field.name}": replace(FAST, **{field.name: False}) for field in fields(Form)}
    return found


def session(form: Form, size: int, tensors: dict) -> object:
    """One thread, nothing else changed."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = graph_of(NAME, tensors, size, form).SerializeToString()
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--leave-out", action="store_true", help="also without each rewriting alone")
    given = parser.parse_args()
    tensors = random_weights(tensors_of(NAME), 1)
    picture = np.random.default_rng(1).standard_normal((1, 3, given.size, given.size)).astype(np.float32)
    sessions = {
        words: session(form, given.size, tensors) for words, form in forms(leave_out=given.leave_out).items()
    }
    seconds: dict[str, list[float]] = {words: [] for words in sessions}
    for number in range(given.rounds + 1):
        for words, one in sessions.items():
            start = time.thread_time()
            one.run(None, {"input": picture})
            if number:  # the first round warms up
                seconds[words].append(time.thread_time() - start)
    plain = seconds["plain"]
    print("| graph | images/s, median | ratio to plain, median | images/s, best | ratio of bests |")
    print("|---|---|---|---|---|")
    for words, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(plain, times, strict=True))
        print(
            f"| {words} | {1 / statistics.median(times):.3f} | {ratio:.3f} "
            f"| {1 / min(times):.3f} | {min(plain) / min(times):.3f} |"
        )


if __name__ == "__main__":
    main()
