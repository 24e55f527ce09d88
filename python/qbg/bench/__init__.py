"""Measures this machine: plan, run, record. What it found becomes a document that `qbg.report` renders.

Nothing here prints. Loaded only by `qbg bench`.
"""
