"""Settings of the worker; each is described by its consequence."""

from pydantic import BaseModel, ConfigDict, Field

from inference.evidence.result_uids import SeriesNaming


class WorkerSettings(BaseModel):
    """How models are run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|openvino|(cuda|tensorrt)(:[0-9]{1,2})?)$",
        description=(
            "auto takes the GPU where the installed runtime offers CUDA, else OpenVINO where it offers that, else the "
            "CPU. cpu, openvino, cuda and tensorrt, or cuda:1 for the second GPU, run there or not at all. tensorrt "
            "compiles each network for minutes before its first study, and keeps what it compiled under data_dir."
        ),
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads for one inference; 0 takes every core that the process or its container may use.",
    )


class ResultSettings(BaseModel):
    """What results are called. It stands in the objects, so a result that is made after a change has other UIDs:
    `overread jobs resubmit` then brings a second set beside the first, which has to be deleted at the PACS.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    series_number_base: int = Field(
        default=9001,
        ge=1,
        le=2_000_000_000,
        description="The Series Number of segmentations; those of reports, pictures and the others follow it.",
    )
    series_description_prefix: str = Field(
        default="",
        max_length=16,
        pattern=r"^([!-\[\]-~]([ -\[\]-~]*[!-\[\]-~])?)?$",
        description=(
            "Stands at the beginning of each Series Description, with a space behind it that is added. At most 16 "
            "characters of printable ASCII, because not all images allow more; no backslash, no space at either end."
        ),
    )

    def naming(self) -> SeriesNaming:
        """The same in the words of evidence."""
        return SeriesNaming(self.series_number_base, self.series_description_prefix)
