"""What the worker asks its child, and what it is answered."""

import errno
import os
import re
import traceback
from dataclasses import dataclass
from datetime import datetime

from inference.conclusion import NotAnalysed
from inference.errors import (
    ArtifactUnavailable,
    DecodersUnavailable,
    DeviceFull,
    DeviceUnavailable,
    InferenceError,
    InvalidOutput,
    OutOfMemory,
    PredictionFailed,
    UnforeseenError,
    UnusableInput,
    VaryingOutput,
)
from inference.evidence.result_uids import SeriesNaming
from inference.model_child.codec import contract
from storage.domain.algorithm import RegisteredAlgorithm
from storage.domain.earlier_result import EarlierResult
from storage.domain.job import Refusal
from storage.domain.not_analysed import EndedInference
from storage.domain.result import ActiveOutline, EvidenceForm, NewResult
from storage.domain.study import StableStudy
from storage.errors import DamagedObject, StorageError, UnknownRecord

_CLASS = re.compile(r"[A-Za-z_]{1,64}")
_PLACE = re.compile(r"[A-Za-z_<>]{1,64}, line [0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Analysis:
    """Run an algorithm on a study; see ``inference.pipeline.analyse``.

    ``on_cpu``: on the CPU, whatever the settings say, because their device is full. ``beside`` is of the active version
    where the job is one of a shadow; ``earlier`` are what the result may follow, newest first.
    """

    study: StableStudy
    algorithm: RegisteredAlgorithm
    started_at: datetime
    site_secret: bytes
    wanted: frozenset[EvidenceForm]
    naming: SeriesNaming
    on_cpu: bool = False
    beside: ActiveOutline | None = None
    earlier: tuple[EarlierResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Telling:
    """Report that an inference came to no result; see ``inference.notice.tell``."""

    study: StableStudy
    ended: EndedInference
    algorithm: RegisteredAlgorithm
    site_secret: bytes
    naming: SeriesNaming


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the child by name.

    ``code`` and ``refusals`` are those of unusable input, ``number`` is that of an operating system's error, ``place``
    is where an unforeseen one came from.
    """

    name: str
    sentence: str = ""
    code: str = ""
    refusals: tuple[Refusal, ...] = ()
    number: int = 0
    place: str = ""


Request = Analysis | Telling
Answer = NewResult | NotAnalysed | Failure

PING = "ping"  # whether it is there: a request that has nothing to tell, and its answer

REQUESTS: dict[str, type[Request]] = {"analysis": Analysis, "telling": Telling}
ANSWERS: dict[str, type[Answer]] = {"result": NewResult, "not-analysed": NotAnalysed, "failure": Failure}


def spoken() -> str:
    """What worker and child say to each other, as a digest: one that was started from other files says otherwise."""
    return contract([*REQUESTS.values(), *ANSWERS.values()])


# The errors that have nothing but a sentence. An error that is in no table here is an unforeseen one.
_BY_NAME: dict[str, type[InferenceError | StorageError]] = {
    "artifact-unavailable": ArtifactUnavailable,
    "device-unavailable": DeviceUnavailable,
    "prediction-failed": PredictionFailed,
    "out-of-memory": OutOfMemory,
    "device-full": DeviceFull,
    "invalid-output": InvalidOutput,
    "varying-output": VaryingOutput,
    "decoders-unavailable": DecodersUnavailable,
    "damaged-object": DamagedObject,
    "unknown-record": UnknownRecord,
}


def failure_of(error: Exception) -> Failure:
    """An error as it is told; of an unforeseen one its class and place, because its words may repeat patient data."""
    if isinstance(error, UnusableInput):
        return Failure("unusable-input", error.reason.sentence, error.reason.code, error.refusals)
    for name, kind in _BY_NAME.items():
        if type(error) is kind:
            return Failure(name, str(error))
    if isinstance(error, MemoryError):
        return Failure("out-of-memory", str(OutOfMemory()))
    if isinstance(error, OSError) and error.errno:
        return Failure("operating-system", number=error.errno)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "an unknown place"
    return Failure("unforeseen", type(error).__name__, place=place)


def error_of(failure: Failure) -> Exception:
    """The error that was told."""
    if failure.name in _BY_NAME:
        return _BY_NAME[failure.name](failure.sentence)
    if failure.name == "unusable-input":
        code = failure.code
        error = UnusableInput(code, failure.sentence)
        error.refusals = failure.refusals
        return error
    if failure.name == "operating-system":
        number = failure.number if failure.number in errno.errorcode else errno.EIO
        return OSError(number, os.strerror(number))
    kind = failure.sentence if _CLASS.fullmatch(failure.sentence) else "error"
    return UnforeseenError(kind, failure.place if _PLACE.fullmatch(failure.place) else "an unknown place")
