"""What a run says of its validation and test images, as a table."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.datasets.images import prepared_images
from training.datasets.splitting import TEST, VALIDATION
from training.evaluation.figures import Flags, Numbers
from training.learning.prediction import predict
from training.learning.run_folder import Run


@dataclass(frozen=True, eq=False)
class Predictions:
    """One split: its rows with a column ``probability``, the prepared images and the maps of evidence."""

    rows: pd.DataFrame
    planes: NDArray[np.float32]
    evidence: NDArray[np.float32]
    truth: Flags

    @property
    def probability(self) -> Numbers:
        """Of each row."""
        return np.asarray(self.rows["probability"], np.float64)

    @property
    def groups(self) -> NDArray[np.intp]:
        """Of each row."""
        return np.asarray(self.rows["group"], np.intp)


def predictions(run: Run, split: str) -> Predictions:
    """Predict one split, from images whose digests are the listed ones.

    Raises:
        InvalidDataset: an image is missing or another one.
    """
    rows = run.dataset.split(split)
    planes = prepared_images(run.dataset, rows, run.settings.image)
    probability, evidence = predict(run.network, planes)
    truth = np.asarray(rows["label"] == run.dataset.description.positive, np.bool_)
    return Predictions(rows.assign(probability=probability), planes, evidence, truth)


def table(validation: Predictions, test: Predictions, threshold: float) -> pd.DataFrame:
    """Both splits in one table, with the call at the threshold."""
    both = pd.concat([validation.rows, test.rows], ignore_index=True)
    columns = ["file", "label", "group", "split", "probability"]
    return both[columns].assign(called=both["probability"] >= threshold)


def splits(run: Run) -> tuple[Predictions, Predictions]:
    """Validation, which chooses the threshold, and test, which is only judged."""
    return predictions(run, VALIDATION), predictions(run, TEST)
