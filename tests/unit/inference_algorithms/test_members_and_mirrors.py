"""Several networks as one algorithm, passes over mirrored windows, and windows that are left out."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inference.algorithms.checked_output import ImageScores
from inference.algorithms.engine import Engine, _averaged
from inference.algorithms.folder import VerifiedAlgorithm, verify
from inference.algorithms.sliding_window import predict_volume, sliding_window
from inference.errors import InvalidAlgorithm, InvalidOutput
from inference.settings import WorkerSettings
from tests.peers.tiny_algorithm import network, write_tiny_algorithm
from tests.peers.tiny_classifier import brightness_network, write_tiny_classifier

RANDOM = np.random.default_rng(3)
SETTINGS = WorkerSettings(device="cpu", threads=1)
VOLUME = RANDOM.normal(size=(6, 5, 4)).astype(np.float32)
FAINT = np.clip(np.abs(VOLUME), 0, 4) / 16  # four times of which is a probability


def _shifting(by: float) -> bytes:
    """A network of logits: its input and a constant."""
    return network([helper.make_node("Add", ["x", "by"], ["y"])], [numpy_helper.from_array(np.float32(by), "by")])


def _sloping() -> bytes:
    """A network that gives each voxel its value times its place along the third axis from 1: not the same mirrored."""
    ramp = numpy_helper.from_array(np.arange(1, 5, dtype=np.float32).reshape(1, 1, 1, 1, 4), "ramp")
    return network([helper.make_node("Mul", ["x", "ramp"], ["y"])], [ramp])


def _folder(folder: Path, networks: list[bytes], **inference: object) -> Path:
    digests = [hashlib.sha256(one).hexdigest() for one in networks]
    members = [{"file": f"fold-{i}.onnx", "sha256": one} for i, one in enumerate(digests[1:], 1)]
    artifact = {"file": "model.onnx", "sha256": digests[0], "members": members}
    run = {"input": "x", "output": "y", **inference}
    write_tiny_algorithm(folder, networks[0], artifact=artifact, inference=run)
    for member, content in zip(members, networks[1:], strict=True):
        (folder / member["file"]).write_bytes(content)
    return folder


def _predicted(verified: VerifiedAlgorithm, volume: np.ndarray = VOLUME) -> np.ndarray:
    return predict_volume(Engine(verified, SETTINGS), volume, verified.manifest.inference)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [4, 3, 2], "batch": 2}])
def test_members_of_logits_are_averaged_as_the_manifest_says(tmp_path: Path, mode: dict[str, object]) -> None:
    """blended: the sigmoid of the mean of logits, as nnU-Net does it; each: the mean of probabilities."""
    networks = [_shifting(-1), _shifting(0), _shifting(4)]
    blended = verify(_folder(tmp_path / "blended", networks, activation="sigmoid", **mode))
    each = verify(_folder(tmp_path / "each", networks, activation="sigmoid", activation_of="each", **mode))

    assert _predicted(blended)[0] == pytest.approx(_sigmoid(VOLUME + 1), abs=1e-5)
    assert _predicted(each)[0] == pytest.approx(np.mean([_sigmoid(VOLUME + by) for by in (-1, 0, 4)], axis=0), abs=1e-5)


def _of_channels(count: int) -> bytes:
    """A network that gives each voxel so many times, and leaves open how often."""
    model = onnx.load_model_from_string(network([helper.make_node("Concat", ["x"] * count, ["y"], axis=1)], []))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "channels"
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@pytest.mark.parametrize("counts", [(2, 1), (1, 2), (2, 3)])
def test_members_that_differ_in_their_channels_are_no_mean(tmp_path: Path, counts: tuple[int, int]) -> None:
    """One channel is not laid over each of two, as numpy would do without a word."""
    engine = Engine(verify(_folder(tmp_path, [_of_channels(count) for count in counts])), SETTINGS)

    with pytest.raises(InvalidOutput, match="networks differ in what they give"):
        engine.predict(FAINT[np.newaxis, np.newaxis])


def test_classifiers_that_differ_in_their_classes_are_no_mean() -> None:
    """Nor is one class laid over two, in probabilities or in maps."""
    two, one = np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32)
    maps = np.zeros((3, 2, 8, 8), np.float32)
    for other in (ImageScores(one, None), ImageScores(two, maps[:, :, :4])):
        with pytest.raises(InvalidOutput, match="networks differ in what they give"):
            _averaged([ImageScores(two, maps), other])


def test_the_digest_covers_every_member(tmp_path: Path) -> None:
    """Results of an ensemble name the SHA-256 of what sha256sum prints of its files; other bytes in one change it."""
    networks = [_shifting(0), _shifting(1)]
    verified = verify(_folder(tmp_path / "one", networks))
    other = verify(_folder(tmp_path / "other", [_shifting(0), _shifting(2)]))
    lines = "".join(
        f"{hashlib.sha256(one).hexdigest()}  {name}\n"
        for one, name in zip(networks, ("model.onnx", "fold-1.onnx"), strict=True)
    )

    assert verified.artifact_sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert verified.identity.artifact_sha256 == verified.artifact_sha256 != other.artifact_sha256


def test_one_network_alone_keeps_the_digest_of_its_file(tmp_path: Path) -> None:
    """What was added before there were members is still the same algorithm."""
    content = _shifting(0)

    assert verify(_folder(tmp_path, [content])).artifact_sha256 == hashlib.sha256(content).hexdigest()


def test_a_member_with_other_bytes_is_refused_by_name(tmp_path: Path) -> None:
    """Each member has its digest."""
    folder = _folder(tmp_path, [_shifting(0), _shifting(1)])
    (folder / "fold-1.onnx").write_bytes(_shifting(2))

    with pytest.raises(InvalidAlgorithm, match=r"fold-1\.onnx"):
        verify(folder)


def test_a_member_that_is_no_such_network_is_refused(tmp_path: Path) -> None:
    """Each member is checked like a network alone."""
    other = network([helper.make_node("Identity", ["x"], ["y"])], [], rank=4)

    with pytest.raises(InvalidAlgorithm, match="three, spatial, axes"):
        verify(_folder(tmp_path, [_shifting(0), other]))


def test_members_of_a_classifier_are_averaged(tmp_path: Path) -> None:
    """Probabilities and maps are the means of the members'."""
    networks = [brightness_network(), brightness_network("Sqrt")]
    digests = [hashlib.sha256(one).hexdigest() for one in networks]
    member = {"file": "second.onnx", "sha256": digests[1]}
    artifact = {"file": "model.onnx", "sha256": digests[0], "members": [member]}
    folder = write_tiny_classifier(tmp_path, networks[0], artifact=artifact)
    (folder / "second.onnx").write_bytes(networks[1])

    scores = Engine(verify(folder), SETTINGS).score(np.full((2, 1, 32, 32), 0.25, np.float32))

    assert scores.probabilities[:, 0] == pytest.approx([(0.25 + 0.5) / 2] * 2)
    assert scores.maps is not None
    assert scores.maps[:, 0] == pytest.approx(np.full((2, 8, 8), 0.25))


@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [3, 3, 4], "batch": 2}])
def test_mirrored_passes_are_turned_back_and_averaged(tmp_path: Path, mode: dict[str, object]) -> None:
    """Along the third axis a slope of 1 2 3 4 and the same turned round make 2.5 everywhere."""
    verified = verify(_folder(tmp_path, [_sloping()], mirror_axes=[0, 2], **mode))

    assert _predicted(verified, FAINT)[0] == pytest.approx(2.5 * FAINT, abs=1e-6)


def test_without_mirrors_nothing_is_turned(tmp_path: Path) -> None:
    """The slope stays as it is; nor does turning the other axes change it."""
    slope = np.arange(1, 5)

    assert _predicted(verify(_folder(tmp_path / "none", [_sloping()])), FAINT)[0] == pytest.approx(FAINT * slope)
    turned = verify(_folder(tmp_path / "others", [_sloping()], mirror_axes=[0, 1]))
    assert _predicted(turned, FAINT)[0] == pytest.approx(FAINT * slope)


class _Counting:
    """Adds one half to each voxel, and remembers how many windows it was given."""

    def __init__(self) -> None:
        self.windows = 0

    def predict(self, batch: np.ndarray) -> np.ndarray:
        self.windows += len(batch)
        return batch + np.float32(0.5)


def test_windows_of_background_are_left_out_only_where_the_manifest_says_so() -> None:
    """One bright voxel in a corner: one window of eight is predicted, the others count as 0."""
    volume = np.zeros((8, 8, 8), np.float32)
    volume[6, 6, 6] = 1
    all_of_them, some = _Counting(), _Counting()

    everywhere = sliding_window(all_of_them, volume, (4, 4, 4), 0.0, 3)
    predicted = sliding_window(some, volume, (4, 4, 4), 0.0, 3, background=0.0)

    assert (all_of_them.windows, some.windows) == (8, 1)
    assert everywhere[0] == pytest.approx(volume + 0.5)
    expected = np.zeros_like(volume)
    expected[4:, 4:, 4:] = volume[4:, 4:, 4:] + 0.5
    assert predicted[0] == pytest.approx(expected)


def test_a_volume_of_background_is_still_predicted_once() -> None:
    """Only the network knows how many channels there are."""
    network = _Counting()

    assert sliding_window(network, np.zeros((8, 8, 8), np.float32), (4, 4, 4), 0.5, 2, background=0.0).shape[0] == 1
    assert network.windows == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"mirror_axes": [0, 0]},
        {"mirror_axes": [3]},
        {"background": 0.0},
        {"background": 0.0, "mode": "sliding_window", "window": [4, 4, 4], "activation": "sigmoid"},
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    """An axis twice or unknown, background without windows, or with logits of which 0 is no background."""
    with pytest.raises(InvalidAlgorithm, match="inference"):
        verify(_folder(tmp_path, [_shifting(0)], **wrong))


def test_two_members_of_one_file_are_refused(tmp_path: Path) -> None:
    """A network that is named twice would count twice by mistake."""
    content = _shifting(0)
    digest = hashlib.sha256(content).hexdigest()
    artifact = {"file": "model.onnx", "sha256": digest, "members": [{"file": "model.onnx", "sha256": digest}]}

    with pytest.raises(InvalidAlgorithm, match="same file"):
        verify(write_tiny_algorithm(tmp_path, content, artifact=artifact))
