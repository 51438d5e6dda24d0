"""Requests for storage commitment until their report has arrived: small files that survive a restart.

``<id>.json`` is the request, ``<id>.report`` its answer once it is known, ``<id>.taken`` the same while somebody
delivers it. Whoever renames a report first delivers it.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from storage.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from storage.objects.durable import remove, write_new
from storage.objects.layout import DataFolder
from storage.objects.message_folder import MessageFolder

_TAKEN_SECONDS = 120.0  # after which whoever took a report has died


class CommitmentFolder:
    """Implements the port CommitmentRequests; threads and processes may share one folder.

    How long something has been there is what this object saw of it, so that no clock that is set plays a part.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._messages = MessageFolder(folder.commitments, "request for storage commitment")
        self._taken_since: dict[str, float] = {}

    def keep(self, request: CommitmentRequest) -> str:
        """Make a request durable and return its identifier.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        content = asdict(request) | {"received_at": request.received_at.isoformat()}
        return self._messages.keep(request.calling_ae_title, content)

    def undecided(self) -> Iterator[tuple[str, CommitmentRequest]]:
        """The requests whose answer is not known yet, oldest first; a file that is none any more is removed."""
        for request_id in self._messages.all():
            if not any(self._messages.path(request_id, suffix).exists() for suffix in (".report", ".taken")):
                request = self._messages.read(request_id, _request)
                if request is not None:
                    yield request_id, request

    def settle(self, request_id: str, failures: dict[str, int]) -> None:
        """The answer is known. Raises OSError."""
        draft = self._messages.path(request_id, ".part")
        remove(draft)
        write_new(draft, json.dumps(failures).encode())
        draft.rename(self._messages.path(request_id, ".report"))

    def settled(self) -> list[str]:
        """Identifiers of the reports that nobody has taken; one whose taker has died is given back first."""
        now = time.monotonic()
        taken = self._messages.all(".taken")
        self._taken_since = {request_id: self._taken_since.get(request_id, now) for request_id in taken}
        for request_id, since in self._taken_since.items():
            if now - since > _TAKEN_SECONDS:
                self.give_back(request_id)
        return self._messages.all(".report")

    def take(self, request_id: str) -> CommitmentReport | None:
        """Deliver a report, and nobody else may; ``None`` when it is not known or somebody does already."""
        taken = self._messages.path(request_id, ".taken")
        try:
            self._messages.path(request_id, ".report").rename(taken)
            failures = json.loads(taken.read_bytes())
        except (OSError, ValueError):
            return None
        request = self._messages.read(request_id, _request)
        if request is not None:
            return CommitmentReport(request, failures)
        if not self._messages.path(request_id).exists():
            self.forget(request_id)
        return None

    def give_back(self, request_id: str) -> None:
        """It could not be delivered."""
        with contextlib.suppress(OSError):
            self._messages.path(request_id, ".taken").rename(self._messages.path(request_id, ".report"))

    def forget(self, request_id: str) -> None:
        """It was delivered, or is given up."""
        for suffix in (".json", ".report", ".taken"):
            remove(self._messages.path(request_id, suffix))


def _request(content: dict[str, Any]) -> CommitmentRequest:
    references = tuple(Reference(**each) for each in content.pop("references"))
    received_at = datetime.fromisoformat(content.pop("received_at"))
    return CommitmentRequest(references=references, received_at=received_at, **content)
