"""What made the images and how, from their headers, without anything that could tell of a patient."""

import hashlib
import hmac
import math
import re
from collections.abc import Sequence

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from inference.imaging.body_part import shown_body_part
from inference.imaging.image_series import order_images
from inference.imaging.modality import shown_modality
from storage.domain.job_statistics import Acquisition

_LETTERS = 8  # of a hash: enough to tell the devices and protocols of a site apart
_LONGEST = 64  # of a Long String (PS3.5 section 6.2)
_EQUIPMENT = re.compile(r"[^A-Za-z0-9 ._+/()-]+")
# The kernels that have no digit in their names; any other text without one may be anybody's, and is left out.
_KERNEL_WORDS = frozenset(
    {"STANDARD", "SOFT", "BONE", "BONEPLUS", "DETAIL", "LUNG", "EDGE", "CHST", "ULTRA", "A", "B", "C", "D", "E", "L"}
)
_KERNEL = re.compile(r"(?=.*[0-9])[A-Z0-9._+-]{1,16}")
# Scanning Sequence (0018,0020) is a closed list (PS3.3 section C.8.3.1.1.1).
_SEQUENCES = ("SE", "IR", "GR", "EP", "RM")
# Whose values no text of the equipment may repeat, whoever typed them there.
_NAMES = ("PatientName", "OtherPatientNames")
_IDENTIFIERS = ("PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "StudyID")
_SHORTEST_WORD, _SHORTEST_IDENTIFIER = 3, 4  # shorter ones stand in many a model's name and tell of nobody


def acquisition(headers: Sequence[Dataset], site_secret: bytes) -> Acquisition:
    """The equipment and the kind of acquisition of the images of one series, in whatever order.

    What a header does not state, or states in a form that is none, stays empty: monitoring never fails a job.
    ``site_secret`` is the key of the hashes.
    """
    first = headers[0]
    taken = _patient_words(first)

    def text(keyword: str) -> str:
        value = " ".join(_EQUIPMENT.sub(" ", _text(first, keyword)).split())[:_LONGEST]
        return "" if _repeats(value, taken) else value

    body_part = _text(first, "BodyPartExamined").upper()
    layout = order_images(headers)[1]
    return Acquisition(
        manufacturer=text("Manufacturer"),
        model=text("ManufacturerModelName"),
        unit=_hash(site_secret, "unit", _text(first, "StationName"), _text(first, "DeviceSerialNumber")),
        modality=shown_modality(_text(first, "Modality").upper(), ""),
        body_part=body_part if body_part == shown_body_part(body_part) else "",
        sequence=_sequence(first),
        protocol_hash=_hash(site_secret, "protocol", " ".join(_text(first, "ProtocolName").casefold().split())),
        slice_thickness_mm=_number(first, "SliceThickness"),
        field_strength_t=_field_strength(first),
        images=len(headers),
        rows=_whole(first, "Rows"),
        columns=_whole(first, "Columns"),
        pixel_spacing_mm=layout.pixel_spacing_mm,
        slice_spacing_mm=layout.slice_spacing_mm,
    )


def _text(header: Dataset, keyword: str) -> str:
    """The value as text, several parted by backslashes as they were received; empty for one that cannot be read."""
    try:
        value = header.get(keyword)
        if value is None or isinstance(value, str | PersonName):
            return str(value or "").strip()
        parts = value if isinstance(value, MultiValue) else [value]
        return "\\".join(map(str, parts)).strip()
    except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError):
        return ""


def _patient_words(header: Dataset) -> frozenset[str]:
    """The words of the patient's names, and the whole identifiers, that are long enough to tell of somebody."""
    names = _words(" ".join(_text(header, keyword) for keyword in _NAMES))
    identifiers = ("".join(_words(one)) for keyword in _IDENTIFIERS for one in _text(header, keyword).split("\\"))
    return frozenset(
        [word for word in names if len(word) >= _SHORTEST_WORD]
        + [one for one in identifiers if len(one) >= _SHORTEST_IDENTIFIER]
    )


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text.casefold()) if word]


def _repeats(value: str, taken: frozenset[str]) -> bool:
    """Whether a whole word of the value, or several in a row, is one that is taken.

    Parts of words do not count: a patient called Ion would hide the scanners "Precision" and "Ingenia Ambition", and
    monitoring would see two scanners where there is one. Letters beside digits are a word of their own.
    """
    words = _words(value)
    runs = {"".join(words[i:k]) for i in range(len(words)) for k in range(i + 1, len(words) + 1)}
    return not taken.isdisjoint(runs | set(re.findall(r"[^\W\d_]+", value.casefold())))


def _hash(site_secret: bytes, what: str, *texts: str) -> str:
    """Equal texts have equal hashes at one site, and nobody without its secret can try texts out."""
    if not any(texts):
        return ""
    message = "\0".join((what, *texts)).encode("utf-8", "replace")
    return hmac.new(site_secret, message, hashlib.sha256).hexdigest()[:_LETTERS]


def _sequence(header: Dataset) -> str:
    stated = _text(header, "ScanningSequence").upper().split("\\")
    kinds = [kind for kind in _SEQUENCES if kind in stated]
    if kinds:
        return "/".join(kinds)
    kernel = _text(header, "ConvolutionKernel").upper().split("\\")[0].strip()
    known = kernel in _KERNEL_WORDS or _KERNEL.fullmatch(kernel)
    return kernel if known and not _repeats(kernel, _patient_words(header)) else ""


def _field_strength(header: Dataset) -> float | None:
    """In tesla; some devices write it in gauss."""
    stated = _number(header, "MagneticFieldStrength")
    return stated / 10_000 if stated is not None and stated > 100 else stated


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        value = float(_text(header, keyword))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _whole(header: Dataset, keyword: str) -> int:
    number = _number(header, keyword)
    return 0 if number is None else int(np.clip(number, 0, 2**31 - 1))
