"""Random variations of prepared training images, by MONAI's transforms."""

import numpy as np
import torch
from monai.transforms import Compose, RandAdjustContrast, RandAffine, RandFlip, RandGaussianNoise
from numpy.typing import NDArray

from training.settings import AugmentationSettings


class Augmentation:
    """Varies (row, column) planes that ``prepare_plane`` made; the result is in 0 to 1 again, as the worker's is."""

    def __init__(self, settings: AugmentationSettings, size: tuple[int, int], seed: int) -> None:
        turn = float(np.deg2rad(settings.rotate_degrees))
        self._transform = Compose(
            [
                RandFlip(prob=0.5 if settings.mirror else 0.0, spatial_axis=1),
                RandFlip(prob=0.5 if settings.flip else 0.0, spatial_axis=0),
                RandAffine(
                    prob=settings.probability,
                    rotate_range=turn,
                    translate_range=[settings.shift * extent for extent in size],
                    scale_range=settings.scale,
                    padding_mode="zeros",
                    mode="bilinear",
                ),
                RandAdjustContrast(
                    prob=0.5 if settings.contrast else 0.0, gamma=(1 - settings.contrast, 1 / (1 - settings.contrast))
                ),
                RandGaussianNoise(prob=0.3 if settings.noise else 0.0, std=settings.noise),
            ]
        )
        self._transform.set_random_state(seed=seed)

    def __call__(self, planes: NDArray[np.float32]) -> torch.Tensor:
        """(image, row, column) to a batch (image, 1, row, column)."""
        varied = [torch.as_tensor(np.asarray(self._transform(plane[np.newaxis]))) for plane in planes]
        return torch.stack(varied).to(torch.float32).clamp(0, 1)
