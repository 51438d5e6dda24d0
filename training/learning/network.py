"""The network: convolutions, then one map of evidence whose mean decides, so that every decision shows its places."""

from pathlib import Path

import torch
from torch import Tensor, nn

from training.errors import InvalidRun
from training.settings import NetworkSettings


class EvidenceNetwork(nn.Module):
    """From (batch, 1, rows, columns) in 0 to 1 to a map of evidence (batch, 1, h, w).

    Its mean is the logit of the positive class: a place above 0 speaks for it, one below 0 against it. That is the
    class-activation map of a network that ends in global average pooling and one linear layer, in the other order.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        entering = 1
        for block, leaving in enumerate(settings.channels):
            if block:
                layers.append(nn.MaxPool2d(2))
            layers += [
                nn.Conv2d(entering, leaving, 3, padding=1, bias=False),
                nn.BatchNorm2d(leaving),
                nn.ReLU(inplace=True),
            ]
            entering = leaving
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout2d(settings.dropout)
        self.evidence = nn.Conv2d(entering, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The map of evidence."""
        evidence: Tensor = self.evidence(self.dropout(self.features(images)))
        return evidence


class Served(nn.Module):
    """The same network as it is exported: probabilities (batch, 1) and the map of evidence (batch, 1, h, w)."""

    def __init__(self, network: EvidenceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probability and map."""
        evidence = self.network(images)
        return torch.sigmoid(logits(evidence)), evidence


def logits(evidence: Tensor) -> Tensor:
    """(batch, 1): the mean of each map."""
    return evidence.mean(dim=(2, 3))


def parameter_count(network: nn.Module) -> int:
    """How many numbers were learned."""
    return sum(parameter.numel() for parameter in network.parameters())


def saved_network(path: Path, settings: NetworkSettings) -> EvidenceNetwork:
    """The network with the weights of a run, ready to predict; nothing but tensors is read from the file.

    Raises:
        InvalidRun: the file is missing or holds other weights.
    """
    network = EvidenceNetwork(settings)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise InvalidRun(
            f"{path} does not hold this network's weights ({type(error).__name__}); train again."
        ) from None
    return network.eval()
