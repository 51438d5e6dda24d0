"""Settings of the worker; each is described by its consequence."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inference.evidence.result_uids import SeriesNaming

_DEVICE = r"^(auto|cpu|openvino|(cuda|tensorrt)(:[0-9]{1,2})?|remote)$"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class WorkerSettings(BaseModel):
    """How models are run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(
        default="auto",
        pattern=_DEVICE,
        description=(
            "auto takes the GPU where the installed runtime offers CUDA, else OpenVINO where it offers that, else the "
            "CPU. cpu, openvino, cuda and tensorrt, or cuda:1 for the second GPU, run there or not at all. tensorrt "
            "compiles each network for minutes before its first study, and keeps what it compiled under data_dir. "
            "remote runs networks at remote_url."
        ),
    )
    threads: int = Field(
        default=0,
        ge=0,
        description=(
            "CPU threads for one inference; 0 takes every core that the process or its container may use, "
            "shared among the children."
        ),
    )
    devices: tuple[Annotated[str, Field(pattern=_DEVICE)], ...] = Field(
        default=(),
        description=(
            'One process that runs models for each of these, such as ["cuda:0", "cuda:1"]. Empty: as many as '
            "children says, each on device."
        ),
    )
    children: int = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "How many processes run models where devices is empty; each of them takes its own memory and keeps its "
            "own models in it."
        ),
    )
    jobs_at_once: int = Field(
        default=2,
        ge=1,
        le=8,
        description=(
            "How many studies each of these processes has in hand: while one is at the network, the images of the next "
            "are read and the results of the last are written. memory_gib counts them together. 1: one study after the "
            "other."
        ),
    )
    memory_gib: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description=(
            "A study whose analysis needs more main memory than this fails with out-of-memory, after a second attempt, "
            "instead of the machine running out; memory of a GPU is not counted. 0: three quarters of what the machine "
            "or the container has, shared among the children."
        ),
    )
    when_device_full: Literal["wait", "cpu", "fail"] = Field(
        default="wait",
        description=(
            "A network that does not fit into what a GPU has left is first given smaller batches. wait: the study is "
            "then tried again, after half a minute, 5, 30 and 90 minutes at most, until jobs.max_attempts are spent. "
            "cpu: it is analysed on the CPU at once, which may take many times as long; its result says so. fail: it "
            "fails with device-full."
        ),
    )
    time_limit_s: float = Field(
        default=1800,
        gt=0,
        le=7 * 24 * 3600,
        allow_inf_nan=False,
        description=(
            "An analysis that takes longer than this is stopped, and fails with analysis-too-slow after a second "
            "attempt; a larger value lets a model that hangs hold up the others for longer."
        ),
    )
    remote_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/@?#]+(/[^\s@]*)?)?$",
        description=(
            "An inference server that speaks the KServe v2 protocol over HTTP, such as Triton: pixels are sent there, "
            "nothing else of an image. With device remote only."
        ),
    )
    remote_model: str = Field(
        default="{name}",
        pattern=r"^([A-Za-z0-9._-]|\{name\}|\{version\})+$",
        description=(
            "What an algorithm is called at remote_url; {name} and {version} are those of its manifest. The second "
            "network of an ensemble has -2 added to that, and so on."
        ),
    )
    remote_model_version: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,32}$",
        description="The version to ask for at remote_url; empty: the server chooses.",
    )
    remote_timeout_s: float = Field(
        default=60, gt=0, le=3600, description="An answer of remote_url that is not complete by then is given up."
    )
    remote_answer_mib: float = Field(
        default=1024, gt=0, le=65536, description="A larger answer of remote_url is not read; memory has to hold it."
    )
    remote_ca: str = Field(
        default="",
        description="A PEM file of the authorities that sign the certificate of remote_url; empty: the system's.",
    )
    remote_token_file: str = Field(
        default="",
        description="A file with the token that is shown to remote_url (Authorization: Bearer); empty: none.",
    )
    remote_unencrypted: bool = Field(
        default=False, description="Pixels may travel in the clear to a remote_url of http:// beyond this machine."
    )

    @model_validator(mode="after")
    def _the_server_can_be_asked(self) -> Self:
        if "remote" in (self.device, *self.devices) and not self.remote_url:
            raise ValueError('device = "remote" needs remote_url; set the address of the inference server')
        where = urlsplit(self.remote_url)
        if where.scheme == "http" and where.hostname not in _LOOPBACK and not self.remote_unencrypted:
            raise ValueError("remote_url is not encrypted; use https://, or set remote_unencrypted")
        return self


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
