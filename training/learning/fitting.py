"""The loop: epochs of augmented images, judged after each on validation images that are never varied."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from training.evaluation.figures import auroc, log_loss, once_per_group
from training.learning.augmentation import Augmentation
from training.learning.network import EvidenceNetwork, logits
from training.learning.prediction import predict
from training.settings import LearningSettings

Progress = Callable[["Epoch"], None]


@dataclass(frozen=True, slots=True)
class Images:
    """Prepared images of one split, with their truth and their groups."""

    planes: NDArray[np.float32]
    truth: NDArray[np.float32]
    groups: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the training images came to; losses and AUROC count each validation group once."""

    epoch: int
    learning_rate: float
    training_loss: float
    validation_loss: float
    validation_auroc: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """The weights of the best epoch, and how it went."""

    weights: dict[str, Tensor]
    best: Epoch
    history: tuple[Epoch, ...]


def fit(
    network: EvidenceNetwork,
    augmentation: Augmentation,
    training: Images,
    validation: Images,
    settings: LearningSettings,
    progress: Progress,
) -> Fitted:
    """Train until the epochs are used up or validation stopped improving; the best epoch by validation loss wins."""
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    random = np.random.default_rng(settings.seed)
    batches = max(1, len(drawn(training.groups, settings.copies, random)) // settings.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=batches * settings.epochs
    )
    smooth = RunningMean(network, settings.averaging)
    history: list[Epoch] = []
    best: tuple[Epoch, dict[str, Tensor]] | None = None
    for number in range(1, settings.epochs + 1):
        began, network = monotonic(), network.train()
        losses = []
        indices = drawn(training.groups, settings.copies, random)
        weights = balanced(training.truth[indices])
        for places in np.array_split(np.arange(len(indices)), batches):
            chosen = indices[places]
            images = augmentation(training.planes[chosen])
            loss = binary_cross_entropy_with_logits(
                logits(network(images))[:, 0],
                torch.from_numpy(training.truth[chosen]),
                torch.from_numpy(weights[places]),
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            smooth.follow(network)
            rate = float(cycle.get_last_lr()[0])
            cycle.step()
            losses.append(float(loss.detach()))
        loss_now, auroc_now = judged(smooth.network, validation)
        epoch = Epoch(number, rate, float(np.mean(losses)), loss_now, auroc_now, round(monotonic() - began, 2))
        history.append(epoch)
        progress(epoch)
        if best is None or epoch.validation_loss < best[0].validation_loss:
            best = epoch, {name: tensor.detach().clone() for name, tensor in smooth.network.state_dict().items()}
        elif number - best[0].epoch >= settings.patience:
            break
    assert best is not None  # noqa: S101 - there is at least one epoch
    return Fitted(best[1], best[0], tuple(history))


class RunningMean:
    """A second network that follows the first: each weight is a mean of the last steps, the newer the heavier.

    The first jumps about while its learning rate is high; which epoch is the best would be luck.
    """

    def __init__(self, network: EvidenceNetwork, decay: float) -> None:
        self.network = deepcopy(network).eval()
        self._decay = decay
        self._steps = 0

    def follow(self, network: EvidenceNetwork) -> None:
        """Take in the weights after a step; the first steps count more, so that the start is soon forgotten."""
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10))
        newest = network.state_dict()
        with torch.no_grad():
            for name, kept in self.network.state_dict().items():
                if kept.is_floating_point():
                    kept.lerp_(newest[name], 1 - decay)
                else:
                    kept.copy_(newest[name])


def judged(network: EvidenceNetwork, images: Images) -> tuple[float, float]:
    """Log loss and AUROC, each group counting once."""
    probability, _ = predict(network, images.planes)
    row = once_per_group(images.groups)[np.newaxis]
    truth = images.truth > 0
    return float(log_loss(truth, probability, row)[0]), float(auroc(truth, probability, row)[0])


def drawn(groups: NDArray[np.intp], copies: float, random: np.random.Generator) -> NDArray[np.intp]:
    """The images of one epoch, shuffled: of a group of n, n ** ``copies`` (rounded up) that differ."""
    shuffled = random.permutation(len(groups))
    _, inverse, sizes = np.unique(groups[shuffled], return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(len(groups), np.intp)  # of each image within its group, at random
    rank[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    wanted = np.ceil(sizes.astype(np.float64) ** copies - 1e-9)
    chosen: NDArray[np.intp] = shuffled[rank < wanted[inverse]]
    return chosen


def balanced(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each image counts, so that both labels count alike; 1 on average."""
    positive = truth > 0
    share = np.where(positive, positive.mean(), 1 - positive.mean())
    return np.asarray(0.5 / share, np.float32)
