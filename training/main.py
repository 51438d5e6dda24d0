"""Train, evaluate, export: the three steps from a data set to an algorithm folder."""

import hashlib
import platform
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np

from inference.algorithms.folder import VerifiedAlgorithm
from training.datasets.images import prepared_images, truth
from training.datasets.manifest import Dataset, load_dataset
from training.datasets.splitting import SPLITS, TEST, TRAIN, VALIDATION
from training.evaluation.figures import once_per_group
from training.evaluation.judgement import judge
from training.evaluation.predictions import predictions, splits, table
from training.evaluation.record import PREDICTIONS_NAME, REPORT_NAME, Evaluation, read_evaluation, write_evaluation
from training.evaluation.report import write_report
from training.evaluation.threshold import chosen_threshold, rule_sentence
from training.export.folder import write_algorithm
from training.learning.augmentation import Augmentation
from training.learning.blanks import with_blanks
from training.learning.fitting import Epoch, Fitted, Images, fit
from training.learning.machine import prepare_machine, versions
from training.learning.network import EvidenceNetwork, parameter_count
from training.learning.run_folder import (
    EVALUATION_FOLDER,
    WEIGHTS_NAME,
    RunRecord,
    load_run,
    per_split,
    prepare_run_folder,
    write_run,
)
from training.settings import TrainingSettings

Progress = Callable[[Epoch], None]


def train(settings: TrainingSettings, folder: Path, progress: Progress) -> Fitted:
    """Train as the configuration says and write the run.

    Raises:
        InvalidDataset: the data set is not complete and consistent, or a group stands on two sides.
        InvalidRun: the folder is not empty.
    """
    dataset = load_dataset(settings.dataset)
    prepare_run_folder(folder)
    began = monotonic()
    threads = prepare_machine(settings.learning.seed, settings.learning.threads)
    network = EvidenceNetwork(settings.network)
    seed = settings.learning.seed
    fitted = fit(
        network,
        Augmentation(settings.augmentation, settings.image.size, seed),
        with_blanks(_images(dataset, TRAIN, settings), settings.augmentation.blanks, settings.image, seed),
        _images(dataset, VALIDATION, settings),
        settings.learning,
        progress,
    )
    images, groups = per_split(dataset, SPLITS)
    record = RunRecord(
        dataset_name=dataset.description.name,
        dataset_sha256=dataset.sha256,
        images=images,
        groups=groups,
        parameters=parameter_count(network),
        epochs=len(fitted.history),
        best_epoch=fitted.best.epoch,
        seconds=round(monotonic() - began, 1),
        threads=threads,
        machine=f"{platform.system()} {platform.machine()}",
        versions=versions(),
    )
    write_run(folder, settings, record, fitted)
    return fitted


def evaluate(folder: Path) -> Evaluation:
    """Choose the threshold on validation, judge on test, and write figures, predictions and report into the run.

    Raises:
        InvalidRun: the folder holds no finished run on this data set.
        InvalidDataset: the data set is not complete and consistent any more.
    """
    run = load_run(folder)
    settings = run.settings
    prepare_machine(settings.learning.seed, settings.learning.threads)
    validation, test = splits(run)
    weights = once_per_group(validation.groups)
    threshold = chosen_threshold(validation.truth, validation.probability, weights, settings.threshold)
    judgements = [
        judge(one.truth, one.probability, one.groups, threshold, settings.evaluation, settings.learning.seed)
        for one in (validation, test)
    ]
    evaluation = Evaluation(
        threshold=threshold,
        threshold_rule=rule_sentence(settings.threshold),
        confidence=settings.evaluation.confidence,
        replicates=settings.evaluation.replicates,
        weights_sha256=_sha256(folder / WEIGHTS_NAME),
        validation=judgements[0],
        test=judgements[1],
    )
    home = folder / EVALUATION_FOLDER
    home.mkdir(exist_ok=True)
    table(validation, test, threshold).to_csv(home / PREDICTIONS_NAME, index=False, lineterminator="\n")
    write_report(home / REPORT_NAME, run, evaluation.test, test, evaluation.threshold_rule)
    write_evaluation(folder, evaluation)
    return evaluation


def export(run_folder: Path, folder: Path) -> VerifiedAlgorithm:
    """Write the algorithm folder of an evaluated run.

    Raises:
        InvalidRun: the run was not evaluated.
        ExportDiffers: the exported network is not the trained one.
    """
    run = load_run(run_folder)
    evaluation = read_evaluation(run_folder, _sha256(run_folder / WEIGHTS_NAME))
    prepare_machine(run.settings.learning.seed, run.settings.learning.threads)
    return write_algorithm(run, evaluation, predictions(run, TEST).planes, folder)


def _images(dataset: Dataset, split: str, settings: TrainingSettings) -> Images:
    rows = dataset.split(split)
    return Images(
        prepared_images(dataset, rows, settings.image), truth(dataset, rows), np.asarray(rows["group"], np.intp)
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
