"""How a refusal is told to a program."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detail: str = Field(
        description="One sentence: what happened, to what, what to do.",
        examples=["A file is neither DICOM, PNG nor JPEG; send one of these."],
    )


def described(statuses: dict[int, str], answers: dict[int, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """The statuses of a route for the OpenAPI document; ``answers`` are the contents of those that are no refusal."""
    return {
        status: {"description": sentence, "content": answers[status]}
        if status in answers
        else {"description": sentence, "model": Problem}
        for status, sentence in statuses.items()
    }
