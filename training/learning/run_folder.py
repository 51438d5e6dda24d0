"""A run on disk: what was asked for, with what, how it went, and the weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.datasets.manifest import Dataset, load_dataset
from training.errors import InvalidRun
from training.learning.curves import write_curves
from training.learning.fitting import Fitted
from training.learning.network import EvidenceNetwork, saved_network
from training.settings import TrainingSettings, load_training_settings

SETTINGS_NAME = "settings.yaml"
RECORD_NAME = "run.json"
HISTORY_NAME = "history.csv"
CURVES_NAME = "curves.png"
WEIGHTS_NAME = "weights.pt"
EVALUATION_FOLDER = "evaluation"


class RunRecord(BaseModel):
    """``run.json``: what the weights were made of, so that they can be made again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset_name: str
    dataset_sha256: str
    images: dict[str, int] = Field(description="Per split.")
    groups: dict[str, int] = Field(description="Per split.")
    parameters: int
    epochs: int = Field(description="That were run; the weights are those of the best.")
    best_epoch: int
    seconds: float
    threads: int
    machine: str
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, its data set and its network, checked to belong together."""

    folder: Path
    settings: TrainingSettings
    record: RunRecord
    dataset: Dataset
    network: EvidenceNetwork


def prepare_run_folder(folder: Path) -> None:
    """Make an empty folder for a run.

    Raises:
        InvalidRun: something is there already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InvalidRun(f"{folder} is not empty; give another folder with --run, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)


def write_run(folder: Path, settings: TrainingSettings, record: RunRecord, fitted: Fitted) -> None:
    """Write everything; ``run.json`` comes last, so a folder that has it is complete."""
    absolute = settings.model_copy(update={"dataset": settings.dataset.absolute()})
    document = yaml.safe_dump(absolute.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    (folder / SETTINGS_NAME).write_text(document, encoding="utf-8")
    history = pd.DataFrame([asdict(epoch) for epoch in fitted.history])
    history.to_csv(folder / HISTORY_NAME, index=False, lineterminator="\n")
    write_curves(history, record.best_epoch, folder / CURVES_NAME)
    torch.save(fitted.weights, folder / WEIGHTS_NAME)
    (folder / RECORD_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_run(folder: Path) -> Run:
    """Read a run, and its data set with all checks of that.

    Raises:
        InvalidRun: it is not complete, or the data set is not the one it was trained on.
        InvalidDataset: the data set is not complete and consistent any more.
    """
    try:
        record = RunRecord.model_validate_json((folder / RECORD_NAME).read_bytes())
    except OSError as error:
        raise InvalidRun(
            f"{folder} holds no finished run ({error.strerror}: {RECORD_NAME}); make one with `overread train`."
        ) from None
    except ValidationError:
        raise InvalidRun(f"{folder / RECORD_NAME} is not what `overread train` writes; train again.") from None
    settings = load_training_settings(folder / SETTINGS_NAME)
    dataset = load_dataset(settings.dataset)
    if dataset.sha256 != record.dataset_sha256:
        raise InvalidRun(
            f"The data set in {settings.dataset} is not the one of this run any more; "
            "make it as it was, or train again, or its test images may have been learned from."
        )
    return Run(folder, settings, record, dataset, saved_network(folder / WEIGHTS_NAME, settings.network))


def per_split(dataset: Dataset, names: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Images and groups of each split."""
    rows = {name: dataset.split(name) for name in names}
    return (
        {name: len(table) for name, table in rows.items()},
        {name: int(table["group"].nunique()) for name, table in rows.items()},
    )
