"""Which children a worker has, as its settings say."""

from dataclasses import dataclass

from inference.algorithms.machine import usable_cores
from inference.model_child.memory import child_bytes
from inference.model_child.process import ChildLimits
from inference.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class ChildPlace:
    """One child: its settings, and what it may take."""

    settings: WorkerSettings
    limits: ChildLimits


def places(worker: WorkerSettings) -> tuple[ChildPlace, ...]:
    """One place for each device, or as many as ``children`` says on the one device."""
    devices = worker.devices or (worker.device,) * worker.children
    limits = ChildLimits(child_bytes(worker.memory_gib, len(devices)), worker.time_limit_s)
    threads = worker.threads or max(usable_cores() // len(devices), 1)
    return tuple(
        ChildPlace(
            worker.model_copy(update={"device": device, "devices": (), "children": 1, "threads": threads}), limits
        )
        for device in devices
    )
