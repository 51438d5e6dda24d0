"""Datasets, training, evaluation and export: makes what inference runs, and nothing imports it but the front desk."""

import inference  # noqa: F401 - before any module here loads ONNX Runtime, which it keeps from reporting
