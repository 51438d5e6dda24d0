"""An algorithm folder is checked completely before anything in it runs."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.errors import ArtifactUnavailable, InvalidAlgorithm
from inference.notice import identity_of
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from tests.peers.tiny_algorithm import bright_network, network, write_tiny_algorithm

CPU = WorkerSettings(device="cpu", threads=1)


def test_a_consistent_folder_is_verified(tmp_path: Path) -> None:
    """The digests are those of the files, and the identity carries them."""
    folder = write_tiny_algorithm(tmp_path)

    verified = verify(folder)

    assert verified.artifact_sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert verified.manifest_sha256 == hashlib.sha256((folder / "algorithm.yaml").read_bytes()).hexdigest()
    assert verified.identity.manifest_sha256 == verified.manifest_sha256


@pytest.mark.parametrize(
    ("fixed", "windows", "accepted"),
    [(2, {"batch": 2}, False), (1, {"batch": 2}, False), (1, {}, True), (1, {"batch": 2, "window": None}, True)],
)
def test_a_network_of_volumes_takes_also_the_last_batch(
    tmp_path: Path, fixed: int, windows: dict[str, object], accepted: bool
) -> None:
    """The last windows of a volume fill no batch, so one that is fixed is 1; without windows there is one volume."""
    model = onnx.load_model_from_string(bright_network())
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = fixed
    inference: dict[str, object] = {"mode": "sliding_window", "window": [4, 4, 4]} | windows
    if inference["window"] is None:
        inference["mode"] = "whole_volume"
    folder = write_tiny_algorithm(tmp_path, model.SerializeToString(), inference=inference)

    if accepted:
        assert verify(folder).networks
        return
    with pytest.raises(InvalidAlgorithm, match="open batch"):
        verify(folder)


@pytest.mark.parametrize("name", ["algorithm.yaml", "model.onnx", "card.md"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """Each of the three files is needed."""
    folder = write_tiny_algorithm(tmp_path)
    (folder / name).unlink()

    with pytest.raises(InvalidAlgorithm, match=name):
        verify(folder)


def test_other_bytes_than_the_manifest_names_are_refused(tmp_path: Path) -> None:
    """A network that was replaced or damaged is not loaded."""
    folder = write_tiny_algorithm(tmp_path)
    (folder / "model.onnx").write_bytes(bright_network(1.0))

    with pytest.raises(InvalidAlgorithm, match="not the file that its manifest describes"):
        verify(folder)


def _external(place: str) -> bytes:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if place == "initializer":
        return network([add], [tensor])
    if place == "node":
        return network([constant, add], [])
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [1])])
    yes = numpy_helper.from_array(np.array(True), "yes")
    chosen = helper.make_node("If", ["yes"], ["v"], then_branch=branch, else_branch=branch)
    return network([chosen, helper.make_node("Add", ["x", "v"], ["y"])], [yes])


@pytest.mark.parametrize("place", ["initializer", "node", "branch"])
def test_weights_in_other_files_are_refused(tmp_path: Path, place: str) -> None:
    """External data could name any file of the machine, as an initializer, in a node or in a nested graph."""
    folder = write_tiny_algorithm(tmp_path, _external(place))

    with pytest.raises(InvalidAlgorithm, match="self-contained"):
        verify(folder)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (b"not a network", {}),
        (network([helper.make_node("Identity", ["x"], ["y"])], [], rank=4), {}),
        (network([helper.make_node("Identity", ["x"], ["y"], domain="evil.custom")], []), {}),
        (network([helper.make_node("Conv", ["x"], ["y"])], []), {}),
        (None, {"inference": {"input": "image", "output": "y"}}),
        (None, {"inference": {"input": "x", "output": "probability"}}),
        (None, {"outputs": {"segments": "channel 3"}}),
    ],
)
def test_a_network_that_is_not_the_described_one_is_refused(tmp_path: Path, model: bytes | None, changes: dict) -> None:
    """Broken files, foreign operators, other ranks, names and channels than the manifest's are refused."""
    if "outputs" in changes:
        from tests.peers.tiny_algorithm import MANIFEST

        changes = {"outputs": {"segments": [MANIFEST["outputs"]["segments"][0] | {"channel": 3}]}}
    folder = write_tiny_algorithm(tmp_path, model, **changes)

    with pytest.raises(InvalidAlgorithm):
        verify(folder)


def test_a_fixed_size_must_be_the_manifests(tmp_path: Path) -> None:
    """A network that takes 4 voxels per axis is not given another size."""
    model = onnx.load_model_from_string(bright_network())
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = 4
    content = model.SerializeToString()

    verify(write_tiny_algorithm(tmp_path / "right", content, preprocessing={"target_size": [4, 4, 4]}))
    with pytest.raises(InvalidAlgorithm, match="fixed input size"):
        verify(write_tiny_algorithm(tmp_path / "wrong", content, preprocessing={"target_size": [4, 5, 4]}))


def test_a_file_changed_underneath_changes_nothing(tmp_path: Path) -> None:
    """The session is built from the bytes that were checked, and a loaded algorithm stays loaded."""
    folder = write_tiny_algorithm(tmp_path)
    verified = verify(folder)
    (folder / "model.onnx").write_bytes(b"changed")

    output = Engine(verified, CPU).predict(np.full((1, 1, 2, 2, 2), 200, np.float32))

    assert output == pytest.approx(np.ones((1, 1, 2, 2, 2)))


def test_only_the_registered_bytes_are_made_resident(tmp_path: Path) -> None:
    """A folder that no longer is what was registered makes jobs wait; what was loaded before goes on working."""
    folder = write_tiny_algorithm(tmp_path)
    digests = verify(folder)
    registered = RegisteredAlgorithm(
        "tiny", "1.0", AlgorithmStage.ACTIVE, folder, digests.manifest_sha256, digests.artifact_sha256
    )
    loaded = ResidentAlgorithms(CPU)
    before = loaded.ready(registered)
    write_tiny_algorithm(folder, bright_network(1.0))

    assert loaded.ready(registered) is before
    with pytest.raises(ArtifactUnavailable, match="not the one that was added"):
        ResidentAlgorithms(CPU).ready(registered)


def test_a_version_added_before_texts_were_checked_has_a_sentence(tmp_path: Path) -> None:
    """Its jobs wait and then fail with what is wrong, and a report that there is no result goes by the registration."""
    folder = write_tiny_algorithm(tmp_path, identity={"manufacturer": "ACME\\Labs"})
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("algorithm.yaml", "model.onnx")]
    registered = RegisteredAlgorithm("tiny", "1.0", AlgorithmStage.ACTIVE, folder, *digests)

    with pytest.raises(ArtifactUnavailable, match=r"identity.manufacturer: .*no backslash"):
        ResidentAlgorithms(CPU).ready(registered)
    assert identity_of(registered).manufacturer == "unknown"
