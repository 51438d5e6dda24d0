"""The pictures of the evaluation report, as PNG bytes: curves, and images with what the network looked at."""

import io

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.figures import Flags, Numbers
from training.evaluation.judgement import Judgement

_TILE = 192  # pixels per side
_OPACITY = 0.55  # of the overlay where the evidence is strongest


def roc_picture(truth: Flags, probability: Numbers, threshold: float) -> bytes:
    """Sensitivity over 1 - specificity, by image, with the point of the threshold."""
    levels = np.concatenate([[2.0], np.sort(np.unique(probability))[::-1]])
    called = probability[np.newaxis] >= levels[:, np.newaxis]
    found, alarmed = called[:, truth].mean(axis=1), called[:, ~truth].mean(axis=1)
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="lightgrey")
    axes.step(alarmed, found, where="post")
    at = probability >= threshold
    axes.plot(at[~truth].mean(), at[truth].mean(), "o", label=f"threshold {threshold:.3f}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, test images", aspect="equal")
    axes.legend(loc="lower right")
    return _png(figure)


def reliability_picture(judgement: Judgement) -> bytes:
    """What happened over what was said, the size of a point being the number of images."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="lightgrey")
    said = [one.said for one in judgement.reliability]
    happened = [one.happened for one in judgement.reliability]
    axes.plot(said, happened, color="tab:blue", linewidth=1)
    axes.scatter(said, happened, [10 + one.images for one in judgement.reliability], color="tab:blue", alpha=0.6)
    axes.set(xlabel="mean probability", ylabel="share positive", title="Calibration, test images", aspect="equal")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    return _png(figure)


def histogram_picture(truth: Flags, probability: Numbers, threshold: float, labels: tuple[str, str]) -> bytes:
    """How the probabilities of both labels are spread."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, 26)
    axes.hist([probability[~truth], probability[truth]], bins=edges.tolist(), stacked=True, label=list(labels))
    axes.axvline(threshold, color="black", linestyle=":")
    axes.set(xlabel="probability", ylabel="images", title="Test images")
    axes.legend()
    return _png(figure)


def evidence_picture(plane: NDArray[np.float32], evidence: NDArray[np.float32], strongest: float) -> bytes:
    """An image, and beside it the same with the places that speak for the positive class in red.

    ``strongest`` is the evidence of full colour, so that pictures can be compared with each other.
    """
    size = (_TILE, _TILE)
    grey = cv2.resize(np.clip(plane, 0, 1), size, interpolation=cv2.INTER_LINEAR)
    bare = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    level = cv2.resize(np.clip(evidence / max(strongest, 1e-6), 0, 1), size, interpolation=cv2.INTER_LINEAR)
    alpha = (_OPACITY * level)[:, :, np.newaxis]
    red = np.array([0.15, 0.15, 1.0], np.float32)  # OpenCV's order: blue, green, red
    marked = bare * (1 - alpha) + red * alpha
    return _encoded(np.hstack([bare, marked]))


def _encoded(values: NDArray[np.float32]) -> bytes:
    _, content = cv2.imencode(".png", np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return bytes(content)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()
