"""A pipe in the place of a file: it would be waited for until somebody writes into it, which nobody does."""

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.acceptance.acceptance_set import read_acceptance_set
from inference.acceptance.masks import read_mask
from inference.algorithms.folder import read_folder
from inference.algorithms.golden import read_golden
from inference.algorithms.manifest import read_manifest
from inference.errors import InvalidAcceptanceSet, InvalidAlgorithm
from overread.commands.algorithms_show import _manifest_text
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.plain_file import open_plain
from storage.objects.algorithm_card import card_text
from tests.peers.tiny_algorithm import write_tiny_algorithm
from training.conversion.architecture import network_of
from training.conversion.description import Told
from training.conversion.monai_bundle import import_bundle
from training.conversion.nnunet import import_export
from training.errors import TrainingError

_LONG_S = 60.0


def _installed(folder: Path) -> RegisteredAlgorithm:
    return RegisteredAlgorithm("tiny", "1.0", AlgorithmStage.ACTIVE, folder, "0" * 64, "0" * 64)


def _ends(act: Callable[[], object], pipe: Path) -> object:
    """What it returns or raises; a failure of the test where it waits for the pipe."""
    told: list[object] = []

    def run() -> None:
        try:
            told.append(act())
        except Exception as error:  # noqa: BLE001 - it is looked at below
            told.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_LONG_S)
    if thread.is_alive():
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # let it go
        pytest.fail("it waits for the pipe")
    return told[0]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("algorithm.yaml", read_manifest),
        ("model.onnx", read_folder),
        ("golden.npz", read_golden),
        ("acceptance.yaml", read_acceptance_set),
        ("mask.npz", lambda folder: read_mask(folder / "mask.npz", None)),
        ("mask.dcm", lambda folder: read_mask(folder / "mask.dcm", None)),
        ("configs/inference.json", lambda folder: import_bundle(folder, folder / "out", Told())),
        ("plans.json", lambda folder: import_export(folder, folder / "out", Told())),
        ("model.pt", lambda folder: network_of("UNet", _UNET, folder / "model.pt")),
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    """Each command that reads an algorithm, a set or a network to import ends with its own refusal."""
    folder = write_tiny_algorithm(tmp_path / "tiny")
    pipe = folder / name
    pipe.parent.mkdir(exist_ok=True)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)

    assert isinstance(_ends(lambda: read(folder), pipe), InvalidAlgorithm | InvalidAcceptanceSet | TrainingError)


@pytest.mark.parametrize(("name", "text"), [("card.md", card_text), ("algorithm.yaml", _manifest_text)])
def test_a_page_about_an_algorithm_does_without_what_is_no_file(
    tmp_path: Path, name: str, text: Callable[[RegisteredAlgorithm], str]
) -> None:
    """The dashboard and `overread algorithms show` have no text there, and none of their threads waits."""
    folder = write_tiny_algorithm(tmp_path / "tiny")
    (folder / name).unlink()
    os.mkfifo(folder / name)

    assert _ends(lambda: text(_installed(folder)), folder / name) == ""


def test_a_small_network_takes_little_memory_to_read(tmp_path: Path) -> None:
    """No room is made for the largest network there could be, which a process with a limit does not have."""
    folder = write_tiny_algorithm(tmp_path / "tiny")
    read_folder(folder)
    tracemalloc.start()
    try:
        read_folder(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 * 2**20


def test_what_a_link_leads_to_is_a_file_only_where_it_is_one(tmp_path: Path) -> None:
    """A link to a file is followed, a link to a device and a folder are not read."""
    (tmp_path / "file").write_bytes(b"content")
    for name, target in (("link", tmp_path / "file"), ("zero", Path("/dev/zero"))):
        (tmp_path / name).symlink_to(target)

    with open_plain(tmp_path / "link") as file:
        assert file.read() == b"content"
    for other in ("zero", "."):
        with pytest.raises(OSError, match="not a regular file"):
            open_plain(tmp_path / other)


_UNET = {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "channels": [4, 8], "strides": [2]}
