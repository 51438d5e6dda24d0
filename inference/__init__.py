"""Turns a stable study into findings, and findings into DICOM evidence."""

import os

# ONNX Runtime from 1.32 on reports its use to its maker unless told not to, read once when it is loaded. Nothing leaves
# a hospital that its settings do not name.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
