"""Settings of the receivers that are told of results; each is described by its consequence."""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from listener.loopback import is_in_the_clear
from listener.scu.web_settings import ServiceUrl, WebKeys
from storage.domain.notification import ReceiverPolicy


class NotifySettings(WebKeys):
    """Who else is told of results, by [a message for each](notifications.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="The name in lists, logs, metrics and audit.")
    kind: Literal["webhook", "hl7", "fhir"] = Field(
        description=(
            'How: "webhook" is JSON by HTTP POST to url, signed with the secret in secret_file; "hl7" is HL7 v2.5.1 '
            'ORU^R01 over MLLP to host and port; "fhir" is a FHIR R4 DiagnosticReport to the server at url.'
        )
    )
    url: ServiceUrl = Field(
        default="",
        description=(
            'kind = "webhook": the address that is told; kind = "fhir": the base of the server, below which it has '
            "`/DiagnosticReport`."
        ),
    )
    host: str = Field(default="", max_length=253, description='kind = "hl7": the receiver\'s address.')
    port: int = Field(default=0, ge=0, le=65535, description='kind = "hl7": the receiver\'s port.')
    algorithms: tuple[str, ...] = Field(
        default=(), description="Only results of the algorithms of these names; empty: of all."
    )
    findings_only: bool = Field(default=False, description="Whether results that found nothing are left out.")
    when: Literal["delivered", "made"] = Field(
        default="delivered",
        description=(
            '"delivered": once a destination has acknowledged the report, so that it is there for whoever is told; '
            '"made": at once.'
        ),
    )
    report_at: str = Field(
        default="",
        description=(
            'when = "delivered": the name of the destination that counts; empty: that which acknowledges it first.'
        ),
    )
    give_up_hours: float = Field(
        default=72.0,
        gt=0,
        le=8760,
        allow_inf_nan=False,
        description="A message that no try got through for so long is given up, and an operator told.",
    )
    connect_seconds: float = Field(
        default=10.0, gt=0, le=60, allow_inf_nan=False, description="How long a connection may take."
    )
    answer_seconds: float = Field(
        default=30.0, gt=0, le=180, allow_inf_nan=False, description="How long an answer may take, to its end."
    )
    secret_file: str = Field(
        default="",
        description=(
            'kind = "webhook": a file with nothing but the secret of the signatures, `whsec_` and 24 to 64 bytes in '
            "base64; two of them with a blank between while one follows the other."
        ),
    )
    accession_number: bool = Field(
        default=False, description='kind = "webhook": whether the accession number is told beside the UIDs.'
    )

    sending_application: str = Field(default="OVERREAD", max_length=180, description='kind = "hl7": MSH-3.')
    sending_facility: str = Field(default="", max_length=180, description='kind = "hl7": MSH-4.')
    receiving_application: str = Field(default="", max_length=180, description='kind = "hl7": MSH-5.')
    receiving_facility: str = Field(default="", max_length=180, description='kind = "hl7": MSH-6.')
    accession_fields: tuple[Literal["OBR-2", "OBR-3", "OBR-18"], ...] = Field(
        default=("OBR-3", "OBR-18"), description='kind = "hl7": where the receiver looks for the accession number.'
    )

    fhir_write: Literal["create", "update"] = Field(
        default="create",
        description=(
            'kind = "fhir": by a conditional create (POST with If-None-Exist), or where the server knows none of it by '
            '"update" (PUT under an id of ours).'
        ),
    )
    patient_system: str = Field(
        default="",
        max_length=1024,
        pattern=r"^([A-Za-z][A-Za-z0-9+.-]*:\S+)?$",
        description='kind = "fhir": the URI of the system that Patient IDs are of; empty: none is told.',
    )

    @model_validator(mode="after")
    def _can_be_told(self) -> "NotifySettings":
        mistake = self._mistake_of_mllp() if self.kind == "hl7" else self._mistake_of_the_web()
        if mistake or self.mistake_of_credentials():
            raise ValueError(mistake or self.mistake_of_credentials())
        if self.kind == "webhook" and not self.secret_file:
            raise ValueError("a webhook needs secret_file, so that its receiver can tell our messages from others")
        if self.missing_tls_key():
            raise ValueError(f"{self.missing_tls_key()} is missing; a certificate is shown with its key")
        if self.report_at and self.when != "delivered":
            raise ValueError('report_at goes with when = "delivered" only')
        return self

    def _mistake_of_the_web(self) -> str:
        if self.host or self.port:
            return f'host and port go with kind = "hl7" only; a receiver of kind {self.kind} has url'
        if not self.url:
            return f"a receiver of kind {self.kind} needs url"
        if self.tls:
            return "tls is not for what is reached over the web; begin url with https:// instead"
        if self.url.startswith("http:") and any((self.tls_ca, self.tls_certificate, self.tls_server_name)):
            return "keys of TLS are set, but url is http://, so nothing would be encrypted; begin it with https://"
        known_by = self.ways_to_be_known()
        if known_by and any(is_in_the_clear(url) for url in (self.url, self.oauth_token_url)):
            return f"what {known_by[0][-1]} holds would go over a network in the clear; use https://"
        return ""

    def _mistake_of_mllp(self) -> str:
        if not (self.host and self.port):
            return "a receiver of kind hl7 needs host and port"
        if self.url or self.ways_to_be_known() or self.secret_file:
            return "a receiver of kind hl7 is reached at host and port, and knows us by a certificate of ours at most"
        useless = self.tls_keys_without_tls()
        return f"{useless[0]} is set, but tls is not, so nothing would be encrypted; add tls = true" if useless else ""

    def policy(self) -> ReceiverPolicy:
        """The same in the words of storage."""
        return ReceiverPolicy(
            self.name, self.algorithms, self.findings_only, self.when == "delivered", self.report_at, self.give_up_hours
        )

    @property
    def address(self) -> str:
        """Where it is, for the eye of an operator."""
        return f"{self.host}:{self.port}" if self.kind == "hl7" else self.url
