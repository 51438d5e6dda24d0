"""Findings into DICOM objects that viewers show."""
