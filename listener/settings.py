"""Settings of the doors; each is described by its consequence."""

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from listener.errors import ListenerError
from listener.scu.lane_settings import LaneKeys
from listener.scu.proof_settings import ProofKeys
from listener.scu.web_settings import WebKeys
from storage.domain.job import Priority
from storage.domain.result import EvidenceForm
from storage.domain.route import Route, Routes, Rule, RuleAttribute, Sender
from storage.domain.viewer_profile import PROFILES, ViewerProfile, own_profile

# The default repertoire without backslash, and more than spaces (PS3.5 section 6.2, AE).
AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]

# A scheme, a name and a port as browsers send them; what a page sends from http it sends in the clear.
ViewerOrigin = Annotated[
    str,
    Field(pattern=r"^(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:[0-9]{1,5})?$", max_length=255),
]

# A web address with one place for the UID, which is percent-encoded by nature (digits and dots).
ViewerUrl = Annotated[
    str,
    Field(pattern=r"^(https?://[^\s{}<>\"'\\]+\{study_instance_uid\}[^\s{}<>\"'\\]*)?$", max_length=1024),
]


TransferSyntaxUid = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]


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


class ClientCertificateSettings(BaseModel):
    """Which account a program has that shows a certificate instead of a password or token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str = Field(
        min_length=1,
        max_length=1024,
        description='The subject of the certificate (RFC 4514), such as "CN=ct1,O=Hospital".',
    )
    account: str = Field(min_length=1, max_length=64, description="The account; what it may, the program may.")


class WebSettings(BaseModel):
    """The web door: dashboard, DICOMweb, API, metrics; each has its path on the same port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on; beyond loopback TLS or a proxy, and an account, are required.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="The TCP port; 0 takes a free one.")
    tls_certificate: str = Field(
        default="", description="A PEM file with the certificate chain; with it the door speaks TLS (1.2 or later)."
    )
    tls_key: str = Field(default="", description="The PEM file of the certificate's private key.")
    tls_client_ca: str = Field(
        default="",
        description=(
            "A PEM file with the authorities that sign certificates of programs; one of another authority is refused, "
            "and without any a program needs a password or a token."
        ),
    )
    client_certificates: tuple[ClientCertificateSettings, ...] = Field(
        default=(), description="A certificate whose subject is not listed lets nobody in."
    )
    behind_proxy: bool = Field(
        default=False,
        description="A reverse proxy in front of the door speaks TLS; only proxy_addresses are answered then.",
    )
    proxy_addresses: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Where the reverse proxy comes from; its X-Forwarded headers are believed."
    )
    host_names: tuple[str, ...] = Field(
        default=(),
        description=(
            "The names by which browsers reach the door; a request for another one is refused. Empty: the names of "
            "loopback, or any when the door is open to the network."
        ),
    )
    viewer_origins: tuple[ViewerOrigin, ...] = Field(
        default=(),
        description=(
            'Pages of these origins, such as "https://viewer.hospital.example", may read DICOMweb in a browser; empty: '
            "no other site may."
        ),
    )
    viewer_url: ViewerUrl = Field(
        default="",
        description=(
            "The address of a study in the site's viewer, which its page links to, such as "
            '"https://viewer.hospital.example/viewer?StudyInstanceUIDs={study_instance_uid}"; empty: no link.'
        ),
    )
    viewer_folder: str = Field(
        default="",
        description=(
            "A folder with the prebuilt OHIF viewer (dist of the npm package @ohif/app), served under /ohif and linked "
            "from the page of each study; empty: none."
        ),
    )
    metrics_without_login: bool = Field(
        default=False, description="Anybody who reaches the door may read /metrics, which holds counts only."
    )
    session_idle_minutes: float = Field(
        default=30, gt=0, le=24 * 60, allow_inf_nan=False, description="A session that is not used for this long ends."
    )
    session_hours: float = Field(
        default=12, gt=0, le=7 * 24, allow_inf_nan=False, description="A session ends this long after its login."
    )
    max_instance_bytes: int = Field(
        default=4 * 2**30,
        ge=2**20,
        description="A larger instance is refused with 413; whatever its size, about a megabyte of it is in memory.",
    )
    max_request_bytes: int = Field(
        default=64 * 2**30, ge=2**20, description="A larger body is refused with 413; send fewer instances at a time."
    )
    max_uploads: int = Field(
        default=4,
        ge=1,
        description=(
            "Further uploads at the same time are answered 503 and are to be sent again; one account gets one place "
            "less than there are."
        ),
    )


class ProfileSettings(BaseModel):
    """What viewers of the site's own can show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64, description="The name for `profile` of [[destinations]]."
    )
    based_on: str = Field(
        default="any",
        description="The [viewer profile](viewer-profiles.md) of this release that it is like but for the keys below.",
    )
    segmentation: tuple[EvidenceForm, ...] | None = Field(
        default=None, description="The chain of forms of a segmentation, best first."
    )
    further: tuple[tuple[EvidenceForm, ...], ...] | None = Field(
        default=None, description='A chain for each other thing, such as [["presentation-state", "secondary-capture"]].'
    )
    report: tuple[EvidenceForm, ...] | None = Field(
        default=None, description="The chain of forms of a report, best first."
    )
    transfer_syntaxes: tuple[TransferSyntaxUid, ...] | None = Field(
        default=None, description="The UIDs of the transfer syntaxes in which something may be sent."
    )

    one_object_per_structure: bool = Field(
        default=False,
        description=(
            "Each structure of a segmentation goes in an object and a series of its own, in the place of the binary "
            "forms of the chain."
        ),
    )

    @model_validator(mode="after")
    def _is_a_profile(self) -> "ProfileSettings":
        self.viewer_profile()
        return self

    def viewer_profile(self) -> ViewerProfile:
        """The profile in the words of storage.

        Raises:
            ValueError: in one sentence, why it cannot be.
        """
        if self.name in PROFILES:
            raise ValueError(f"{self.name} is a profile of this release; give yours another name")
        if self.based_on not in PROFILES:
            raise ValueError(f"{self.based_on} is no profile of this release; base it on one of {', '.join(PROFILES)}")
        return own_profile(
            self.name,
            PROFILES[self.based_on],
            segmentation=self.segmentation,
            further=self.further,
            report=self.report,
            transfer_syntaxes=self.transfer_syntaxes,
            one_object_per_structure=self.one_object_per_structure,
        )


class DestinationSettings(LaneKeys, ProofKeys, WebKeys):
    """Where results are sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="The name in status, logs and audit.")
    kind: Literal["dimse", "stow"] = Field(
        default="dimse",
        description="How results travel: by C-STORE (ae_title, host and port say where) or by STOW-RS (url does).",
    )
    ae_title: AeTitle = Field(default="", validate_default=True, description='kind = "dimse": the AE title we call.')
    host: str = Field(default="", validate_default=True, description='kind = "dimse": the destination\'s address.')
    port: int = Field(
        default=0, validate_default=True, ge=1, le=65535, description='kind = "dimse": the destination\'s port.'
    )
    profile: str = Field(
        default="any",
        description=(
            "What the destination's viewers can show, and so which forms of a result are made and sent: one of the "
            "[viewer profiles](viewer-profiles.md) or of [[profiles]]."
        ),
    )
    max_instance_bytes: int = Field(
        default=0,
        ge=0,
        description="What is larger goes in another form of the profile, or not where there is none; 0: no limit.",
    )

    @model_validator(mode="after")
    def _tls_protects(self) -> "DestinationSettings":
        useless = self.tls_keys_without_tls()
        if useless and self.kind == "dimse":
            raise ValueError(f"{useless[0]} is set, but tls is not, so nothing would be encrypted; add tls = true")
        if self.missing_tls_key():
            raise ValueError(f"{self.missing_tls_key()} is missing; a certificate is shown with its key")
        return self

    @field_validator("ae_title", "host", "port", mode="wrap")
    @classmethod
    def _belongs_to_its_kind(cls, value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        if info.data.get("kind") == "stow":
            if value:
                raise ValueError('it goes with kind = "dimse" only; a destination of kind "stow" has url')
            return value
        if not value:
            raise ValueError('a destination of kind "dimse" needs it')
        return check(value)

    @model_validator(mode="after")
    def _can_be_what_it_is(self) -> "DestinationSettings":
        if self.kind == "stow" and not self.url:
            raise ValueError('a destination of kind "stow" needs url')
        if self.kind == "dimse" and self.url:
            raise ValueError('url goes with kind = "stow" only')
        if self.kind == "stow" and self.tls:
            raise ValueError('tls goes with kind = "dimse" only; begin url with https:// instead')
        if self.url.startswith("http:") and any((self.tls_ca, self.tls_certificate, self.tls_server_name)):
            raise ValueError(
                "keys of TLS are set, but url is http://, so nothing would be encrypted; begin it with https://"
            )
        known_by = self.ways_to_be_known()
        if self.kind == "dimse" and known_by:
            raise ValueError(f'{known_by[0][0]} goes with kind = "stow" only')
        if self.mistake_of_credentials():
            raise ValueError(self.mistake_of_credentials())
        if known_by and any(_is_in_the_clear(url) for url in (self.url, self.oauth_token_url)):
            raise ValueError(f"what {known_by[0][-1]} holds would go over a network in the clear; use https://")
        if self.kind == "stow" and self.proof == "commitment":
            raise ValueError('storage commitment goes with kind = "dimse" only; set proof = "query"')
        return self

    @property
    def address(self) -> str:
        """Where it is, for the eye of an operator."""
        return self.url if self.kind == "stow" else f"{self.ae_title}@{self.host}:{self.port}"


def _is_in_the_clear(url: str) -> bool:
    """Whether others on a network could read what is sent there."""
    return url.startswith("http:") and not is_loopback(urlsplit(url).hostname or "")


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


def check_web_settings(web: WebSettings) -> None:
    """Refuse to send passwords and patients' data over a network unprotected.

    Raises:
        ListenerError: names the lines to change.
    """
    if bool(web.tls_certificate) != bool(web.tls_key):
        missing = "tls_key" if web.tls_certificate else "tls_certificate"
        raise ListenerError(f'[web] {missing} is missing; TLS needs both tls_certificate = "…" and tls_key = "…".')
    _check_client_certificates(web)
    if web.behind_proxy and not web.proxy_addresses:
        raise ListenerError(
            "[web] behind_proxy = true says that a reverse proxy is in front, but not where it comes from; add "
            'proxy_addresses = ["…"].'
        )
    if not (web.tls_certificate or web.behind_proxy or is_loopback(web.host)):
        raise ListenerError(
            f'[web] host = "{web.host}" is reachable from other machines, but nothing encrypts what is sent; set '
            'tls_certificate = "…" and tls_key = "…", or behind_proxy = true with proxy_addresses = ["…"], or '
            'host = "127.0.0.1".'
        )


def _check_client_certificates(web: WebSettings) -> None:
    if web.tls_client_ca and not web.tls_certificate:
        raise ListenerError(
            "[web] tls_client_ca is set, but the door does not speak TLS itself, so no certificate reaches it; set "
            'tls_certificate = "…" and tls_key = "…", or remove tls_client_ca.'
        )
    if bool(web.tls_client_ca) != bool(web.client_certificates):
        missing = "[[web.client_certificates]]" if web.tls_client_ca else '[web] tls_client_ca = "…"'
        raise ListenerError(
            f"{missing} is missing; certificates of programs need an authority and an account for each subject."
        )
    subjects = [each.subject for each in web.client_certificates]
    if len(set(subjects)) < len(subjects):
        raise ListenerError("[[web.client_certificates]] lists a subject twice; give each one account.")


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
            )
            for route in listener.routes
        ],
        [Sender(peer.ae_title, peer.networks, peer.priority) for peer in listener.peers if peer.priority is not None],
    )


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # another name: where it leads may change, so it does not count
        return False
