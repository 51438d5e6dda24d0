"""A network of MONAI by its name, with weights that are opened as tensors and nothing else."""

import inspect
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.networks import nets

from storage.domain.plain_file import open_plain
from training.errors import NotExpressible, UntrustedCheckpoint

_WEIGHTS = ("state_dict", "model", "network_weights", "model_state_dict")  # under which some checkpoints keep them


def network_of(name: str, arguments: Mapping[str, Any], checkpoint: Path) -> torch.nn.Module:
    """The network ``monai.networks.nets.NAME(**arguments)`` with the weights of a checkpoint.

    Raises:
        NotExpressible: MONAI has no such network, or it does not take these arguments or weights.
        UntrustedCheckpoint: the file is no plain state dict.
    """
    made = getattr(nets, name, None)
    if not (inspect.isclass(made) and issubclass(made, torch.nn.Module)):
        raise NotExpressible(f"MONAI has no network {name!r}; name a class of monai.networks.nets.")
    try:
        network: torch.nn.Module = made(**arguments)
    except (TypeError, ValueError, KeyError) as error:
        raise NotExpressible(f"{name} cannot be made with these arguments ({type(error).__name__}).") from None
    try:
        network.load_state_dict(_weights(checkpoint))
    except RuntimeError:
        raise NotExpressible(
            f"The weights are not those of {name} with these arguments; correct the arguments."
        ) from None
    return network.eval()


def _weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    try:
        with open_plain(checkpoint) as file:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UntrustedCheckpoint(f"{checkpoint} cannot be read ({error.strerror}); restore it.") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise UntrustedCheckpoint(
            f"{checkpoint.name} is no plain state dict, and nothing else is opened; save model.state_dict() for it."
        ) from None
    for key in _WEIGHTS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise UntrustedCheckpoint(f"{checkpoint.name} holds no state dict; save model.state_dict() and import that.")
    return loaded
