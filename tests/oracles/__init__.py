"""Independent definitions that the program is held to, and how closely. Must not import qbg.

The ladder of truth: these oracles (Pillow, NumPy in float64) hold the scalar kernels; the scalar
kernels hold every SIMD level (in the Rust tests). The Pillow that is pinned in requirements-dev.txt is meant.

| what | compared with | tolerance |
|---|---|---|
| resize, 8 bits | Pillow's resize | equal |
| preprocess | the recipe in float64 on Pillow's resize | TENSOR |
| mask from logits | the recipe by hand, Pillow's resize of the map | 99.9 % equal, the rest within LEVEL |
| decode, lossless formats | Pillow, orientation applied | equal |
| decode, JPEG | Pillow (libjpeg-turbo) | equal; CMYK, which rounds elsewhere, 2 * LOSSY_MEAN on average |
| decode, lossy WebP | Pillow (libwebp) | LOSSY_MEAN on average, LOSSY_MAX at most |
| whole mask, PNG and JPEG | by-hand recipe with onnxruntime | at most 0.1 % of pixels beyond LEVEL |
"""

TENSOR = 5e-6
"""Absolute. Values reach 2.7: three roundings to float32 are 7e-7, the rest is room for fused steps."""

LEVEL = 1
LOSSY_MEAN, LOSSY_MAX = 1.0, 12
