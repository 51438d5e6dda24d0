"""Who may associate, and the reason given to who may not (PS3.8 section 9.3.4)."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from listener.settings import ListenerSettings, PeerSettings
from storage.domain.identifiers import same_ae_title

_ANY = "*"
_ANYBODY = PeerSettings(ae_title=_ANY, networks=(IPv4Network("127.0.0.0/8"), IPv6Network("::1")))


@dataclass(frozen=True, slots=True)
class Rejection:
    """The fields of an A-ASSOCIATE-RJ PDU (PS3.8 table 9-21), and one sentence for our own records."""

    result: int
    source: int
    reason: int
    sentence: str


CALLING_AE_TITLE_NOT_RECOGNIZED = Rejection(
    1, 1, 3, "The calling AE title and address match no [[listener.peers]] entry."
)
CERTIFICATE_NOT_RECOGNIZED = Rejection(
    1, 1, 3, "The subject of the client certificate is not that of the [[listener.peers]] entry."
)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejection(1, 1, 7, "The peer called an AE title that is not ours.")
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "[listener] max_associations were open already.")
TOO_MANY_FROM_ADDRESS = Rejection(2, 3, 2, "[listener] max_associations_per_address were open already.")
STOPPING = Rejection(2, 3, 1, "The listener was being stopped.")
NO_ROOM = Rejection(2, 3, 1, "The spool was full or its disk could not be written.")
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(1, 1, 2, "The application context was not that of DICOM.")
PROTOCOL_VERSION_NOT_SUPPORTED = Rejection(1, 2, 2, "The peer does not speak version 1 of the protocol.")

REJECTIONS = (
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    CERTIFICATE_NOT_RECOGNIZED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    LOCAL_LIMIT_EXCEEDED,
    TOO_MANY_FROM_ADDRESS,
    NO_ROOM,
    STOPPING,
)


class AssociationPolicy:
    """Decides on association requests.

    AE titles are believed only together with the address they come from, and with the certificate if one is named.
    Where an entry names a certificate for a title, an entry for everybody ("*") lets nobody in under that title.
    """

    def __init__(self, listener: ListenerSettings) -> None:
        self._listener = listener
        self._called = (listener.ae_title, *(route.ae_title for route in listener.routes if route.ae_title))

    def rejection(
        self,
        calling_ae_title: str,
        called_ae_title: str,
        remote_address: str,
        open_associations: int,
        open_from_address: int = 0,
        certificate_subject: str = "",
    ) -> Rejection | None:
        """Why this request is rejected, or ``None`` when it is accepted.

        The counts are those already accepted, all of them and those of this address. A stranger learns nothing about
        our AE title.
        """
        known = self._known_as(calling_ae_title, remote_address)
        if not known:
            return CALLING_AE_TITLE_NOT_RECOGNIZED
        if not any(peer.certificate_subject in ("", certificate_subject) for peer in known):
            return CERTIFICATE_NOT_RECOGNIZED
        if not any(same_ae_title(called_ae_title, title) for title in self._called):
            return CALLED_AE_TITLE_NOT_RECOGNIZED
        if open_associations >= self._listener.max_associations:
            return LOCAL_LIMIT_EXCEEDED
        if open_from_address >= self._listener.max_associations_per_address:
            return TOO_MANY_FROM_ADDRESS
        return None

    def _known_as(self, calling_ae_title: str, remote_address: str) -> list[PeerSettings]:
        """The entries that this title and address match; without any entry, loopback matches one for everybody."""
        address = _address(remote_address)
        if address is None:
            return []
        if not self._listener.peers:
            return [_ANYBODY] if address.is_loopback else []
        peers = self._listener.peers
        if any(peer.certificate_subject and same_ae_title(peer.ae_title, calling_ae_title) for peer in peers):
            peers = tuple(peer for peer in peers if peer.ae_title != _ANY)
        return [peer for peer in peers if _matches(peer, calling_ae_title, address)]


def title_is_listed(listener: ListenerSettings, ae_title: str, remote_address: str) -> bool:
    """Whether a [[listener.peers]] entry gives this title, by its name, to this address; "*" names nobody."""
    address = _address(remote_address)
    return address is not None and any(
        peer.ae_title != _ANY and _matches(peer, ae_title, address) for peer in listener.peers
    )


def _matches(peer: PeerSettings, calling_ae_title: str, address: IPv4Address | IPv6Address) -> bool:
    known = peer.ae_title == _ANY or same_ae_title(peer.ae_title, calling_ae_title)
    return known and any(address in network for network in peer.networks)


@lru_cache(maxsize=1024)
def _address(remote_address: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(remote_address)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # a dual-stack socket shows IPv4 peers so
    return address
