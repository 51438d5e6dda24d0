"""Messages as HL7 v2 over MLLP."""

from collections.abc import Callable

from listener.notify.hl7_message import Addresses, control_id, oru_r01
from listener.notify.mllp import exchange
from listener.notify.settings import NotifySettings
from storage.domain.notification import Answer, NotificationRequest


class Hl7Sender:
    """Our side of MLLP; a connection for each message."""

    def __init__(self, place: NotifySettings) -> None:
        self._place = place

    def body(self, request: NotificationRequest) -> bytes:
        """The message without its frame; made once."""
        place = self._place
        return oru_r01(
            request,
            Addresses(
                place.sending_application,
                place.sending_facility,
                place.receiving_application,
                place.receiving_facility,
                place.accession_fields,
            ),
        )

    def send(self, request: NotificationRequest, body: bytes, stopped: Callable[[], bool]) -> Answer:
        """Send it and say what its acknowledgement says."""
        return exchange(self._place, body, control_id(request), stopped)
