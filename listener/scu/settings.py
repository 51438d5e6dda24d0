"""Settings of the destinations; each is described by its consequence."""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from listener.loopback import is_in_the_clear
from listener.scu.lane_settings import LaneKeys
from listener.scu.proof_settings import ProofKeys
from listener.scu.web_settings import WebKeys
from listener.settings import AeTitle
from storage.domain.result import EvidenceForm
from storage.domain.viewer_profile import PROFILES, ViewerProfile, own_profile

TransferSyntaxUid = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]


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
        if known_by and any(is_in_the_clear(url) for url in (self.url, self.oauth_token_url)):
            raise ValueError(f"what {known_by[0][-1]} holds would go over a network in the clear; use https://")
        if self.kind == "stow" and self.proof == "commitment":
            raise ValueError('storage commitment goes with kind = "dimse" only; set proof = "query"')
        return self

    @property
    def address(self) -> str:
        """Where it is, for the eye of an operator."""
        return self.url if self.kind == "stow" else f"{self.ae_title}@{self.host}:{self.port}"
