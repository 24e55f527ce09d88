"""Makes int8 networks of float ones. Needs the onnx package; `qbg.models.quantize` is the door.

The flow: `graph` (float network, ready) -> `photos` (calibration pictures) -> `measure` (ranges and means)
-> `equalize` -> `place` (what becomes int8, scales) -> `walk` (weights rounded and biases corrected, layer by
layer) -> `write` (the ONNX file) -> `gate` (masks of the real session) -> `search` (layers left in float).
"""
