"""A network's file as facts: what the graph takes and gives. Must not know who reads or runs it.

`qbg.models` fills it, from its registry or by opening the graph; `qbg.engine` runs by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One ONNX file with one picture as its input.

    Attributes:
        path: of the file; what messages name.
        digest: SHA-256 of the file, in hex.
        input_name: of the graph's only input.
        input_shape: (1, 3, H, W) float32; 0 where the graph leaves the size open.
        output_name: of the output that holds the subject: the first one.
        output_shape: (C, h, w); h = w = 0 where the size is the input's.
        precision: of the weights in the main, as in `fp32`.
        output_type: `float32`, or `float16` as some exports have it.
        declared: what the file says of itself to qbg: its metadata whose keys begin with `qbg.`.
    """

    path: str
    digest: str
    input_name: str
    input_shape: tuple[int, int, int, int]
    output_name: str
    output_shape: tuple[int, int, int]
    precision: str = "fp32"
    output_type: str = "float32"
    declared: Mapping[str, str] = field(default_factory=dict, hash=False)
