"""A run of the training room on the made-up spots, small enough for a unit test."""

from pathlib import Path

import yaml

from tests.peers.labelled_images import labelled_dataset
from training.main import evaluate, train
from training.settings import TrainingSettings, load_training_settings

SETTINGS = {
    "dataset": "spots",
    "image": {"size": [32, 32], "fit": "pad", "intensity": {"method": "minmax"}},
    "network": {"channels": [8, 16, 16], "dropout": 0.0},
    "augmentation": {"rotate_degrees": 5, "contrast": 0.1},
    "learning": {"epochs": 8, "batch": 8, "learning_rate": 0.02, "seed": 3, "threads": 1},
    "evaluation": {"replicates": 200},
    "algorithm": {
        "identity": {
            "name": "spots",
            "version": "1",
            "manufacturer": "Overread tests",
            "licence": "Apache-2.0",
            "intended_use": "Testing.",
            "use": "research",
        },
        "input": {"modalities": ["MR"]},
        "finding": {"label": "Spot", "finding": {"value": "108369006", "scheme": "SCT", "meaning": "Neoplasm"}},
    },
}


def spot_settings(folder: Path) -> TrainingSettings:
    """The settings of the run, read from a file as a user's are; the data set is made beside it."""
    if not (folder / "spots").exists():
        (folder / "spots").mkdir(parents=True)
        labelled_dataset(folder / "spots")
    (folder / "train.yaml").write_text(yaml.safe_dump(SETTINGS))
    return load_training_settings(folder / "train.yaml")


def spot_run(folder: Path) -> Path:
    """A trained and evaluated run."""
    train(spot_settings(folder), folder / "run", lambda _: None)
    evaluate(folder / "run")
    return folder / "run"
