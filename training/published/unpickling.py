"""Opening a pickled checkpoint of strangers: only classes on a list are looked up, everything else ends the reading.

A pickle is a program. It can call whatever its reader lets it find, so a reader that finds tensors, containers and
layers only, lets it do no more than build these.
"""

import pickle
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from training.errors import UntrustedCheckpoint

_TENSORS = frozenset(
    {
        ("__builtin__", "set"),  # as Python 2 called it, and the older protocols still do
        ("builtins", "set"),
        ("collections", "OrderedDict"),
        ("torch", "FloatStorage"),
        ("torch", "LongStorage"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch.nn.modules.batchnorm", "BatchNorm2d"),
        ("torch.nn.modules.conv", "Conv2d"),
    }
)


def read_whole_module(path: Path, stand_ins: Collection[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """The weights of a module that was pickled as a whole.

    Classes named in ``stand_ins``, as (module, name), become empty modules: nothing of the package's code is run.

    Raises:
        UntrustedCheckpoint: the pickle asks for anything that is not on the list, or is damaged.
    """
    reader = ModuleType("reader")
    reader.Unpickler = _unpickler(frozenset(stand_ins))  # type: ignore[attr-defined]
    reader.load = lambda file, **options: reader.Unpickler(file, **options).load()  # type: ignore[attr-defined]
    try:
        module = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
        weights: dict[str, torch.Tensor] = module.state_dict()
    except Exception:  # noqa: BLE001 - bytes of strangers make a reader raise whatever there is
        raise UntrustedCheckpoint from None
    return weights


def _unpickler(stand_ins: frozenset[tuple[str, str]]) -> type[pickle.Unpickler]:
    made: dict[tuple[str, str], type[torch.nn.Module]] = {}

    class Listed(pickle.Unpickler):
        """Finds what is listed, and nothing else."""

        def find_class(self, module_name: str, global_name: str, /) -> Any:  # noqa: ANN401 - as pickle has it
            wanted = module_name, global_name
            if wanted in stand_ins:
                return made.setdefault(wanted, type(global_name, (torch.nn.Module,), {}))
            if wanted in _TENSORS:
                return super().find_class(module_name, global_name)
            raise pickle.UnpicklingError("not on the list")

    return Listed
