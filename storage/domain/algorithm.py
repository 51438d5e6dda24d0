"""An algorithm as storage knows it: a name, a version, digests, a folder and a stage.

The table of stages also stands in a trigger of the database and in ``docs/reference/algorithm-stages.md``; a test holds
the three equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from storage.errors import InvalidTransition


class AlgorithmStage(StrEnum):
    """Whether an algorithm is given work, and what becomes of its results."""

    REGISTERED = "registered"  # checked and copied, given no work yet
    SHADOW = "shadow"  # given the same studies after all other work; its results stay in the database
    ACTIVE = "active"  # given work; at most one version of a name
    RETIRED = "retired"  # given no work any more


class AlgorithmEvent(StrEnum):
    """What can be decided about a version."""

    SHADOW = "shadow"
    PROMOTE = "promote"
    RETIRE = "retire"


STAGES: dict[tuple[AlgorithmStage, AlgorithmEvent], AlgorithmStage] = {
    (AlgorithmStage.REGISTERED, AlgorithmEvent.SHADOW): AlgorithmStage.SHADOW,
    (AlgorithmStage.REGISTERED, AlgorithmEvent.PROMOTE): AlgorithmStage.ACTIVE,
    (AlgorithmStage.REGISTERED, AlgorithmEvent.RETIRE): AlgorithmStage.RETIRED,
    (AlgorithmStage.SHADOW, AlgorithmEvent.PROMOTE): AlgorithmStage.ACTIVE,
    (AlgorithmStage.SHADOW, AlgorithmEvent.RETIRE): AlgorithmStage.RETIRED,
    (AlgorithmStage.ACTIVE, AlgorithmEvent.SHADOW): AlgorithmStage.SHADOW,
    (AlgorithmStage.ACTIVE, AlgorithmEvent.RETIRE): AlgorithmStage.RETIRED,
    (AlgorithmStage.RETIRED, AlgorithmEvent.SHADOW): AlgorithmStage.SHADOW,
    (AlgorithmStage.RETIRED, AlgorithmEvent.PROMOTE): AlgorithmStage.ACTIVE,
}

_DONE = {AlgorithmEvent.SHADOW: "in shadow", AlgorithmEvent.PROMOTE: "active", AlgorithmEvent.RETIRE: "retired"}


def next_stage(stage: AlgorithmStage, event: AlgorithmEvent, title: str) -> AlgorithmStage:
    """The stage that follows a decision about the version that ``title`` names.

    Raises:
        InvalidTransition: the table has no such row, because the version stands there already.
    """
    try:
        return STAGES[stage, event]
    except KeyError:
        raise InvalidTransition(f"{title} is {_DONE[event]} already; nothing was changed.") from None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where each version of a name stood at one moment, such as when somebody began to decide about one of them."""

    stages: Mapping[str, AlgorithmStage]

    @property
    def active(self) -> str | None:
        """The version that was given work."""
        return next((version for version, stage in self.stages.items() if stage is AlgorithmStage.ACTIVE), None)


@dataclass(frozen=True, slots=True)
class InputNeeds:
    """What the input contract wants of a series at least; ``least_images`` is 0 where that is not known."""

    modalities: tuple[str, ...] = ()
    least_images: int = 0


@dataclass(frozen=True, slots=True)
class RegisteredAlgorithm:
    """One version of an algorithm, with the digests that were checked when it was added."""

    name: str
    version: str
    stage: AlgorithmStage
    folder: Path
    manifest_sha256: str
    artifact_sha256: str
    needs: InputNeeds = InputNeeds()
