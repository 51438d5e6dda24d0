"""`overread train`, `evaluate` and `export`: from a data set to a folder that `overread algorithms add` takes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from overread.commands.progress import progress_bars
from training.extra import require_extra

if TYPE_CHECKING:
    from training.learning.fitting import Epoch

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--run", "folder", type=_FOLDER, help="Where the run goes [default: runs/NAME of the algorithm].")
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many, whatever CONFIG says; for a quick try.")
def train(config: Path, folder: Path | None, epochs: int | None) -> None:
    """Train the network that the YAML file CONFIG describes."""
    require_extra()
    from training.main import train as train_run
    from training.settings import load_training_settings

    settings = load_training_settings(config)
    if epochs:
        settings = settings.model_copy(update={"learning": settings.learning.model_copy(update={"epochs": epochs})})
    folder = folder or Path("runs") / settings.algorithm.identity.name
    with progress_bars() as report:

        def progress(epoch: "Epoch") -> None:
            report("Epochs", epoch.epoch, settings.learning.epochs)
            click.echo(
                f"epoch {epoch.epoch}: training loss {epoch.training_loss:.3f}, validation loss "
                f"{epoch.validation_loss:.3f}, AUROC {epoch.validation_auroc:.3f} ({epoch.seconds:.0f} s)"
            )

        fitted = train_run(settings, folder, progress)
    click.echo(f"Kept epoch {fitted.best.epoch}, the best by validation loss, in {folder}")
    click.echo(f"Next: overread evaluate {folder}")


@click.command()
@click.argument("run", type=_FOLDER)
def evaluate(run: Path) -> None:
    """Judge the RUN on test images, with intervals; writes RUN/evaluation/report.html."""
    require_extra()
    from training.evaluation.report import FIGURE_NAMES
    from training.main import evaluate as evaluate_run

    evaluation = evaluate_run(run)
    test = evaluation.test
    click.echo(
        f"{test.images} test images in {test.groups} groups of near-duplicates; each group counts once, "
        f"{evaluation.confidence:.0%} intervals:"
    )
    for name, title in FIGURE_NAMES.items():
        click.echo(f"  {title:34}{test.by_group[name]}")
    click.echo(f"Threshold {evaluation.threshold:.4f}, {evaluation.threshold_rule}.")
    click.echo(f"Report: {run / 'evaluation' / 'report.html'}")


@click.command()
@click.argument("run", type=_FOLDER)
@click.argument("folder", type=_FOLDER)
def export(run: Path, folder: Path) -> None:
    """Write the evaluated RUN as an algorithm FOLDER: ONNX, manifest, golden pair and model card."""
    require_extra()
    from training.main import export as export_run

    verified = export_run(run, folder)
    click.echo(f"{verified.manifest.title} in {folder}; model SHA-256 {verified.artifact_sha256}.")
    click.echo(f"Read {folder / 'card.md'}; then: overread algorithms add {folder}")
