"""Acceptance sets: cases that a version must get right before it is promoted."""
