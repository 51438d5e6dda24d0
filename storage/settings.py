"""Settings of storage; each is described by its consequence."""

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.domain.completeness import EvidenceKind, Patience, Source, SourcePatience
from storage.domain.not_analysed import TellNotAnalysed

ChosenEvidence = Literal[
    EvidenceKind.COMMITMENT,
    EvidenceKind.AVAILABILITY,
    EvidenceKind.COUNT,
    EvidenceKind.GEOMETRY,
    EvidenceKind.CONTRACT,
]
_FOR_IT = "For this sender, in place of its namesake in `[study]`:"


class DatabaseSettings(BaseModel):
    """Where rows are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        default="",
        description="A postgresql:// URL. Empty: a PostgreSQL of our own runs under data_dir and stops with us.",
    )

    owner_url: str = Field(
        default="",
        description=(
            "The same database for the role that owns the tables; only `overread db upgrade` and `overread up` use it, "
            "to upgrade and to give the role of url its rights. Empty: the role of url owns the tables and could undo "
            "the audit trail."
        ),
    )

    @field_validator("url", "owner_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if url and not url.startswith("postgresql://"):
            raise ValueError("the URL must begin with postgresql:// or be empty")  # the value may hold a password
        return url

    @model_validator(mode="after")
    def _owner_of_something(self) -> "DatabaseSettings":
        if self.owner_url and not self.url:
            raise ValueError("owner_url needs url: the same database for the service's own role")
        return self


class SpoolSettings(BaseModel):
    """How much may wait on disk while the database is away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cap_bytes: int = Field(
        default=50 * 2**30,
        ge=1,
        description="When more than this waits in the spool, senders are answered 0xA700 and keep their images. "
        "Beside it each receiving process keeps up to 512 MiB of the disk for use again.",
    )
    peer_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description=(
            "When this part of cap_bytes waits from one peer (by calling AE title or account), that one is answered "
            "0xA700, so that the others still have room."
        ),
    )
    min_free_bytes: int = Field(
        default=2 * 2**30,
        ge=0,
        description="When the disk has less free than this, senders are answered 0xA700 and keep their images.",
    )

    most_instances_per_study: int = Field(
        default=100_000,
        ge=1,
        description=(
            "When a study has this many instances, further ones are answered 0xA700, those of other studies are not; "
            "it is noticed as they are imported, so a little more than this may be held."
        ),
    )
    most_bytes_per_study: int = Field(
        default=256 * 2**30,
        ge=1,
        description="When the instances of a study have this many bytes, further ones are answered 0xA700 likewise.",
    )

    gather_milliseconds: float = Field(
        default=0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description=(
            "How long the first of several waiting senders waits for others before their images are synced together; "
            "more spares a slow disk and delays every answer by as much."
        ),
    )


class SourceSettings(BaseModel):
    """How long what one sender sends is waited for, and what is believed of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ae_title: str = Field(
        default="", max_length=16, description="The calling AE title of the sender; either this or `account` is set."
    )
    account: str = Field(default="", max_length=64, description="The account of a program that stores over the web.")
    quiet_seconds: float | None = Field(
        default=None, gt=0, le=7 * 24 * 3600, allow_inf_nan=False, description=f"{_FOR_IT} `quiet_seconds`."
    )
    longest_wait_seconds: float | None = Field(
        default=None, gt=0, le=7 * 24 * 3600, allow_inf_nan=False, description=f"{_FOR_IT} `longest_wait_seconds`."
    )
    evident_seconds: float | None = Field(
        default=None, ge=0, le=7 * 24 * 3600, allow_inf_nan=False, description=f"{_FOR_IT} `evident_seconds`."
    )
    evidence: tuple[ChosenEvidence, ...] | None = Field(default=None, description=f"{_FOR_IT} `evidence`.")
    count_at: str | None = Field(default=None, description=f"{_FOR_IT} `count_at`.")

    @model_validator(mode="after")
    def _one_sender(self) -> "SourceSettings":
        if bool(self.ae_title.strip(" ")) == bool(self.account):
            raise ValueError("a [[study.sources]] entry needs either ae_title or account")
        return self

    def source(self) -> Source:
        """Who it is about."""
        return Source(self.account, web=True) if self.account else Source(self.ae_title)


class StudySettings(BaseModel):
    """When a study counts as [complete](completeness.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quiet_seconds: float = Field(
        default=60,
        gt=0,
        le=7 * 24 * 3600,
        allow_inf_nan=False,
        description=(
            "A study is analysed once no new instance has arrived for this long; too short a time analyses half "
            "studies and makes a second revision when the rest arrives."
        ),
    )
    longest_wait_seconds: float = Field(
        default=7200,
        gt=0,
        le=7 * 24 * 3600,
        allow_inf_nan=False,
        description=(
            "A study is analysed this long after its first instance at the latest, whatever lacks and although more "
            "arrives; never before `quiet_seconds`."
        ),
    )
    evidence: tuple[ChosenEvidence, ...] = Field(
        default=(),
        description=(
            "What is believed beside the clock: `commitment`, `availability` and `count` end the wait early or extend "
            "it, `geometry` and `contract` extend it; empty: nothing."
        ),
    )
    count_at: str = Field(
        default="",
        description="The name of the [[destinations]] entry of the archive that is asked for its `count`.",
    )
    evident_seconds: float = Field(
        default=5,
        ge=0,
        le=7 * 24 * 3600,
        allow_inf_nan=False,
        description=(
            "When a sender says that a study is whole, it is analysed once nothing has arrived for this long; a sender "
            "that says so after each series needs more."
        ),
    )
    sources: tuple[SourceSettings, ...] = Field(
        default=(),
        description="What is not set is as in `[study]`; a study of several senders waits as for the slowest of them.",
    )

    @model_validator(mode="after")
    def _each_source_once(self) -> "StudySettings":
        named = [entry.source() for entry in self.sources]
        for source in named:
            if named.count(source) > 1:
                raise ValueError(f"two [[study.sources]] are about {source.name}; make one of them")
        return self

    @model_validator(mode="after")
    def _counts_somewhere(self) -> "StudySettings":
        patience = self.patience()
        for who, each in (
            ("[study]", patience.usual),
            *((f"{source.name}", p) for source, p in patience.sources.items()),
        ):
            if EvidenceKind.COUNT in each.evidence and not each.count_at:
                raise ValueError(f"the evidence of {who} has count, but count_at does not say which archive is asked")
        return self

    def patience(self) -> Patience:
        """The same as the decision reads it."""
        usual = SourcePatience(
            self.quiet_seconds,
            self.longest_wait_seconds,
            self.evident_seconds,
            frozenset(self.evidence),
            frozenset({self.count_at} - {""}),
        )
        return Patience(usual, {entry.source(): _of_entry(entry, usual) for entry in self.sources})


def _of_entry(entry: SourceSettings, usual: SourcePatience) -> SourcePatience:
    set_here = {name: getattr(entry, name) for name in ("quiet_seconds", "longest_wait_seconds", "evident_seconds")}
    set_here["evidence"] = None if entry.evidence is None else frozenset(entry.evidence)
    set_here["count_at"] = None if entry.count_at is None else frozenset({entry.count_at} - {""})
    return replace(usual, **{name: value for name, value in set_here.items() if value is not None})


class AuditSettings(BaseModel):
    """How the audit trail is kept from being rewritten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint_seconds: float = Field(
        default=60,
        ge=1,
        le=24 * 3600,
        allow_inf_nan=False,
        description=(
            "Every so often the end of the audit trail is signed into audit/checkpoints.jsonl under data_dir; whoever "
            "owns the database can rewrite unseen only what was added since."
        ),
    )


class JobSettings(BaseModel):
    """How long work may take, how often it is tried, and what is told when it comes to nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lease_seconds: float = Field(
        default=30,
        ge=1,
        le=3600,
        allow_inf_nan=False,
        description="A worker that stays silent for this long loses its job to another one.",
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="An inference that has been started this often without an end is given up, with the reason.",
    )
    delivery_give_up_hours: float = Field(
        default=24,
        gt=0,
        le=365 * 24,
        allow_inf_nan=False,
        description="A delivery is tried again for this long before an operator is asked.",
    )
    not_analysed: TellNotAnalysed = Field(
        default=TellNotAnalysed.SAME_MODALITY,
        description=(
            "When the destinations are sent a report that an algorithm did not analyse a study, with the reason. "
            "same-modality: when it failed, or when the study has a series of a modality that the algorithm takes; "
            "always: also when it has none; never: the viewer stays silent, and only `overread explain` tells."
        ),
    )


class MonitoringSettings(BaseModel):
    """When an algorithm's input or scores count as changed, and what is done about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline_results: int = Field(
        default=200,
        ge=10,
        le=10_000,
        description=(
            "The first so many results of a version from each scanner and protocol are what its later ones are "
            "compared with; `overread monitor baseline` sets others."
        ),
    )
    window_results: int = Field(
        default=100,
        ge=10,
        le=10_000,
        description="The newest so many results are compared; fewer notice a change sooner and only a larger one.",
    )
    window_days: float = Field(
        default=30,
        gt=0,
        le=3650,
        allow_inf_nan=False,
        description="Older results are not compared, so that a scanner that is rarely used is not judged by them.",
    )
    minimum_results: int = Field(
        default=30,
        ge=10,
        le=10_000,
        description="With fewer results than this on either side nothing is said; fewer would be guessing.",
    )
    look_minutes: float = Field(
        default=10,
        ge=0.01,
        le=24 * 60,
        allow_inf_nan=False,
        description="Results are compared this often; a change is told that much later at most.",
    )

    demote_on_drift: bool = Field(
        default=False,
        description=(
            "true: an active algorithm that has drifted on any scanner goes to shadow by itself; its name then has no "
            "active version and destinations get nothing until somebody promotes one. false: only an alarm begins."
        ),
    )

    @model_validator(mode="after")
    def _windows_hold_enough(self) -> "MonitoringSettings":
        if self.minimum_results > min(self.window_results, self.baseline_results):
            raise ValueError(
                "minimum_results is larger than window_results or baseline_results, so nothing would be said"
            )
        return self
