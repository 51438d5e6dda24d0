"""The sender that belongs to each kind of receiver."""

from collections.abc import Callable, Mapping

from listener.notify.fhir import FhirSender
from listener.notify.hl7 import Hl7Sender
from listener.notify.lane import MessageSender
from listener.notify.settings import NotifySettings
from listener.notify.webhook import WebhookSender
from storage.domain.notification import ReceiverKind

_SENDERS: Mapping[ReceiverKind, Callable[[NotifySettings], MessageSender]] = {
    ReceiverKind.WEBHOOK: WebhookSender,
    ReceiverKind.HL7: Hl7Sender,
    ReceiverKind.FHIR: FhirSender,
}


def sender_of(place: NotifySettings) -> MessageSender:
    """The one that speaks to this receiver."""
    return _SENDERS[ReceiverKind(place.kind)](place)
