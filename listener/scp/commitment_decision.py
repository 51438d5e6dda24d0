"""Decides on requests for storage commitment: only what is named by a row and whole on disk is committed to."""

import logging
import time
from collections.abc import Callable

from listener.scp.commitment import CLASS_INSTANCE_CONFLICT, NO_SUCH_OBJECT_INSTANCE, PROCESSING_FAILURE
from listener.scp.presentation_contexts import is_never_stored
from storage.domain.commitment import CommitmentRequest, HeldInstance
from storage.domain.completeness import EvidenceKind
from storage.errors import DamagedObject, StorageError
from storage.ports.commitment import CommitmentRequests, HeldInstances
from storage.ports.completeness import CompletenessClaims

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds in which an instance may still come; peers ask while others of their lines are sending


class CommitmentDecision:
    """Goes through the requests that wait.

    ``waits`` says whether an instance is acknowledged but has no row yet; ``verify`` reads a file whole and raises
    DamagedObject unless it has this digest. ``claims`` learns what each request names.
    """

    def __init__(
        self,
        requests: CommitmentRequests,
        held: HeldInstances,
        waits: Callable[[str], bool],
        verify: Callable[[str, str], object],
        patience: float = _PATIENCE,
        claims: CompletenessClaims | None = None,
    ) -> None:
        self._requests = requests
        self._held = held
        self._waits = waits
        self._verify = verify
        self._patience = patience
        self._claims = claims
        self._asked_since: dict[str, float] = {}

    def decide_all(self) -> None:
        """Settle what can be settled now; what cannot waits for the next time."""
        now = time.monotonic()
        undecided = list(self._requests.undecided())
        self._asked_since = {request_id: self._asked_since.get(request_id, now) for request_id, _ in undecided}
        for request_id, request in undecided:
            try:
                failures = self._failures(request, now - self._asked_since[request_id])
                if failures is not None:
                    self._note(request_id, request)
            except StorageError:
                return  # the database is away
            if failures is not None:
                self._requests.settle(request_id, failures)
                log.info(
                    "Of %d instances that a peer asked about, %d are not committed to.",
                    *(len(request.references), len(failures)),
                )

    def _note(self, request_id: str, request: CommitmentRequest) -> None:
        """What a peer asks about is evidence of what its studies hold; noted first, so that no restart loses it."""
        if self._claims is not None:
            uids = {
                reference.sop_instance_uid
                for reference in request.references
                if not is_never_stored(reference.sop_class_uid)
            }
            self._claims.note(request_id, EvidenceKind.COMMITMENT, request.calling_ae_title, uids)

    def _failures(self, request: CommitmentRequest, waited: float) -> dict[str, int] | None:
        """The Failure Reason of each instance that is not committed to; ``None`` while one may still get its row.

        ``waited`` is for how many seconds the request has been known here.
        """
        uids = {reference.sop_instance_uid for reference in request.references}
        if any(self._waits(uid) for uid in uids):  # looked at first: whoever gets a row stops waiting after it
            return None
        held = self._held.of(uids)
        if uids - held.keys() and waited < self._patience:
            return None
        failures = {}
        for reference in dict.fromkeys(request.references):  # each file is read once, however often it is named
            reason = self._reason(
                held.get(reference.sop_instance_uid), reference.sop_class_uid, reference.sop_instance_uid
            )
            if reason is not None:
                failures[reference.key] = reason
        return failures

    def _reason(self, held: HeldInstance | None, sop_class_uid: str, sop_instance_uid: str) -> int | None:
        if held is None:
            return NO_SUCH_OBJECT_INSTANCE
        if held.sop_class_uid != sop_class_uid:
            return CLASS_INSTANCE_CONFLICT
        try:
            self._verify(sop_instance_uid, held.sha256)
        except DamagedObject as error:
            log.error("%s", error)
            return PROCESSING_FAILURE
        return None
