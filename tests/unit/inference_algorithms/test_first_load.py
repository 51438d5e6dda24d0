"""The first load of a network costs a child at most: whatever it does, a sentence says so."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from inference.algorithms import trial
from inference.algorithms.engine import Engine
from inference.algorithms.folder import read_folder, verify
from inference.algorithms.golden import write_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.output_size import refuse_varying_output
from inference.algorithms.trial import TrialLimits, try_out
from inference.algorithms.trial_child import failure
from inference.errors import InvalidAlgorithm
from inference.settings import WorkerSettings
from tests.peers.hostile_networks import endless_loop, memory_eater, varying_in_size
from tests.peers.tiny_algorithm import bright_network, network, write_tiny_algorithm

_INPUT = np.full((2, 2, 2), 100, np.float32)

_SURE = (1 / (1 + np.exp(99.5 - _INPUT[np.newaxis]))).astype(np.float32)


def _folder(tmp_path: Path, model: bytes, output: np.ndarray | None = None) -> Path:
    folder = write_tiny_algorithm(tmp_path / "algorithm", model)
    write_golden(folder, GoldenVolume(_INPUT, 1 - _SURE if output is None else output))
    return folder


def test_a_network_that_gives_its_golden_output_passes(tmp_path: Path) -> None:
    """The child tells the digests of what it loaded and how near the golden pair was."""
    folder = _folder(tmp_path, bright_network(), _SURE)

    passed = try_out(folder)

    read = read_folder(folder)
    assert (passed.manifest_sha256, passed.artifact_sha256) == (read.manifest_sha256, read.artifact_sha256)
    assert passed.golden is not None
    assert "Dice 1.0000" in passed.golden


def test_a_network_that_gives_another_output_is_refused(tmp_path: Path) -> None:
    """A golden pair that is not met says so with the difference."""
    with pytest.raises(InvalidAlgorithm, match="other outputs on this machine"):
        try_out(_folder(tmp_path, bright_network()))


def test_a_pair_of_another_task_or_shape_is_refused(tmp_path: Path) -> None:
    """Arrays that a segmentation cannot be given are told, not run."""
    folder = write_tiny_algorithm(tmp_path / "algorithm")
    write_golden(folder, GoldenVolume(_INPUT, _INPUT))

    with pytest.raises(InvalidAlgorithm, match="do not belong together"):
        try_out(folder)


def test_a_network_whose_output_varies_in_size_is_refused(tmp_path: Path) -> None:
    """No golden pair is needed to see it: two inputs of one size give outputs of two sizes."""
    with pytest.raises(InvalidAlgorithm, match="has another size for other values of an input of the same size"):
        try_out(write_tiny_algorithm(tmp_path / "algorithm", varying_in_size()))


def test_an_operator_that_counts_values_is_no_reason_by_itself(tmp_path: Path) -> None:
    """What it gives may be used for anything, such as how many voxels there are, and the output is as large as ever."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Size", ["places"], ["count"]),
        helper.make_node("Cast", ["count"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["y"]),
    ]
    algorithm = verify(write_tiny_algorithm(tmp_path / "algorithm", network(nodes, [])))

    refuse_varying_output(algorithm, Engine(algorithm, WorkerSettings(device="cpu", threads=1)))


@pytest.mark.parametrize(
    ("make", "limits", "sentence"),
    [
        (endless_loop, TrialLimits(seconds=12), "did not come to an end of its first load within 12 seconds"),
        (memory_eater, TrialLimits(), "asks for more than the 6144 MiB"),
        (bright_network, TrialLimits(memory=64 * 2**20), "asks for more than the 64 MiB"),
    ],
    ids=["endless", "hungry", "no room at all"],
)
def test_a_hostile_network_ends_with_a_sentence(
    tmp_path: Path, make: Callable[[], bytes], limits: TrialLimits, sentence: str
) -> None:
    """An endless loop ends by the clock, an eater of memory by the limit; the command goes on."""
    with pytest.raises(InvalidAlgorithm, match=sentence):
        try_out(_folder(tmp_path, make()), limits)


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("while True: print('x' * 10000)", "talk without end"),
        ("print('{\"truth\": 1')", "exit status 0, no answer"),
        ("print('{\"truth\": 1}')", "no answer"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import sys; sys.exit('OpenBLAS error: Memory allocation still failed')", r"asks for more than the \d+ MiB"),
        ("import sys; sys.stderr.write('x' * 10**6); sys.exit(1)", "exit status 1"),
    ],
    ids=[
        *("segfault", "abort", "endless answer", "half an answer", "another answer"),
        *("killed", "ended", "no memory", "many last words"),
    ],
)
def test_a_child_that_dies_or_talks_nonsense_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    """Whatever a network makes of the process that loads it, nothing but a refusal comes of it."""
    monkeypatch.setattr(trial, "_command", lambda *_: [sys.executable, "-c", program])

    monkeypatch.setattr(trial, "_OOM_COUNTS", ())  # what becomes of others on this machine says nothing here

    with pytest.raises(InvalidAlgorithm, match=sentence) as refused:
        try_out(write_tiny_algorithm(tmp_path / "algorithm"), TrialLimits(seconds=60))

    assert ("asks for more" in str(refused.value)) == ("asks for more" in sentence)


def test_a_child_that_the_system_killed_for_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL alone tells no reason; the system's count of processes that it killed for lack of memory does."""
    counts = tmp_path / "vmstat"
    counts.write_text("nr_free_pages 7\noom_kill 2\n")
    monkeypatch.setattr(trial, "_OOM_COUNTS", (counts, tmp_path / "missing"))
    program = (
        f"import os, signal; open({str(counts)!r}, 'w').write('nr_free_pages 1\\noom_kill 3\\n'); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    monkeypatch.setattr(trial, "_command", lambda *_: [sys.executable, "-c", program])

    with pytest.raises(InvalidAlgorithm, match="because this machine's memory was used up"):
        try_out(write_tiny_algorithm(tmp_path / "algorithm"), TrialLimits(seconds=60))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), {"failed": "KeyError"}),
        (ImportError("no module"), {"failed": "ImportError"}),
        (OSError(errno.ENOSPC, "full"), {"failed": "OSError"}),
        (OSError(errno.ENOMEM, "none"), {"memory": True}),
        (MemoryError(), {"memory": True}),
        (ImportError("cv2.abi3.so: failed to map segment from shared object"), {"memory": True}),
    ],
    ids=["key", "import", "disk", "no memory", "memory", "library"],
)
def test_an_exception_that_nobody_foresaw_is_told_by_its_kind(error: Exception, told: dict[str, object]) -> None:
    """Memory is the reason only where it was, be it at the root of another exception."""
    later = RuntimeError("later")
    later.__cause__ = error

    assert failure(error) == told
    assert ("memory" in failure(later)) == ("memory" in told)


def test_a_failure_of_ours_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception's kind is told, not its words, which may hold anything."""
    program = 'print(\'{"failed": "KeyError"}\')'
    monkeypatch.setattr(trial, "_command", lambda *_: [sys.executable, "-c", program])

    with pytest.raises(InvalidAlgorithm, match=r"not foreseen \(KeyError\); export it anew"):
        try_out(write_tiny_algorithm(tmp_path / "algorithm"))


def test_a_child_whose_command_is_gone_looks_at_nothing(tmp_path: Path) -> None:
    """A command that is killed before its child is tied to it leaves nothing that loads a network of strangers."""
    command = trial._command(_folder(tmp_path, bright_network(), _SURE), 2**33, 60)
    told = [subprocess.run([*command[:-1], parent], capture_output=True, check=False) for parent in ("1", command[-1])]

    assert (told[0].returncode, told[0].stdout) == (1, b"")
    assert b"manifest_sha256" in told[1].stdout


def test_the_child_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and credentials in the environment of the command do not reach the process that loads the network."""
    monkeypatch.setenv("OVERREAD_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    told = tmp_path / "environment"
    program = f"import json, os; open({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))"
    monkeypatch.setattr(trial, "_command", lambda *_: [sys.executable, "-c", program])

    with pytest.raises(InvalidAlgorithm):
        try_out(write_tiny_algorithm(tmp_path / "algorithm"))

    environment = json.loads(told.read_text())
    assert "secret" not in str(environment.values())
    assert set(environment) <= {*trial._KEPT_VARIABLES, *trial._SPARING, "LC_CTYPE"}


def test_the_child_cannot_write_files(tmp_path: Path) -> None:
    """Its limit on files is nothing at all, and it opens few."""
    script = (
        "from inference.algorithms.trial_child import _confine; import resource; _confine(2**33, 60); "
        "import json; print(json.dumps([resource.getrlimit(one)[0] for one in (resource.RLIMIT_FSIZE, "
        "resource.RLIMIT_CORE, resource.RLIMIT_CPU, resource.RLIMIT_AS)]))"
    )
    told = os.popen(f"{sys.executable} -B -c '{script}'").read()  # noqa: S605 - the words above

    assert json.loads(told) == [0, 0, 60, 2**33]
