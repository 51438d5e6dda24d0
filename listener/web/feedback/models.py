"""What the API says and takes about verdicts, as it is described in its OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.domain.feedback import Verdict


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewVerdict(_Model):
    """What a reader says of one finding, or of a result that found nothing."""

    result_id: int = Field(ge=1, lt=2**63, description="The result, as the list of verdicts names it.", examples=[7])
    tracking_uid: str = Field(
        default="",
        max_length=64,
        description="The finding's Tracking UID; empty for a result without findings.",
        examples=["2.25.329800735698586629295641978511506172918"],
    )
    verdict: Literal[Verdict.ACCEPT, Verdict.REJECT] = Field(examples=["accept"])


class GivenVerdict(_Model):
    """One verdict that was given."""

    verdict: str = Field(description="accept, reject or changed.", examples=["accept"])
    source: str = Field(description="dashboard, api, or the kind of object that said it: sr, kos, seg.")
    sop_instance_uid: str = Field(default="", description="The object that said it, if one did.")
    actor: str = Field(description="The account that said it, or that or the AE title that sent the object.")
    recorded_at: str = Field(description="ISO 8601, UTC.")


class JudgedFinding(_Model):
    """One thing that a result says, and every verdict on it, the oldest first; the last one counts."""

    tracking_uid: str = Field(description="Empty for the whole of a result that found nothing.")
    name: str = Field(examples=["Tumour"])
    said: str = Field(description="What the result says of it.", examples=["found, probability 0.93"])
    verdicts: list[GivenVerdict] = []


class JudgedResult(_Model):
    """One result and what was said of it."""

    result_id: int
    algorithm: str = Field(examples=["brain-mr-classifier 1.0"])
    revision: int = Field(description="The revision of the study that it is of.")
    findings: list[JudgedFinding]


class StudyVerdicts(_Model):
    """Everything of a study that can be judged, and what was said of it."""

    study_instance_uid: str = Field(examples=["2.25.329800735698586629295641978511506172918"])
    results: list[JudgedResult]
