"""How good masks are: metrics, pairs of predictions and truths, and the report. Must not make masks itself.

Needs the extra `qbg[evaluate]` (SciPy: distances and filters).
"""
