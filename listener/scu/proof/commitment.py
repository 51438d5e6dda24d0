"""Proof by storage commitment: the destination is asked to take charge of the objects (N-ACTION, PS3.4 section J.3.2).

Its report (N-EVENT-REPORT) may come on the association on which it was asked, which we keep open for a moment, or later
on an association that the destination opens to our listener.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from listener.scp.commitment import SOP_CLASS, SOP_INSTANCE
from listener.scp.commitment_reports import report_of
from listener.scu.association import Deadlines, Line, associate, release, why_not_established
from listener.scu.proof.inquiry import nothing_said
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, no_answer_note
from storage.domain.commitment import Believed, ReceivedReport
from storage.domain.proof import ObjectAnswer, ProofRequest
from storage.errors import StorageError, UnreadableDataSet

_LOG = logging.getLogger(__name__)

_LINGER_SECONDS = 5.0
_REQUEST_ACTION = 1  # Action Type ID (PS3.4 table J.3-1)
_SUCCESS, _PROCESSING_FAILURE, _INVALID_ARGUMENT = 0x0000, 0x0110, 0x0115
_NOT_OFFERED = (
    "The destination accepts no storage commitment from us; enable it there, or set proof to another way in its "
    "[[destinations]] entry."
)
_BROKEN = "The association ended before the destination answered the request for storage commitment."


class TakeReport(Protocol):
    """Whoever changes the rows as a report says, if it is believed."""

    def __call__(self, report: ReceivedReport, *, title_is_listed: bool) -> Believed:
        """Raises DatabaseUnavailable."""
        ...


class CommitmentInquiry:
    """Implements Inquiry; one N-ACTION for all objects of a request, whose UID is its Transaction UID."""

    def __init__(
        self,
        ae_title: str,
        take: TakeReport,
        deadlines: Deadlines | None = None,
        linger_seconds: float = _LINGER_SECONDS,
    ) -> None:
        self._ae_title = ae_title
        self._take = take
        self._deadlines = deadlines or Deadlines(total=300.0)
        self._linger_seconds = linger_seconds

    def ask(
        self, destination: DestinationSettings, request: ProofRequest, stopped: Callable[[], bool]
    ) -> tuple[ObjectAnswer, ...]:
        """Ask, and stay for a moment; nothing where the destination took the request, because its report says more."""
        reported = threading.Event()

        def take(event: evt.Event) -> tuple[int, None]:
            status = self._taken(event, destination)
            reported.set()
            return status, None

        context = build_context(SOP_CLASS, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        with Line(stopped, self._deadlines) as line:
            try:
                handlers = [(evt.EVT_N_EVENT_REPORT, take)]
                association = associate(self._ae_title, destination, [context], line, handlers)
            except OSError:  # the name of the host could not be resolved
                return nothing_said(request, no_answer_note(NoAnswer.UNKNOWN_HOST))
            if not association.is_established:
                why = why_not_established(association, line)
                return nothing_said(request, _NOT_OFFERED if why is NoAnswer.NOT_ACCEPTED else no_answer_note(why))
            answers = _requested(association, request)
            if not answers and association.is_established:
                reported.wait(self._linger_seconds)
            if association.is_established:
                release(association, line)
        return () if reported.is_set() else answers

    def _taken(self, event: evt.Event, destination: DestinationSettings) -> int:
        """The status of a report on an association that we opened, so that it is the destination who speaks."""
        try:
            report = report_of(event.event_information, destination.ae_title, destination.host)
        except (UnreadableDataSet, ValueError, TypeError, AttributeError):
            return _INVALID_ARGUMENT
        try:
            believed = self._take(report, title_is_listed=True)
        except StorageError:
            return _PROCESSING_FAILURE  # it may report again
        if believed is not Believed.TAKEN:
            _LOG.warning("destination %s reported on what it was not asked (%s)", destination.name, believed)
        return _SUCCESS


def _requested(association: Association, request: ProofRequest) -> tuple[ObjectAnswer, ...]:
    """Send the N-ACTION; nothing where it was taken, else the reason for each object."""
    action = Dataset()
    action.TransactionUID = request.request_uid
    action.ReferencedSOPSequence = []
    for one in request.objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
        action.ReferencedSOPSequence.append(item)
    try:
        answer, _ = association.send_n_action(action, _REQUEST_ACTION, SOP_CLASS, SOP_INSTANCE)
    except (RuntimeError, ValueError):
        return nothing_said(request, _BROKEN)
    status = answer.get("Status")
    if status is None:
        return nothing_said(request, _BROKEN)
    if status == _SUCCESS:
        return ()
    note = f"The destination refused the request for storage commitment (0x{status:04X}); look into its log."
    return nothing_said(request, note, int(status))
