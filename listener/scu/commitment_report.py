"""Reports storage commitment on an association of our own (PS3.4 section J.3.3), for peers that have left."""

import logging
import time
from collections.abc import Iterable

from pynetdicom import AE, build_role
from pynetdicom.presentation import build_context

from listener.scp.commitment import SOP_CLASS, SOP_INSTANCE, report_data_set
from listener.scu.checkpoint import hold_answers
from listener.settings import PeerSettings
from storage.domain.commitment import CommitmentReport
from storage.domain.identifiers import same_ae_title
from storage.ports.commitment import CommitmentRequests

log = logging.getLogger(__name__)

_OWN_ASSOCIATION_SECONDS = 5.0  # the association on which it was asked comes first, while it stands
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 600.0  # seconds between tries
_GIVE_UP_SECONDS = 24 * 3600.0
_TIMEOUT = 30.0


class CommitmentReporter:
    """Delivers reports to the addresses of [[listener.peers]]."""

    def __init__(
        self,
        requests: CommitmentRequests,
        peers: Iterable[PeerSettings],
        own_association_seconds: float = _OWN_ASSOCIATION_SECONDS,
    ) -> None:
        self._requests = requests
        self._peers = [peer for peer in peers if peer.host]
        self._own_association_seconds = own_association_seconds
        self._known_since: dict[str, float] = {}
        self._tries: dict[str, tuple[float, float]] = {}  # next, pause

    def report_all(self) -> None:
        """Deliver what is due; what cannot be delivered is tried again, for a day."""
        now = time.monotonic()
        self._known_since = {each: self._known_since.get(each, now) for each in self._requests.settled()}
        self._tries = {request_id: each for request_id, each in self._tries.items() if request_id in self._known_since}
        for request_id, since in self._known_since.items():
            due, pause = self._tries.get(request_id, (since + self._own_association_seconds, _FIRST_PAUSE))
            if now < due:
                continue
            report = self._requests.take(request_id)
            if report is None:
                continue
            if self._delivered(report) or now - since > _GIVE_UP_SECONDS:
                self._requests.forget(request_id)
                continue
            self._requests.give_back(request_id)
            self._tries[request_id] = (now + pause, min(2 * pause, _LONGEST_PAUSE))

    def _delivered(self, report: CommitmentReport) -> bool:
        """Whether there is nothing left to do."""
        request = report.request
        peer = next((p for p in self._peers if same_ae_title(p.ae_title, request.calling_ae_title)), None)
        if peer is None:
            log.error(
                "A report of storage commitment to %r was dropped: its association had ended, and no "
                "[[listener.peers]] entry of this title has host and port.",
                request.calling_ae_title,
            )
            return True
        entity = AE(request.called_ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _TIMEOUT
        try:
            association = entity.associate(
                peer.host,
                peer.port,
                contexts=[build_context(SOP_CLASS)],
                ae_title=request.calling_ae_title,
                ext_neg=[build_role(SOP_CLASS, scu_role=False, scp_role=True)],
            )
        except (OSError, UnicodeError):  # the name of the host could not be resolved, or can be none
            return False
        if not association.is_established:
            return False
        hold_answers(association)
        event, data_set = report_data_set(report)
        try:
            status, _ = association.send_n_event_report(data_set, event, SOP_CLASS, SOP_INSTANCE)
        except (ValueError, RuntimeError):  # the peer did not accept the context or our role in it
            return False
        finally:
            if association.is_established:
                association.release()
        return bool(status) and status.Status == 0x0000
