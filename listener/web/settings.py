"""Settings of the web door; each is described by its consequence."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from listener.errors import ListenerError
from listener.loopback import is_loopback

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
