"""Asking destinations whether they still have what they acknowledged."""
