"""Libraries that report their use to their makers are kept from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LOAD = """
import {first}
import onnxruntime, onnx, time
from onnx import TensorProto, helper
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab"]
graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "g", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize("first", ["inference.algorithms.engine", "training.export.onnx_file"])
def test_the_model_runtime_keeps_no_diary(first: str, tmp_path: Path) -> None:
    """With our packages imported first, ONNX Runtime makes none of the files in which it collects what it would send.

    Variables that it takes for a build machine, where it stays silent by itself, are left out.
    """
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}

    subprocess.run(
        [sys.executable, "-c", _LOAD.format(first=first)],
        env={**environment, "HOME": str(tmp_path)},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )

    assert [path for path in tmp_path.rglob("*") if "icrosoft" in str(path) or "onnx" in str(path)] == []


def test_only_these_two_packages_load_the_model_runtime() -> None:
    """No module outside inference and training imports ONNX Runtime, so none gets by the switch."""
    loading = {
        path.relative_to(ROOT).parts[0]
        for room in ("inference", "listener", "overread", "storage", "training")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }

    assert loading == {"inference", "training"}
