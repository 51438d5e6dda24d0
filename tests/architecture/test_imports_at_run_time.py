"""What a role really loads, beyond what the source text says."""

import subprocess
import sys

import pytest

_SHOW_LOADED = """
import sys
{imports}
print("\\n".join(sorted(sys.modules)))
"""


def _loaded_after(imports: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _SHOW_LOADED.format(imports=imports)], check=True, capture_output=True, text=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_listener_loads_no_model_runtime() -> None:
    """`overread listen` runs without onnxruntime, onnx, torch and highdicom in its process."""
    loaded = _loaded_after("import overread.cli, overread.commands.roles, listener.main")

    assert loaded.isdisjoint({"onnxruntime", "onnx", "torch", "highdicom", "nibabel"})


def test_the_web_door_loads_no_model_runtime() -> None:
    """`overread web` runs without onnxruntime, torch and highdicom in its process."""
    loaded = _loaded_after("import overread.cli, overread.commands.roles, listener.web.main")

    assert loaded.isdisjoint({"onnxruntime", "torch", "highdicom", "nibabel"})


def test_the_worker_opens_no_pixels() -> None:
    """`overread work` itself has nothing that reads images or runs models; a child that it can lose has all of it."""
    loaded = _loaded_after("import overread.cli, overread.commands.roles, listener.settings, inference.main")

    assert loaded.isdisjoint({"onnxruntime", "onnx", "highdicom", "pydicom", "numpy", "scipy", "PIL", "yaml"})


@pytest.mark.parametrize(
    "imports",
    [
        "import overread.commands.roles, inference.main, inference.pipeline",
        "import overread.commands.roles, listener.scu.main",
        "import overread.commands.roles, storage.housekeeping.main",
    ],
)
def test_serving_code_loads_no_torch(imports: str) -> None:
    """No role loads torch, so that no checkpoint can ever be unpickled while serving."""
    assert "torch" not in _loaded_after(imports)


def test_the_command_line_loads_no_room_before_it_is_asked() -> None:
    """`overread --help` answers without the database, the network or the models."""
    loaded = _loaded_after("import overread.cli")

    assert loaded.isdisjoint({"sqlalchemy", "pynetdicom", "onnxruntime", "highdicom", "numpy"})
