"""Published networks as algorithm folders: each from one pinned package, converted to ONNX in a confined process."""
