"""The curves of a run, as a picture."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def write_curves(history: pd.DataFrame, best_epoch: int, path: Path) -> None:
    """Losses on the left, validation AUROC on the right; a line marks the epoch whose weights were kept."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, ranking = figure.subplots(1, 2)
    losses.plot(history["epoch"], history["training_loss"], label="training (augmented)")
    losses.plot(history["epoch"], history["validation_loss"], label="validation")
    losses.set_ylabel("log loss")
    losses.set_ylim(0, None)
    losses.legend()
    ranking.plot(history["epoch"], history["validation_auroc"], color="tab:green")
    ranking.set_ylabel("validation AUROC")
    for axes in (losses, ranking):
        axes.axvline(best_epoch, color="grey", linestyle=":")
        axes.set_xlabel("epoch")
    figure.savefig(path, dpi=110)
