"""The loop learns what can be learned, the same again for the same seed, and never from a spoilt data set."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from inference.algorithms.classification_manifest import ImagePreprocessing
from tests.peers.trained_run import spot_run, spot_settings
from training.errors import InvalidRun, StraddlingDataset
from training.learning.augmentation import Augmentation
from training.learning.blanks import with_blanks
from training.learning.fitting import Images, RunningMean, balanced, drawn
from training.learning.network import EvidenceNetwork
from training.learning.run_folder import load_run
from training.main import evaluate, train
from training.settings import AugmentationSettings, NetworkSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated run."""
    return spot_run(tmp_path_factory.mktemp("learning"))


def test_a_spot_is_learned(run: Path) -> None:
    """On discs with and without a bright spot, the test images, never learned from, are told apart."""
    assert evaluate(run).test.by_group["auroc"].value > 0.9


def test_a_run_says_what_it_was_made_of(run: Path) -> None:
    """Settings, versions, digest of the data, one line per epoch, curves, weights that are tensors only."""
    loaded = load_run(run)
    history = pd.read_csv(run / "history.csv")

    assert loaded.record.dataset_sha256 == loaded.dataset.sha256
    assert {"torch", "monai", "overread", "python"} <= set(loaded.record.versions)
    assert len(history) == loaded.record.epochs
    assert history["validation_loss"].idxmin() + 1 == loaded.record.best_epoch
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert all(isinstance(one, torch.Tensor) for one in torch.load(run / "weights.pt", weights_only=True).values())


def test_the_same_seed_gives_the_same_weights(run: Path) -> None:
    """Training again on this machine comes to the same numbers, bit by bit."""
    settings = spot_settings(run.parent)
    again = train(settings, run.parent / "again", lambda _: None)

    first = torch.load(run / "weights.pt", weights_only=True)
    assert all(torch.equal(first[name], again.weights[name]) for name in first)


def test_a_straddling_data_set_is_not_learned_from(run: Path, tmp_path: Path) -> None:
    """Train and evaluate check the split themselves, whatever became of the files since they were made."""
    for name in ("spots", "run"):
        shutil.copytree(run.parent / name, tmp_path / name)
    settings = spot_settings(tmp_path)
    table = pd.read_csv(tmp_path / "spots" / "images.csv")
    copy = table.index[table["file"].str.contains("-over")][0]
    table.loc[copy, "split"] = "test" if table.loc[copy, "split"] == "train" else "train"
    table.to_csv(tmp_path / "spots" / "images.csv", index=False)
    document = (tmp_path / "run" / "settings.yaml").read_text()
    (tmp_path / "run" / "settings.yaml").write_text(document.replace(str(run.parent), str(tmp_path)))

    with pytest.raises(StraddlingDataset):
        train(settings, tmp_path / "other", lambda _: None)
    with pytest.raises(StraddlingDataset):
        evaluate(tmp_path / "run")
    assert not (tmp_path / "other").exists()


def test_a_run_is_judged_on_its_own_data_only(run: Path, tmp_path: Path) -> None:
    """Another split of the same images would test on what was learned, so it is refused."""
    for name in ("spots", "run"):
        shutil.copytree(run.parent / name, tmp_path / name)
    settings = (tmp_path / "run" / "settings.yaml").read_text()
    (tmp_path / "run" / "settings.yaml").write_text(settings.replace(str(run.parent), str(tmp_path)))
    description = (tmp_path / "spots" / "dataset.yaml").read_text()
    (tmp_path / "spots" / "dataset.yaml").write_text(description.replace("seed: 1", "seed: 2"))

    with pytest.raises(InvalidRun, match="not the one of this run"):
        load_run(tmp_path / "run")


def test_a_run_is_not_overwritten(run: Path) -> None:
    """Days of training are not lost to a repeated command."""
    with pytest.raises(InvalidRun, match="not empty"):
        train(spot_settings(run.parent), run, lambda _: None)


def test_air_is_a_negative_of_its_own() -> None:
    """Blanks are prepared as the worker prepares air, are negative, and no two of them are one group."""
    random = np.random.default_rng(0)
    images = Images(random.random((8, 20, 30), np.float32), np.ones(8, np.float32), np.repeat(np.arange(4), 2))
    image = ImagePreprocessing(size=(20, 30))

    more = with_blanks(images, 1.5, image, seed=1)

    assert more.planes.shape == (14, 20, 30)
    assert (more.planes[8:].min(), more.planes[8:].max()) == (0, 1)
    assert more.truth.tolist() == [1] * 8 + [0] * 6
    assert more.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert with_blanks(images, 0, image, seed=1) is images


def test_the_kept_weights_are_a_running_mean() -> None:
    """After many steps at one place it is that place; after one jump it has gone a hundredth of the way; 0 follows."""
    network = EvidenceNetwork(NetworkSettings(channels=(2, 2)))
    smooth, direct = RunningMean(network, 0.99), RunningMean(network, 0.0)
    for _ in range(2000):
        smooth.follow(network)
    start = network.evidence.bias.detach().clone()
    network.evidence.bias.data += 1

    smooth.follow(network)
    direct.follow(network)

    assert (smooth.network.evidence.bias - start).item() == pytest.approx(0.01, rel=1e-3)
    assert (direct.network.evidence.bias - start).item() == pytest.approx(1)
    assert not smooth.network.training


def test_an_epoch_draws_fewer_copies_than_there_are() -> None:
    """Of a group of 16, the square root, 4, all different; of single images, each one; with power 1, everything."""
    groups = np.array([0] * 16 + [1] * 9 + [2, 3])

    chosen = drawn(groups, 0.5, np.random.default_rng(0))

    assert len(set(chosen)) == len(chosen)
    assert np.bincount(groups[chosen]).tolist() == [4, 3, 1, 1]
    assert sorted(drawn(groups, 1.0, np.random.default_rng(0))) == list(range(27))
    assert np.bincount(groups[drawn(groups, 0.0, np.random.default_rng(0))]).tolist() == [1, 1, 1, 1]


def test_both_labels_count_alike() -> None:
    """Three positives and one negative: each side carries half of the weight."""
    weights = balanced(np.array([1, 1, 1, 0], np.float32))

    assert weights[:3].sum() == pytest.approx(weights[3:].sum())
    assert weights.mean() == pytest.approx(1)


def test_augmented_images_stay_what_the_worker_gives() -> None:
    """Whatever is varied, values stay in 0 to 1 and the size stays; the same seed varies in the same way."""
    planes = np.random.default_rng(0).random((12, 40, 56)).astype(np.float32)
    settings = AugmentationSettings(noise=0.5, flip=True)

    first = Augmentation(settings, (40, 56), seed=1)(planes)

    assert tuple(first.shape) == (12, 1, 40, 56)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert not torch.equal(first[:, 0], torch.from_numpy(planes))
    assert torch.equal(first, Augmentation(settings, (40, 56), seed=1)(planes))


@pytest.mark.parametrize("command", ["train x.yaml", "evaluate x", "export x y", "dataset brain-mr x"])
def test_without_the_extra_a_sentence_says_what_to_install(command: str, tmp_path: Path) -> None:
    """On a machine without torch, the commands exit 1 with the remedy, and no stack."""
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['overread', *sys.argv[1:]]\n"
        "from overread.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert done.returncode == 1
    assert "install the extras train, cpu and demo" in done.stderr
    assert done.stderr.count("\n") == 1
