"""What all evidence of one job is built from."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.algorithms.identity import AlgorithmIdentity
from inference.evidence.result_uids import ResultIdentity
from storage.domain.earlier_result import EarlierResult

RESEARCH_MARK = "Research use only. Not verified by a physician."
PRODUCT_MARK = "AI result. Not verified by a physician."


@dataclass(frozen=True, slots=True)
class EvidenceContext:
    """The job around the findings.

    ``sources`` are the headers of the analysed images of one series, in the order of the label array's slices, with
    or without Pixel Data; they are never changed. An image is an instance, or a frame of one (``imaging.frames``).
    ``values`` gives the pixels of the source at a place: those after the Modality LUT as (row, column), or the colours
    from 0 to 255 as (row, column, RGB). ``started_at`` is aware and the same for every attempt of the job, because it
    becomes every time stamp of the evidence. ``predecessor`` is the result on earlier images that this one follows.
    """

    sources: tuple[Dataset, ...]
    values: Callable[[int], NDArray[np.float32]] = field(compare=False, repr=False)
    algorithm: AlgorithmIdentity
    started_at: datetime
    identity: ResultIdentity
    predecessor: EarlierResult | None = None

    @property
    def mark(self) -> str:
        """The sentence that every result shows to whoever reads it."""
        return RESEARCH_MARK if self.algorithm.use == "research" else PRODUCT_MARK

    @property
    def short_mark(self) -> str:
        """The mark where there is room for few letters, as in a picture."""
        return "AI result, not verified. RESEARCH" if self.algorithm.use == "research" else "AI result, not verified"

    @property
    def local_started_at(self) -> datetime:
        """``started_at`` in the time zone in which the evidence's dates and times are to be read.

        That is the sources' Timezone Offset From UTC (0008,0201) where they state one, because the evidence
        repeats their study time beside its own; else the zone of this machine.
        """
        return self.started_at.astimezone(_stated_zone(str(self.sources[0].get("TimezoneOffsetFromUTC", "") or "")))


def _stated_zone(text: str) -> timezone | None:
    """The zone of a Timezone Offset From UTC; ``None`` unless it is ±HHMM, -1200 to +1400 (PS3.3 section C.12.1.1)."""
    match = re.fullmatch(r"([+-])([0-9]{2})([0-5][0-9])", text.strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if match[1] == "-":
        offset = -offset
    return timezone(offset) if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


@cache
def service_version() -> str:
    """The version of this installation of Overread."""
    return version("overread")
