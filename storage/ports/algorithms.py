"""The catalogue of algorithms."""

from typing import Protocol

from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm, Standing
from storage.ports.facts import Facts


class AlgorithmCatalog(Protocol):
    """Which algorithms are installed."""

    def add(
        self,
        algorithm: RegisteredAlgorithm,
        actor: str,
        golden: str | None = None,
        *,
        acceptance_sha256: str = "",
        restored: bool = False,
    ) -> None:
        """Record a version; one that is to be active is promoted in the same transaction."""
        ...

    def acceptance_sha256(self, name: str, version: str) -> str:
        """The digest of the acceptance set that a version was added with; empty where it had none."""
        ...

    def standing(self, name: str) -> Standing:
        """Where every version of a name stands now, to be shown again with the decision that is made on it."""
        ...

    def promote(
        self,
        name: str,
        version: str,
        actor: str,
        details: dict[str, str | int | float | None] | None = None,
        *,
        seen: Standing | None = None,
    ) -> RegisteredAlgorithm | None:
        """Give a version the work of its name from now on; return the version that had it, which is retired."""
        ...

    def shadow(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version the same studies as the active one, with results that stay in the database."""
        ...

    def retire(self, name: str, version: str, actor: str, *, seen: Standing | None = None) -> None:
        """Give a version no more work; retiring the active one leaves its name without any."""
        ...

    def previous(self, name: str) -> RegisteredAlgorithm:
        """The version that was active before the one that was active last. Raises UnknownRecord."""
        ...

    def history(self, name: str, version: str) -> list[Facts]:
        """The audit rows about one version, oldest first."""
        ...

    def result_counts(self, name: str, version: str) -> dict[str, Facts]:
        """How many of a version's jobs came to what."""
        ...

    def find(self, name: str, version: str) -> RegisteredAlgorithm:
        """One version. Raises UnknownRecord."""
        ...

    def all(self, stage: AlgorithmStage | None = None) -> tuple[RegisteredAlgorithm, ...]:
        """Every version, newest first, or those of one stage."""
        ...
