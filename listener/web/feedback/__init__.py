"""Verdicts on results, for programs."""
