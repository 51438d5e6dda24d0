"""Settings of the worker; each is described by its consequence."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """How models are run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto takes the GPU where the installed runtime offers one, else the CPU."
    )
    threads: int = Field(default=0, ge=0, description="CPU threads for one inference; 0 takes every core.")
