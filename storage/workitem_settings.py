"""Settings of the worklist; each is described by its consequence."""

from pydantic import BaseModel, ConfigDict, Field


class WorkitemSettings(BaseModel):
    """The worklist for other systems, [UPS-RS](ups.md): they ask for analyses and see what becomes of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=False, description="Serve `/dicom-web/workitems` and perform what is asked for there."
    )
    most_workitems: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="When this many are held, further ones are answered 503 until old ones are removed.",
    )
    keep_hours: float = Field(
        default=7 * 24,
        gt=0,
        le=10 * 365 * 24,
        allow_inf_nan=False,
        description="A workitem that has ended is removed this long afterwards, unless a subscriber locks it.",
    )
    event_hours: float = Field(
        default=24,
        gt=0,
        le=365 * 24,
        allow_inf_nan=False,
        description="What a subscriber who is away has not fetched this long after it happened, he is not told.",
    )
    most_subscribers: int = Field(
        default=100, ge=1, le=10_000, description="When there are this many, a further one is answered 503."
    )
    wait_hours: float = Field(
        default=48,
        gt=0,
        le=365 * 24,
        allow_inf_nan=False,
        description=(
            "A workitem of ours is CANCELED (Workitem expired) when its study has not come, or is not complete, this "
            "long after its creation."
        ),
    )
