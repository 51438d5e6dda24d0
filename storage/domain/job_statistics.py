"""What is kept of an analysis to see later whether its inputs or its scores have changed; none of it is a patient's.

Nothing here says who was imaged or when. Texts come from the equipment, in a normalised form; what people type, such
as a Protocol Name, is kept as a keyed hash only. `docs/decisions/0023-monitoring.md` says why.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
OVERLAP = "Dice of "  # so begin the names of scores that compare a shadow with the active version


def overlap_name(label: str, version: str) -> str:
    """What the overlap of a structure with the same one of another version is called among the scores."""
    return f"{OVERLAP}{label} with {version}"


class Stage(StrEnum):
    """A part of a job whose time is taken; each second of a job counts for one of them at most."""

    SELECT = "select"  # read headers, choose the series
    LOAD = "load"  # read and decode pixels
    PREPROCESS = "preprocess"  # to the network's grid and intensities
    INFER = "infer"  # run the network
    POSTPROCESS = "postprocess"  # from its output to findings
    ENCODE = "encode"  # evidence, report and pictures
    STORE = "store"  # freeze the files, write the rows


class Seen(StrEnum):
    """Where the values of an input were looked at."""

    RECEIVED = "received"  # after the Modality LUT (PS3.3 section C.11.1), before any preprocessing
    PREPARED = "prepared"  # as the network was given them


# Between these edges values are counted; beyond the first and the last one the outermost bins are open. They are the
# same for every algorithm and every job, so that counts of many jobs can be added.
HISTOGRAM_EDGES: Mapping[Seen, tuple[float, ...]] = {
    Seen.RECEIVED: (
        *(-3000, -1000, -900, -700, -500, -300, -200, -150, -100, -50, -20, -10, 0, 10, 20, 30, 40, 50, 60, 80, 100),
        *(150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10000, 20000, 30000, 50000),
    ),
    Seen.PREPARED: tuple(step / 10 for step in range(-30, 31)),
}


@dataclass(frozen=True, slots=True)
class ValueStatistics:
    """How the values of one input are spread.

    All but ``count`` is of an evenly spaced sample of the values, so that a single odd one may be missed.
    ``percentiles`` are those of PERCENTILES, ``histogram`` counts the sample between the edges of HISTOGRAM_EDGES with
    an open bin before the first and after the last. The unit is that of the values: HU for CT, none once prepared.
    """

    count: int
    minimum: float
    maximum: float
    mean: float
    sd: float
    percentiles: tuple[float, ...]
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What made the images and how, as far as it tells nothing of a patient; empty or ``None`` where it is not stated.

    ``unit`` is a keyed hash of Station Name and Device Serial Number, which tells two scanners of one model apart;
    ``protocol_hash`` is one of Protocol Name. ``sequence`` is the kind of sequence (MR) or the kernel (CT).
    """

    manufacturer: str = ""
    model: str = ""
    unit: str = ""
    modality: str = ""
    body_part: str = ""
    sequence: str = ""
    protocol_hash: str = ""
    slice_thickness_mm: float | None = None
    field_strength_t: float | None = None
    images: int = 0
    rows: int = 0
    columns: int = 0
    pixel_spacing_mm: float | None = None
    slice_spacing_mm: float | None = None

    @property
    def scanner(self) -> str:
        """The device, by which results are grouped."""
        return (
            " ".join(filter(None, (self.manufacturer, self.model, f"#{self.unit}" if self.unit else ""))) or "unknown"
        )

    @property
    def protocol(self) -> str:
        """The kind of acquisition, by which results are grouped: coarse, so that enough results share one."""
        thickness = "" if self.slice_thickness_mm is None else f"{_coarse(self.slice_thickness_mm):g} mm"
        strength = "" if self.field_strength_t is None else f"{self.field_strength_t:.1f} T"
        return " ".join(filter(None, (self.modality, self.body_part, self.sequence, thickness, strength))) or "unknown"


def _coarse(thickness_mm: float) -> float:
    """Half millimetres below 3 mm, whole ones from there on."""
    return round(thickness_mm * 2) / 2 if thickness_mm < 3 else float(round(thickness_mm))


@dataclass(frozen=True, slots=True)
class JobStatistics:
    """What one analysis was given, what it gave, and how long it took.

    ``values`` holds the spread of the input at each place where it was looked at; ``scores`` each number that was
    found, by its name; ``stages`` seconds by the name of the stage.
    """

    acquisition: Acquisition
    values: dict[Seen, ValueStatistics] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    stages: dict[Stage, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain lists, dictionaries, numbers and texts; ``from_json`` makes the same of them again."""
        plain = asdict(self)
        return plain | {
            "values": {str(place): asdict(values) for place, values in self.values.items()},
            "stages": {str(stage): seconds for stage, seconds in self.stages.items()},
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "JobStatistics":
        """What ``as_json`` was made from."""
        return cls(
            Acquisition(**plain["acquisition"]),
            {Seen(place): _values(values) for place, values in plain["values"].items()},
            dict(plain["scores"]),
            {Stage(stage): seconds for stage, seconds in plain["stages"].items()},
        )


def _values(plain: Mapping[str, Any]) -> ValueStatistics:
    lists = {"percentiles": tuple(plain["percentiles"]), "histogram": tuple(plain["histogram"])}
    return ValueStatistics(**{**plain, **lists})
