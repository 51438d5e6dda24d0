"""Whether the packages of the extra `train` are there, asked before any of them is imported."""

from importlib.util import find_spec

from training.errors import MissingExtra

_PACKAGES = (
    *("torch", "monai", "h5py", "onnxscript", "onnxruntime", "pandas", "sklearn", "matplotlib"),
    *("numpy", "scipy", "cv2", "onnx", "yaml"),
)


def require_extra() -> None:
    """Return if training can run here.

    Raises:
        MissingExtra: a package is missing; the message names it and the remedy.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"Training needs {', '.join(missing)}, which this installation lacks; "
            "install the extras train, cpu and demo in its checkout, as docs/for-ml-engineers.md says."
        )
