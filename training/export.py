"""The trained network as an ONNX file that qbg runs without being told how, and back. Must not train."""

from __future__ import annotations

import io
import itertools
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from network import MEAN, STD, Exported, Network
from qbg.recipe import Recipe

OPSET = 17
NAME = "qbg-base"
PREFIX = "network."


def recipe(side: int) -> Recipe:
    """How the file wants its pictures: squashed, every channel centered alike; the output is alpha itself."""
    return Recipe(height=side, width=side, filter="bilinear", mean=(MEAN,) * 3, std=(STD,) * 3, refine=True)


def folded(network: Network) -> Network:
    """A copy whose norms are inside the convolutions before them; same names, the norms do nothing."""
    import copy

    found = copy.deepcopy(network).eval()
    for parent in found.modules():
        names = list(parent._modules)
        for first, second in itertools.pairwise(names):
            conv, norm = parent._modules[first], parent._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                parent._modules[first] = nn.utils.fuse_conv_bn_eval(conv, norm)
                parent._modules[second] = nn.Identity()
    return found


def export(network: Network, side: int, path: Path, half: bool = False, name: str = NAME) -> Path:
    """Writes the file: input `input` (1, 3, H, W), output `alpha` (1, 1, H, W) in 0..1.

    H and W are left open, so that one file serves more than one size; `side` is what its recipe asks for.
    With `half` weights are stored in 16 bits and widened when the file is loaded: half the size.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Exported(folded(network)),
            (torch.zeros(1, 3, side, side),),
            buffer,
            opset_version=OPSET,
            dynamo=False,
            input_names=["input"],
            output_names=["alpha"],
            dynamic_axes={name: {2: "height", 3: "width"} for name in ("input", "alpha")},
        )
    model = onnx.load_from_string(buffer.getvalue())
    model.producer_name, model.producer_version = "qbg", ""
    if half:
        _halve(model)
    onnx.helper.set_model_props(
        model,
        {"qbg.network": name, "qbg.recipe": json.dumps(asdict(recipe(side))), "qbg.license": "Apache-2.0"},
    )
    onnx.checker.check_model(model, full_check=True)
    temporary = path.with_name(f".{path.name}.tmp")
    onnx.save(model, temporary)
    temporary.replace(path)
    return path


def _halve(model: onnx.ModelProto) -> None:
    """Large float32 constants become float16 ones and a Cast each, which ONNX Runtime folds on loading."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        array, name = onnx.numpy_helper.to_array(tensor), tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def from_onnx(network: Network, path: Path) -> None:
    """Fills a network with the weights of a file that `export` wrote, to go on from.

    The norms were folded away: they begin anew as ones that change nothing.
    """
    model = onnx.load(path)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    arrays |= {
        node.output[0]: arrays[node.input[0]].astype(np.float32)
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0] in arrays
    }
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name, module in modules.items():
            # The coarse map is for training only, and isn't in the file.
            if not isinstance(module, nn.Conv2d) or f"{PREFIX}{name}.weight" not in arrays:
                continue
            module.weight.copy_(torch.from_numpy(arrays[f"{PREFIX}{name}.weight"].copy()))
            bias = torch.from_numpy(arrays[f"{PREFIX}{name}.bias"].copy())
            parent, _, own = name.rpartition(".")
            siblings = list(modules[parent]._modules.items())
            after = siblings[[key for key, _ in siblings].index(own) + 1 :][:1]
            if after and isinstance(after[0][1], nn.BatchNorm2d):
                norm = after[0][1]
                norm.running_mean.zero_()
                norm.running_var.fill_(1.0 - norm.eps)
                norm.weight.fill_(1.0)
                norm.bias.copy_(bias)
            elif module.bias is not None:
                module.bias.copy_(bias)
