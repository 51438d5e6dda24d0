"""Predictions into findings: segments, measurements."""
