"""Requests for storage commitment until their report has arrived: small files that survive a restart.

``<id>.json`` is the request, ``<id>.report`` its answer once it is known, ``<id>.taken`` the same while somebody
delivers it. Whoever renames a report first delivers it.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from storage.domain.commitment import CommitmentReport, CommitmentRequest, Reference
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder, new_entry_id

_MOST = 256  # requests that wait; each may name thousands of instances
_MOST_OF_ONE = 64  # the same of one AE title, so that others have places too
_TAKEN_SECONDS = 120.0  # after which whoever took a report has died


class CommitmentFolder:
    """Implements the port CommitmentRequests; threads and processes may share one folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder.commitments

    def keep(self, request: CommitmentRequest) -> str:
        """Make a request durable and return its identifier.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        peer = hashlib.sha256(request.calling_ae_title.encode()).hexdigest()[:16]
        waiting = self._all(".json")
        if len(waiting) >= _MOST or sum(name.endswith(peer) for name in waiting) >= _MOST_OF_ONE:
            raise SpoolFull
        request_id = f"{new_entry_id()}-{peer}"
        content = asdict(request) | {"received_at": request.received_at.isoformat()}
        draft = self._folder / f"{request_id}.part"
        try:
            write_new(draft, json.dumps(content).encode())
            draft.rename(self._path(request_id))
            sync_folder(self._folder)
        except OSError as error:
            remove(draft)
            raise SpoolWriteFailed from error
        return request_id

    def undecided(self) -> Iterator[tuple[str, CommitmentRequest]]:
        """The requests whose answer is not known yet, oldest first."""
        for request_id in self._all(".json"):
            if not any(self._path(request_id, suffix).exists() for suffix in (".report", ".taken")):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    yield request_id, self._request(request_id)

    def settle(self, request_id: str, failures: dict[str, int]) -> None:
        """The answer is known. Raises OSError."""
        draft = self._path(request_id, ".part")
        remove(draft)
        write_new(draft, json.dumps(failures).encode())
        draft.rename(self._path(request_id, ".report"))

    def settled(self) -> Iterator[tuple[str, float]]:
        """Identifiers of the reports that nobody has taken, and for how many seconds each has been known."""
        for request_id in self._all(".taken"):
            if self._age(request_id, ".taken") > _TAKEN_SECONDS:
                self.give_back(request_id)
        for request_id in self._all(".report"):
            yield request_id, self._age(request_id, ".report")

    def take(self, request_id: str) -> CommitmentReport | None:
        """Deliver a report, and nobody else may; ``None`` when it is not known or somebody does already."""
        taken = self._path(request_id, ".taken")
        try:
            os.utime(self._path(request_id, ".report"))
            self._path(request_id, ".report").rename(taken)
            return CommitmentReport(self._request(request_id), json.loads(taken.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def give_back(self, request_id: str) -> None:
        """It could not be delivered."""
        with contextlib.suppress(OSError):
            self._path(request_id, ".taken").rename(self._path(request_id, ".report"))

    def forget(self, request_id: str) -> None:
        """It was delivered, or is given up."""
        for suffix in (".json", ".report", ".taken"):
            remove(self._path(request_id, suffix))

    def _all(self, suffix: str) -> list[str]:
        return sorted(path.stem for path in self._folder.glob(f"*{suffix}"))

    def _path(self, request_id: str, suffix: str = ".json") -> Path:
        return self._folder / f"{request_id}{suffix}"

    def _age(self, request_id: str, suffix: str) -> float:
        try:
            return time.time() - self._path(request_id, suffix).stat().st_mtime
        except OSError:
            return 0.0

    def _request(self, request_id: str) -> CommitmentRequest:
        fields = json.loads(self._path(request_id).read_bytes())
        references = tuple(Reference(**each) for each in fields.pop("references"))
        received_at = datetime.fromisoformat(fields.pop("received_at"))
        return CommitmentRequest(references=references, received_at=received_at, **fields)
