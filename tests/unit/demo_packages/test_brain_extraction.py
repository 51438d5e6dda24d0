"""deepbrain's published weights become an ONNX algorithm folder, byte for byte the same each time."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, special

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.settings import WorkerSettings
from overread.demo.brain_extraction import onnx_bytes, write_brain_extraction
from overread.demo.tensorflow_graph import UnreadableGraph, float_constants


def test_the_folder_is_a_valid_algorithm(deepbrain_wheel: Path, tmp_path: Path) -> None:
    """It passes the check that `overread algorithms add` makes, and its card says what it is not."""
    folder = write_brain_extraction(deepbrain_wheel, tmp_path / "deepbrain")

    verified = verify(folder)

    assert verified.manifest.title == "deepbrain 0.1"
    card = (folder / "card.md").read_text()
    assert "Not a medical device" in card
    assert verified.artifact_sha256 in card


def test_the_same_wheel_gives_the_same_bytes(deepbrain_wheel: Path) -> None:
    """The digest of the artifact is a fact about the wheel, not about the day."""
    assert onnx_bytes(deepbrain_wheel) == onnx_bytes(deepbrain_wheel)


def test_every_published_parameter_is_in_the_network(deepbrain_wheel: Path) -> None:
    """171,465 parameters, as the author's graph has them."""
    with zipfile.ZipFile(deepbrain_wheel) as archive:
        constants = float_constants(archive.read("deepbrain/models/graph.pb"))

    assert sum(v.size for name, v in constants.items() if name.endswith(("/kernel", "/bias"))) == 171_465


def test_the_network_computes_what_its_layers_say(deepbrain_wheel: Path, tmp_path: Path) -> None:
    """ONNX Runtime agrees with the layers written out with scipy, TensorFlow's padding included."""
    with zipfile.ZipFile(deepbrain_wheel) as archive:
        weights = float_constants(archive.read("deepbrain/models/graph.pb"))
    # Something like tissue in one corner: the edge is where paddings differ.
    volume = np.zeros((128, 128, 128), np.float32)
    noise = np.random.default_rng(1).random((48, 48, 48), np.float32)
    volume[:48, :48, :48] = 0.3 + ndimage.gaussian_filter(noise, 2) * 0.4
    engine = Engine(verify(write_brain_extraction(deepbrain_wheel, tmp_path)), WorkerSettings(device="cpu"))

    output = engine.predict(volume[None, None])[0, 0]

    # The network looks less than 48 voxels far, so the corner does not know how large the volume is.
    expected = _by_hand(weights, volume[:80, :80, :80])
    assert output[:32, :32, :32] == pytest.approx(expected[:32, :32, :32], abs=1e-4)
    assert expected[:32, :32, :32].std() > 0.01


def _by_hand(weights: dict[str, np.ndarray], volume: np.ndarray) -> np.ndarray:
    def conv(x: np.ndarray, layer: str) -> np.ndarray:
        kernel, bias = weights[f"{layer}/kernel"], weights[f"{layer}/bias"]
        out = [
            sum(ndimage.correlate(x[i], kernel[..., i, o], mode="constant") for i in range(kernel.shape[3]))
            + bias.reshape(-1)[o]
            for o in range(kernel.shape[4])
        ]
        return np.stack(out)

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def pool(x: np.ndarray) -> np.ndarray:
        c, d, h, w = x.shape
        return x.reshape(c, d // 2, 2, h // 2, 2, w // 2, 2).max((2, 4, 6))

    def grow(x: np.ndarray, layer: str) -> np.ndarray:
        # The transpose of a strided SAME convolution: input voxel i spreads over 2i, 2i + 1 and 2i + 2.
        kernel = weights[f"{layer}/kernel"]
        size = [2 * n for n in x.shape[1:]]
        out = np.zeros((kernel.shape[3], *[n + 1 for n in size]), np.float32)
        for a, b, c in np.ndindex(3, 3, 3):
            spread = np.einsum("oi,idhw->odhw", kernel[a, b, c], x)
            out[:, a : a + size[0] : 2, b : b + size[1] : 2, c : c + size[2] : 2] += spread
        return out[:, :-1, :-1, :-1]

    first = relu(conv(relu(conv(volume[None], "conv3d")), "conv3d_1"))
    second = relu(conv(relu(conv(pool(first), "conv3d_2")), "conv3d_3"))
    third = relu(conv(relu(conv(pool(second), "conv3d_4")), "conv3d_5"))
    up = relu(conv(np.concatenate([grow(pool(third), "conv3d_transpose"), third]), "conv3d_6"))
    up = relu(conv(np.concatenate([grow(up, "conv3d_transpose_1"), second]), "conv3d_7"))
    up = relu(conv(np.concatenate([grow(up, "conv3d_transpose_2"), first]), "conv3d_8"))
    result: np.ndarray = special.expit(conv(up, "conv3d_9")[0])
    return result


@pytest.mark.parametrize("damage", [b"\xff" * 40, b"\x0a\xff\xff\xff\x7f", b"\x0b"])
def test_a_damaged_graph_is_refused(damage: bytes) -> None:
    """Bytes that are no GraphDef end with a sentence, not with an index error."""
    with pytest.raises(UnreadableGraph):
        float_constants(damage)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    """So does a package without the network."""
    (tmp_path / "other.whl").write_bytes(b"not a zip")

    with pytest.raises(UnreadableGraph):
        onnx_bytes(tmp_path / "other.whl")


def test_a_version_stands_for_one_set_of_bytes(deepbrain_wheel: Path, tmp_path: Path) -> None:
    """An installation that already has this version must find the same bytes: a change of them needs a new version."""
    verified = verify(write_brain_extraction(deepbrain_wheel, tmp_path))

    assert {(verified.manifest.identity.version, verified.manifest_sha256, verified.artifact_sha256)} == {
        (
            "0.1",
            "04ff9551aa2711b27cdd61b9868512364cdd0060036c08b5e75e9e927f7a7c70",
            "8d132426eb28f0fed869ddbcfd20e556bad3b5df59af4bd9275fbc65cf99e3e0",
        )
    }
