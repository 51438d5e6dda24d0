"""Settings of the archives that studies are fetched from."""

from typing import Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from listener.scu.settings import DestinationSettings
from listener.scu.web_settings import WebKeys

Retrieve = Literal["c-move", "c-get", "wado-rs"]

_OWN_KEYS = ("retrieve", "received_as", "most_instances_per_study")


class ArchiveSettings(WebKeys):
    """Where `overread fetch` and `overread cohort` look for studies, and how they get them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64, description="The name for `--from`, in rows and in the audit trail.")
    kind: Literal["dimse", "web"] = Field(
        default="dimse",
        description="How it is asked: by C-FIND (ae_title, host and port say where) or by QIDO-RS (url does).",
    )
    ae_title: str = Field(default="", max_length=16, description='kind = "dimse": the AE title we call.')
    host: str = Field(default="", description='kind = "dimse": its address.')
    port: int = Field(default=0, ge=0, le=65535, description='kind = "dimse": its port.')
    retrieve: Retrieve | None = Field(
        default=None,
        description=(
            'How studies come: "c-move" has it send them to `overread listen`, "c-get" over the association we ask on, '
            '"wado-rs" over the web. Left out: "c-move", or "wado-rs" where kind is "web".'
        ),
    )
    received_as: str = Field(
        default="",
        max_length=16,
        description=(
            "The AE title of ours under which what is fetched counts as received, which decides its route; with "
            '"c-move" the archive must know it with our address. Empty: [listener] ae_title.'
        ),
    )
    connect_seconds: float = Field(default=10.0, gt=0, description="How long a connection, TLS included, may take.")
    answer_seconds: float = Field(default=60.0, gt=0, description="How long it may take to answer a query.")
    longest_transfer_seconds: float = Field(
        default=1800.0, gt=0, description="How long one study may take to come; what lacks then is asked for next time."
    )
    most_instances_per_study: int = Field(
        default=50_000, ge=1, description="A study of which it lists more instances is not fetched."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> "ArchiveSettings":
        if (self.kind == "web") != (self.way == "wado-rs"):
            raise ValueError('"wado-rs" goes with kind = "web", "c-move" and "c-get" with kind = "dimse"')
        try:
            self.place()
        except ValidationError as error:
            raise ValueError(_in_words_of_archives(error)) from None
        return self

    @property
    def way(self) -> Retrieve:
        """How studies come."""
        return self.retrieve or ("wado-rs" if self.kind == "web" else "c-move")

    def place(self) -> DestinationSettings:
        """The same place in the words of those that call it: what an association or a request needs."""
        keys = {key: getattr(self, key) for key in self.model_fields_set if key not in _OWN_KEYS}
        return DestinationSettings.model_validate({**keys, "kind": "stow" if self.kind == "web" else "dimse"})


def _in_words_of_archives(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    words = problem["msg"].removeprefix("Value error, ").replace("destination", "archive").replace('"stow"', '"web"')
    return f"{key}: {words}" if key else words
