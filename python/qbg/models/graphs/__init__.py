"""Networks that qbg writes as ONNX itself. Needs the onnx package; only `qbg models build` loads it.

`builder` knows ONNX, `layers` what networks share and the forms in which they may be written,
`weights` where tensors come from; `res2net` and `inspyrenet` are the networks. Nothing here knows
files or recipes.
"""
