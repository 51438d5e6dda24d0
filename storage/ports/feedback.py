"""Verdicts on our results: giving them, and counting them."""

from typing import Protocol

from storage.domain.feedback import Feedback
from storage.domain.returned_object import Look, ReturnedObject
from storage.ports.facts import Facts


class FeedbackBook(Protocol):
    """Every verdict that was ever given; the newest on a finding counts."""

    def give(self, study_instance_uid: str, feedback: Feedback, address: str = "") -> bool:
        """Write a verdict with its audit row; ``False`` where the newest one on the finding says the same already.

        ``address`` is where the request came from.

        Raises:
            UnknownRecord: the study has no such result, or the result no such finding; what is in shadow, or tells why
                nothing was analysed, is not judged.
            DatabaseUnavailable: nothing was written.
        """
        ...

    def of_study(self, study_instance_uid: str) -> list[Facts]:
        """Every verdict on the results of a study, in the order they were given in. Raises DatabaseUnavailable."""
        ...

    def agreement(self, name: str | None = None) -> list[Facts]:
        """Each version of every algorithm, or of one, with its results and what was said of them.

        Raises:
            UnknownRecord: no algorithm has this name.
        """
        ...


class ReturnedObjects(Protocol):
    """Objects that came back and that nobody has looked at yet."""

    def claim(self) -> ReturnedObject | None:
        """Take the oldest one, for a while; ``None`` when none waits.

        One whose looks never ended is put away here. Raises DatabaseUnavailable.
        """
        ...

    def settle(self, returned: ReturnedObject, look: Look) -> None:
        """Write what the look came to, with the verdicts in the same transaction; the second time nothing.

        Raises:
            DatabaseUnavailable: nothing was written, and the object is looked at again later.
        """
        ...
