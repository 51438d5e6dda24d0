"""The worklist that other systems see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.domain.search import Found, Page
from storage.domain.workitem import DataSet, NewWorkitem, Workitem, WorkitemRequest, WorkitemStatus
from storage.domain.workitem_event import WorkitemEvent


@dataclass(frozen=True, slots=True)
class CancelWish:
    """Why somebody who does not perform a workitem wants it canceled (PS3.4 Table CC.2.2-1); by tags."""

    told: DataSet


class Subscriptions(Protocol):
    """Who is told of workitems; each method raises DatabaseUnavailable, and SubscriberOfAnother for another's title.

    The target is the UID of a workitem, or of the worklist (WORKLIST_UID, FILTERED_UID).
    """

    def subscribe(
        self,
        target: str,
        ae_title: str,
        account: str,
        *,
        deletion_lock: bool,
        keys: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """From now on. Raises WorkitemRefused or WorklistFull."""
        ...

    def unsubscribe(self, target: str, ae_title: str, account: str) -> None:
        """No more. Raises WorkitemRefused or WorklistFull."""
        ...

    def suspend(self, ae_title: str, account: str) -> None:
        """Of no further new workitems. Raises WorklistFull."""
        ...

    def open(self, ae_title: str, account: str) -> None:
        """An AE is there to be told. Raises WorklistFull."""
        ...

    def events(self, ae_title: str) -> list[WorkitemEvent]:
        """What it has not been told yet, oldest first."""
        ...

    def sent(self, ae_title: str, event_ids: Sequence[int]) -> None:
        """These have been sent."""
        ...


class Worklist(Protocol):
    """Workitems by their SOP Instance UIDs; each method raises DatabaseUnavailable.

    What names a workitem that is not there, or is not allowed in its state, raises WorkitemRefused.
    """

    def create(self, workitem: NewWorkitem, actor: str) -> None:
        """Put a new one on the worklist. Raises WorkitemRefused, also when there are as many as may be."""
        ...

    def get(self, sop_instance_uid: str) -> Workitem:
        """One workitem."""
        ...

    def search(self, keys: Mapping[str, Sequence[str]], page: Page) -> Found[Workitem]:
        """Those that match, the most urgent first; ``keys`` by the names of SEARCH_KEYS, with the values allowed."""
        ...

    def update(self, sop_instance_uid: str, changes: DataSet, transaction_uid: str, actor: str) -> WorkitemStatus:
        """Replace attributes."""
        ...

    def change_state(
        self, sop_instance_uid: str, request: WorkitemRequest, transaction_uid: str, actor: str
    ) -> WorkitemStatus:
        """Claim, complete or cancel."""
        ...

    def request_cancel(self, sop_instance_uid: str, wish: CancelWish, actor: str) -> WorkitemStatus:
        """Ask for it to be canceled."""
        ...
