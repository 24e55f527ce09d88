"""What engines and precisions are worth: the network alone, on one core, beside ONNX Runtime as it comes.

    python benches/precision.py [--model qbg-base,qbg-turbo,u2netp] [--rounds 7] [--output R.json]

Issued: one picture's tensor to the same network as its authors' graph in a bare session (`plain`) and as each
engine and precision of qbg runs it; and two pictures in one call, whose time is halved. Timed: the call. Left
out: everything before and after the network. For scale, the same core's multiplications per second in large
matrix products: of ONNX Runtime, in bf16 of OpenVINO. Masks aren't judged here: the verdict of the gate that
let an int8 file pass is read from the file.

`inspyrenet-fast` is built with random weights where no file of it is given. A model that is not here, an int8
file that was not made (`qbg models quantize`) and an engine that is not installed are left out and named.
Linux only: it sets CPU affinity. Needs the extra `qbg[models]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import measure
from qbg import _native, models
from qbg.bench import batches, compare
from qbg.engine.onnx import load_onnxruntime
from qbg.engine.openvino import load_openvino
from qbg.errors import QbgError
from qbg.models.build import build
from qbg.models.catalog import COMPARED
from qbg.models.declared import NETWORK, declared_gate, random_weights
from qbg.models.sibling import quantized

OWN = "inspyrenet-fast"
MODELS = (OWN, "qbg-base", "qbg-turbo", "u2netp", "u2net")

PUBLISHED = 0.60
"""Images per second and core of InSPyReNet-Fast, published, on a 384-vCPU machine with AVX-512."""

SIDE = 1024
"""Of the matrices whose product gives the core's peak."""


@dataclass(frozen=True)
class Way:
    """One contestant."""

    name: str
    call: Callable[[], object]
    precision: str
    pictures: int = 1

    def seconds(self) -> float:
        """Of a picture."""
        return measure.clock(self.call) / self.pictures


def bare(model: str | bytes, picture: np.ndarray) -> Callable[[], object]:
    """A session with one thread and everything else as it comes."""
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: picture}
    output = [session.get_outputs()[0].name]
    return lambda: session.run(output, feeds)


def ways(found: models.Resolved, picture: np.ndarray, work: Path) -> tuple[list[Way], list[str]]:
    """The contestants, `plain` first, and a line on each that can't take part."""
    plain = found.network.path
    if random_weights(found.network.declared):
        plain = str(work / "plain.onnx")
        build(found.network.declared[NETWORK], "random", plain, size=picture.shape[2], plain=True)
    there, absent = [Way("plain", bare(plain, picture), "fp32")], []
    twice = np.concatenate([picture] * batches.TWO)
    small: models.Resolved | None = None
    try:
        small = quantized(found)
    except QbgError as error:
        absent.append(f"int8: {error.args[0]}")
    for engine_name in ("onnxruntime", "openvino"):
        for precision in ("fp32", "bf16", "int8"):
            who = f"{engine_name} {precision}"
            this = small if precision == "int8" else found
            if this is None or (engine_name, precision) == ("onnxruntime", "bf16"):
                continue
            try:
                there.append(
                    Way(who, batches.call(this.network, engine_name, precision, picture)[0], precision)
                )
                who += ", 2 a call"
                call = batches.doubled(this.network, engine_name, precision, twice, work)[0]
                there.append(Way(who, call, precision, batches.TWO))
            except QbgError as error:
                absent.append(f"{who}: {error.args[0]}")
    return there, absent


def verdict(found: models.Resolved) -> str:
    """What the gate found of the int8 file's masks, as the file tells it."""
    try:
        gate = declared_gate(quantized(found).network.declared)
    except QbgError:
        return "no int8 file"
    if gate is None:
        return "the file doesn't tell"
    words = "passed" if gate["passed"] else "REFUSED"
    return f"{words}: IoU {gate['iou']:.4f} (worst {gate['worst']:.4f}), {gate['photos']} photos"


def multiplications(found: models.Resolved) -> int:
    """Of one picture's convolutions and constant matrix products; attention's products are left out."""
    from qbg.models.int8.graph import load
    from qbg.models.int8.place import macs

    return sum(macs(load(found.network, found.recipe.height, found.recipe.width)).values())


def peaks(rounds: int) -> dict[str, float]:
    """Multiplications per second of one core in a product of two large matrices, best of `rounds`."""
    from onnx import TensorProto, helper

    random = np.random.default_rng(1)
    found = {}
    shape = [SIDE, SIDE]
    for precision, kind, types in (
        ("fp32", "MatMul", (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.FLOAT)),
        ("int8", "MatMulInteger", (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32)),
    ):
        arrays = {
            TensorProto.FLOAT: random.standard_normal(shape).astype(np.float32),
            TensorProto.UINT8: random.integers(0, 100, shape, np.uint8),
            TensorProto.INT8: random.integers(-60, 60, shape, np.int8),
        }
        graph = helper.make_graph(
            [helper.make_node(kind, ["a", "b"], ["c"])],
            "peak",
            [helper.make_tensor_value_info("a", types[0], shape)],
            [helper.make_tensor_value_info("c", types[2], shape)],
            [helper.make_tensor("b", types[1], shape, arrays[types[1]].tobytes(), raw=True)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data, entry = model.SerializeToString(), arrays[types[0]]
        calls = {precision: bare(data, entry)}
        if precision == "fp32" and (wide := in_bf16(data, entry)) is not None:
            calls["bf16"] = wide
        for name, call in calls.items():
            call()
            found[name] = SIDE**3 / min(measure.clock(call) for _ in range(max(5, rounds)))
    return found


def in_bf16(model: bytes, entry: np.ndarray) -> Callable[[], object] | None:
    """A call of OpenVINO on one thread in bf16; None without it, or on a CPU without bf16."""
    try:
        ov = load_openvino()
    except QbgError:
        return None
    core = ov.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return None
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": ov.Type.bf16}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda: request.infer([entry])


def resolve(name: str, work: Path) -> models.Resolved | None:
    """A model by name or path; the one that qbg builds is built. None if it isn't on this machine."""
    try:
        return models.resolve(name)
    except QbgError as error:
        if name != OWN:
            print(f"  left out: {error.args[0]}")
            return None
    path = work / f"{OWN}.onnx"
    build(OWN, "random", path)
    return models.resolve(path)


def one_model(
    name: str, found: models.Resolved, rounds: int, peak: dict[str, float], work: Path
) -> dict[str, Any]:
    """A part of the record: headline rows, times, ratios."""
    shape = (1, 3, found.recipe.height, found.recipe.width)
    picture = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    there, absent = ways(found, picture, work)
    times = compare.interleave({way.name: way.seconds for way in there}, rounds)
    count = multiplications(found)
    rows, ratios = [], {}
    for way in there:
        summary = measure.summary(times[way.name])
        ratios[way.name] = measure.ratio(times["plain"], times[way.name])
        rate = 1 / summary["median_s"]
        text = f"{rate:.3f} images/s per core ({1 / summary['max_s']:.3f} to {1 / summary['min_s']:.3f})"
        if way.name != "plain":
            ratio = ratios[way.name]
            text += f", {ratio['median']:.2f} x plain [{ratio['low']:.2f}, {ratio['high']:.2f}]"
        if way.precision in peak:
            text += f", {100 * count * rate / peak[way.precision]:.0f} % of the core's {way.precision} peak"
        rows.append((f"{name}, {way.name}", text, GOALS.get((name, way.name), "")))
    rows.append((f"{name}, int8 masks against fp32", verdict(found), ">= 0.995"))
    return {
        "doc": __doc__,
        "headline": rows,
        "times": {who: measure.summary(values) for who, values in times.items()},
        "ratios": ratios,
        "facts": {"multiplications": count, "left_out": absent, "network": found.network.digest},
    }


GOALS = {
    (
        OWN,
        "onnxruntime fp32",
    ): f">= 1.25 on AMD Turin, 69 % of its peak; published, whole pipeline: {PUBLISHED:.2f}",
    (OWN, "onnxruntime int8"): ">= 4.5 on AMD Turin, 62 % of its peak",
    (OWN, "openvino bf16"): ">= 2.6 on AMD Turin, 72 % of its peak",
    ("qbg-base", "onnxruntime fp32"): f">= 10 x {COMPARED}",
    ("qbg-base", "onnxruntime int8"): f">= 18 x {COMPARED} fp32",
    ("u2netp", "onnxruntime int8"): ">= 1.6 x on AVX2, 3 x on VNNI",
    ("u2net", "onnxruntime int8"): ">= 1.6 x on AVX2, 3 x on VNNI",
}
"""By model and contestant. Turin's peak by calculation: 1.8, 3.6 and 7.2 images/s in fp32, bf16 and int8."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=",".join(MODELS), help="names or paths, with commas between")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each comparison")
    parser.add_argument("--output", type=Path, help="write the record here")
    asked = parser.parse_args()
    header = measure.one_core()
    doubts = measure.doubts(header, asked.rounds, _native.BUILD_PROFILE)
    peak = peaks(asked.rounds)
    print(f"{header['cpu']}, {', '.join(header['flags'])}, one core")
    record: dict[str, Any] = {
        "kind": "precision",
        "machine": header,
        "rounds": asked.rounds,
        "doubts": doubts,
        "peak_per_s": peak,
        "parts": {},
    }
    with tempfile.TemporaryDirectory(prefix="qbg-bench-") as work:
        for name in asked.model.split(","):
            print(f"\n{name}")
            found = resolve(name, Path(work))
            if found is None:
                continue
            part = one_model(name, found, asked.rounds, peak, Path(work))
            record["parts"][f"precision of {name}"] = part
            for what, value, goal in part["headline"]:
                print(f"  {what:<40}{value}{f'   (goal {goal})' if goal else ''}", flush=True)
            for line in part["facts"]["left_out"]:
                print(f"  left out: {line}")
            record["load_1min_at_end"] = os.getloadavg()[0]
            if asked.output is not None:
                asked.output.write_text(json.dumps(record, indent=1) + "\n")
    for doubt in doubts:
        print(f"\ninvalid: {doubt}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
