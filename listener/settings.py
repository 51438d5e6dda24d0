"""Settings of the DICOM door; each is described by its consequence."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from listener.errors import ListenerError
from listener.loopback import is_loopback
from storage.domain.job import Priority
from storage.domain.prior_request import PriorsRule
from storage.domain.route import Route, Routes, Rule, RuleAttribute, Sender

# The default repertoire without backslash, and more than spaces (PS3.5 section 6.2, AE).
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]


class PeerSettings(BaseModel):
    """Who may associate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(description='The calling AE title that is let in; "*" lets in any.')
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        min_length=1, description="The title is believed only from these networks."
    )
    certificate_subject: str = Field(
        default="",
        max_length=1024,
        description=(
            'Under TLS the title is believed only with a certificate of this subject (RFC 4514), such as "CN=ct1,'
            'O=Hospital"; empty: with any that tls_ca signed.'
        ),
    )
    host: str = Field(
        default="",
        description="Where reports of storage commitment go when the peer has ended the association it asked on.",
    )
    port: int = Field(default=0, ge=0, le=65535, description="The port there.")
    priority: Priority | None = Field(
        default=None,
        description=(
            'What the peer sends is analysed, and delivered, with this priority: "stat" before "routine" before "low". '
            "Of what this, the route and the images say, the most urgent counts; nothing said is routine."
        ),
    )


class RuleSettings(BaseModel):
    """What one series of a study has to say of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attribute: RuleAttribute = Field(description="One of the [attributes of rules](routing.md).")
    matches: tuple[Annotated[str, Field(max_length=256)], ...] = Field(
        min_length=1, description="The whole value is one of these; * is any text, ? one character, case is ignored."
    )


class PriorsSettings(BaseModel):
    """Which earlier studies of a patient are fetched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    archive: str = Field(min_length=1, description="The one of the [[archives]] that is asked.")
    modality: str = Field(default="", max_length=16, description='Only studies with it, such as "CT".')
    body_part: str = Field(default="", max_length=16, description="Only studies with a series of it, or of none.")
    most: int = Field(default=2, ge=1, le=20, description="So many, newest first.")
    within_days: int = Field(default=1825, ge=1, description="None that are so many days older.")


class RouteSettings(BaseModel):
    """What becomes of what came under a name of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    door: Literal["dimse", "web"] = Field(
        default="dimse",
        description='With "web" the entry is for what comes over DICOMweb or the API, without ae_title.',
    )
    ae_title: AeTitle = Field(
        default="",
        description=(
            "Peers may call us by this name too; it is kept with each association. What came under several names goes "
            "all their ways; our own ae_title leads everywhere unless it has a route."
        ),
    )
    algorithms: tuple[str, ...] = Field(
        default=(), description="Only the active ones of these names analyse what came under it; empty: every one."
    )
    destinations: tuple[str, ...] = Field(
        default=(), description="Results of it go only to these of the [[destinations]]; empty: to all."
    )
    priority: Priority | None = Field(
        default=None,
        description="What came under it is analysed, and delivered, with this priority, as in [[listener.peers]].",
    )
    rules: tuple[RuleSettings, ...] = Field(
        default=(),
        description=(
            "The entry is only for studies of which one series meets all of them, each with an attribute and what it "
            "matches ([routing](routing.md)). Of several entries of one name the first that holds counts; where none "
            "does, all algorithms and destinations do."
        ),
    )

    priors: PriorsSettings | None = Field(
        default=None,
        description=(
            "Once a study is complete, earlier ones of its patient are [fetched as context](routing.md#priors), with "
            "archive, modality, body_part, most (2) and within_days (1825)."
        ),
    )

    @model_validator(mode="after")
    def _is_of_a_name_or_of_the_web(self) -> "RouteSettings":
        if (self.door == "web") == bool(self.ae_title):
            raise ValueError('an entry needs either ae_title = "…" or door = "web"; add one, or remove the other')
        return self


class SizeLimitSettings(BaseModel):
    """Another limit for the instances of one SOP Class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sop_class_uid: str = Field(pattern=r"^[0-9.]{1,64}$", description="The SOP Class.")
    max_instance_bytes: int = Field(ge=1024, description="Counts for its instances instead of the general limit.")


class ListenerSettings(BaseModel):
    """The door that modalities and PACS push to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: AeTitle = Field(
        default="OVERREAD",
        description="Peers must call us by this name, and we call destinations under it.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on; beyond loopback at least one [[listener.peers]] is required.",
    )
    port: int = Field(default=11112, ge=0, le=65535, description="The TCP port; 0 takes a free one.")
    processes: int = Field(
        default=2, ge=1, le=64, description="How many processes receive on the port; about as many as there are cores."
    )
    peers: tuple[PeerSettings, ...] = Field(
        default=(),
        description="With no entry, only programs on this machine may; with one, they too only if they are listed.",
    )
    routes: tuple[RouteSettings, ...] = Field(default=(), description="Further called AE titles that we answer to.")
    tls_certificate: str = Field(
        default="",
        description=(
            "A PEM file with the certificate chain; with it the port speaks TLS 1.2 and 1.3 only. This and the files "
            "below are read again when they change."
        ),
    )
    tls_key: str = Field(default="", description="The PEM file of the certificate's private key.")
    tls_ca: str = Field(default="", description="A PEM file of the authorities whose client certificates are believed.")
    tls_crl: str = Field(
        default="", description="A PEM file of certificates that were revoked, one list for each of the authorities."
    )
    tls_client_certificates: Literal["required", "none"] = Field(
        default="required",
        description='Peers must show a certificate; "none" encrypts for anybody whom the peers\' list lets in.',
    )
    max_associations: int = Field(
        default=256,
        ge=1,
        le=4096,
        description="Further associations are refused as transient (local limit exceeded); processes count together.",
    )
    max_associations_per_address: int = Field(
        default=64,
        ge=1,
        description="The same for one address, so that a sender gone wrong leaves room for the others.",
    )
    max_instance_bytes: int = Field(
        default=4 * 2**30,
        ge=2**20,
        description="The association of a sender whose data set is larger is aborted, and nothing of it is kept.",
    )
    size_limits: tuple[SizeLimitSettings, ...] = Field(
        default=(), description="Documents are small and whole-slide images are not: limits of their own."
    )
    deflated_transfer_syntaxes: bool = Field(
        default=False,
        description=(
            "Deflated data sets are accepted too. They are kept as they come, but whoever reads them later must be "
            "ready for a small file that becomes very large."
        ),
    )
    further_sop_classes: tuple[str, ...] = Field(
        default=(), description="Private SOP Classes that are stored like the Standard's; their UIDs."
    )
    further_transfer_syntaxes: tuple[str, ...] = Field(
        default=(),
        description="Private transfer syntaxes that are accepted; the data set must be in Explicit VR Little Endian.",
    )


def check_listener_settings(listener: ListenerSettings) -> None:
    """Refuse to be open to a network without a list of who may come, and TLS that would protect less than it seems.

    Raises:
        ListenerError: names the lines to add.
    """
    _check_tls(listener)
    if listener.peers or is_loopback(listener.host):
        return
    raise ListenerError(
        f'[listener] host = "{listener.host}" is reachable from other machines but no peer is listed; add '
        '[[listener.peers]] with ae_title = "…" and networks = ["…"], or set host = "127.0.0.1".'
    )


def _check_tls(listener: ListenerSettings) -> None:
    if bool(listener.tls_certificate) != bool(listener.tls_key):
        missing = "tls_key" if listener.tls_certificate else "tls_certificate"
        raise ListenerError(f'[listener] {missing} is missing; TLS needs both tls_certificate = "…" and tls_key = "…".')
    asks = bool(listener.tls_certificate) and listener.tls_client_certificates == "required"
    if asks and not listener.tls_ca:
        raise ListenerError(
            '[listener] tls_ca is missing, so no client certificate could be believed; add tls_ca = "…", or set '
            'tls_client_certificates = "none".'
        )
    if not asks and (listener.tls_ca or listener.tls_crl or any(p.certificate_subject for p in listener.peers)):
        raise ListenerError(
            "[listener] tls_ca, tls_crl and certificate_subject need client certificates, which are not asked for; set "
            'tls_certificate = "…" and tls_client_certificates = "required", or remove them.'
        )


def routes_of(listener: ListenerSettings) -> Routes:
    """The routes, and the priorities of peers, in the words of storage."""
    return Routes(
        [
            Route(
                route.ae_title,
                frozenset(route.algorithms),
                frozenset(route.destinations),
                route.priority,
                tuple(Rule(rule.attribute, rule.matches) for rule in route.rules),
                PriorsRule(**route.priors.model_dump()) if route.priors else None,
            )
            for route in listener.routes
        ],
        [Sender(peer.ae_title, peer.networks, peer.priority) for peer in listener.peers if peer.priority is not None],
    )
