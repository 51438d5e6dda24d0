"""Turns a stable study into findings, and findings into DICOM evidence."""
