"""Why a study was not analysed, in codes and in plain words: one literal table of every reason that can end a job.

The same table stands in `docs/reference/not-analysed.md`; a test holds the two equal, and the table equal to the
reasons that the code can give. Where the Standard has a concept it is used (PS3.16 annex D: CID 9300, 9303 and 7011);
the others are our own, in the coding scheme 99OVERREAD.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from storage.domain.job import Reason

OWN_SCHEME = "99OVERREAD"
NAME = Code("NOT-ANALYSED", OWN_SCHEME, "Reason for not being analysed")


@dataclass(frozen=True, slots=True)
class ToldReason:
    """One reason for a reader: its code, and a sentence in plain words."""

    concept: Code
    sentence: str


def _own(value: str, meaning: str) -> Code:
    return Code(value, OWN_SCHEME, meaning)


_MODALITY = _own("MODALITY", "Modality not taken")
_BODY_PART = _own("BODY-PART", "Body part not taken")
_NO_BODY_PART = _own("NO-BODY-PART", "Body part not stated")
_SERIES_KIND = _own("SERIES-KIND", "Kind of series not taken")
_SLICES = _own("SLICES", "Number of slices not taken")
_COVERAGE = _own("COVERAGE", "Length of the series not taken")
_VIEW = _own("VIEW", "View not taken")
_ACQUISITION = _own("ACQUISITION", "Kind of acquisition not taken")
_AGE = _own("AGE", "Patient's age not taken")
_RESOLUTION = _own("RESOLUTION", "Resolution not taken")
_PLANE = _own("PLANE", "Plane not taken")
_GEOMETRY = _own("GEOMETRY", "Slices form no regular volume")
_IDENTITY = _own("IDENTITY", "Images of one series disagree on whose they are")
_EVERY_SERIES = _own("EVERY-SERIES", "No series of the study is taken")
_FORMAT = codes.DCM.ObjectsIncorrectlyFormatted
_TYPE = codes.DCM.ObjectTypesNotSupported
_INCOMPLETE = codes.DCM.ObjectSetIncomplete
_MEDIA = codes.DCM.MediaFailure
_TOO_LARGE = codes.DCM.ResourceInadequate
_QUALITY = codes.DCM.InsufficientQualityForInterpretation
_SOFTWARE = codes.DCM.SoftwareFailure
_UNKNOWN = codes.DCM.UnknownFailure

REASONS: dict[str, ToldReason] = {
    "no-series-accepted": ToldReason(_EVERY_SERIES, "The algorithm takes none of the series of this study."),
    "modality-not-accepted": ToldReason(_MODALITY, "The images are of a modality that the algorithm does not take."),
    "derived-result": ToldReason(_SERIES_KIND, "The series holds derived objects, no acquired images."),
    "body-part-not-accepted": ToldReason(_BODY_PART, "The images are of a body part that the algorithm does not take."),
    "body-part-unknown": ToldReason(
        _NO_BODY_PART, "The images do not state their body part, which the algorithm needs to know."
    ),
    "series-description-excluded": ToldReason(_SERIES_KIND, "The algorithm leaves out series of this description."),
    "localizer": ToldReason(_SERIES_KIND, "The series is a localizer, which is only for planning."),
    "too-few-slices": ToldReason(_SLICES, "The series has too few slices."),
    "too-many-slices": ToldReason(_SLICES, "The series has too many slices."),
    "several-images": ToldReason(_SLICES, "The series has several images, of which the algorithm takes one."),
    "coverage-too-small": ToldReason(_COVERAGE, "The series covers too little of the patient."),
    "coverage-too-large": ToldReason(_COVERAGE, "The series covers more of the patient than the algorithm takes."),
    "view-not-accepted": ToldReason(_VIEW, "The images are views that the algorithm does not take."),
    "view-unknown": ToldReason(_VIEW, "The images do not state their view, which the algorithm needs to know."),
    "acquisition-excluded": ToldReason(
        _ACQUISITION, "The images were acquired in a way that the algorithm was not made for."
    ),
    "patient-age-not-accepted": ToldReason(_AGE, "The patient's age is outside the range of the algorithm."),
    "patient-age-unknown": ToldReason(
        _AGE, "The patient's age does not follow from what the images state, and the algorithm has limits of age."
    ),
    "matrix-too-small": ToldReason(_RESOLUTION, "The images have too few pixels."),
    "slice-spacing-too-large": ToldReason(_RESOLUTION, "The slices are too far apart."),
    "pixel-spacing-too-large": ToldReason(_RESOLUTION, "The pixels are too large."),
    "plane-not-accepted": ToldReason(_PLANE, "The images are in a plane that the algorithm does not take."),
    "multi-frame": ToldReason(_TYPE, "The images are frames without a place in the patient, such as a film."),
    "not-monochrome": ToldReason(_TYPE, "The images are in colour, or in a colour space, that is not taken here."),
    "modality-lut": ToldReason(_FORMAT, "The images need a table for their values, which is malformed."),
    "palette": ToldReason(_FORMAT, "The images need a table for their colours, which is missing or malformed."),
    "voi-lut": ToldReason(_FORMAT, "The images need a table for their display, which is malformed."),
    "undecodable-pixel-data": ToldReason(_TYPE, "The pixel data of an image cannot be decoded here."),
    "duplicate-positions": ToldReason(_GEOMETRY, "Several slices lie at one place, so the series is no single volume."),
    "several-volumes": ToldReason(_GEOMETRY, "The frames of an image are several volumes, not one."),
    "mixed-orientation": ToldReason(_GEOMETRY, "The slices are not parallel, so the series is no single volume."),
    "mixed-frame-of-reference": ToldReason(_GEOMETRY, "The slices do not share one frame of reference."),
    "mixed-size": ToldReason(_GEOMETRY, "The slices differ in their numbers of pixels."),
    "mixed-spacing": ToldReason(_GEOMETRY, "The slices differ in the size of their pixels."),
    "uneven-spacing": ToldReason(_GEOMETRY, "The slices are not evenly spaced."),
    "tilted-stack": ToldReason(_GEOMETRY, "The slices are shifted against each other, as with a tilted gantry."),
    "missing-geometry": ToldReason(_FORMAT, "The images do not say where in the patient they lie."),
    "no-pixel-data": ToldReason(_FORMAT, "An object of the series has no image in it."),
    "short-pixel-data": ToldReason(_FORMAT, "The pixel data of an image is incomplete."),
    "not-finite": ToldReason(_FORMAT, "The pixel values of an image are not all numbers."),
    "unreadable": ToldReason(_FORMAT, "An image cannot be read as DICOM."),
    "gap": ToldReason(_INCOMPLETE, "Slices are missing between others."),
    "missing-object": ToldReason(_MEDIA, "The stored file of an image is missing."),
    "damaged-object": ToldReason(_MEDIA, "The stored file of an image is damaged."),
    "too-many-pixels": ToldReason(_TOO_LARGE, "The series has more pixels than this installation can hold."),
    "inflates-too-large": ToldReason(_TOO_LARGE, "An image is compressed in a way that is not safe to unpack."),
    "empty-image": ToldReason(_QUALITY, "The images show nothing that could be analysed."),
    "masked-image": ToldReason(
        _ACQUISITION, "Much of the images is blank, as after skull stripping, for which the algorithm was not made."
    ),
    "patient-mix": ToldReason(_IDENTITY, "The images of one series disagree on whose they are."),
    "invalid-output": ToldReason(_SOFTWARE, "The analysis failed: the algorithm produced numbers that are no result."),
    "varying-output": ToldReason(
        _SOFTWARE, "The analysis failed: what the algorithm gave is not as large as the images it was given."
    ),
    "unknown-record": ToldReason(_SOFTWARE, "The analysis failed: what it needed was not found in the database."),
    "model-child-died": ToldReason(_SOFTWARE, "The analysis failed: the program that ran the algorithm broke down."),
    "out-of-memory": ToldReason(_TOO_LARGE, "The analysis failed: it needs more memory than this installation has."),
    "device-full": ToldReason(_TOO_LARGE, "The analysis failed: the memory of the device that runs it was spent."),
    "analysis-too-slow": ToldReason(_TOO_LARGE, "The analysis failed: it took longer than this installation allows."),
    "attempts-spent": ToldReason(
        _UNKNOWN, "The analysis failed: it was started several times without coming to an end."
    ),
}

# Refusals by the input contract: their sentence for an operator compares the images with the manifest and holds nothing
# else, so the report repeats it. Sentences of failures may name a file, a setting or a class of our code: what is sent
# to a PACS has the plain words above alone, and the sentence stays in the job and in the log.
REPEATED = frozenset(
    {
        "no-series-accepted",
        "modality-not-accepted",
        "body-part-not-accepted",
        "body-part-unknown",
        "series-description-excluded",
        "too-few-slices",
        "too-many-slices",
        "several-images",
        "coverage-too-small",
        "coverage-too-large",
        "view-not-accepted",
        "view-unknown",
        "acquisition-excluded",
        "patient-age-not-accepted",
        "patient-age-unknown",
        "matrix-too-small",
        "slice-spacing-too-large",
        "pixel-spacing-too-large",
        "plane-not-accepted",
    }
)


def sentences(reason: Reason) -> tuple[str, ...]:
    """What a reader is told of a reason: the plain words, then its own sentence if that is one of a refusal."""
    plain = told(reason.code).sentence
    return (plain, reason.sentence) if reason.code in REPEATED else (plain,)


def told(code: str) -> ToldReason:
    """The reason of this code; one that an older or newer release wrote is told as an unknown failure."""
    return REASONS.get(code, ToldReason(_UNKNOWN, "The analysis came to no result."))


def own_scheme() -> Dataset:
    """What names the coding scheme of our own codes in an object (PS3.3 section C.12.1, 0008,0110)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = OWN_SCHEME
    scheme.CodingSchemeName = "Overread reasons for not being analysed"
    scheme.CodingSchemeResponsibleOrganization = "Overread"
    return scheme
