"""What the API says, as it is described in its OpenAPI document."""

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Code(_Model):
    """A code from a terminology (PS3.3 section 8)."""

    value: str = Field(examples=["108369006"])
    scheme: str = Field(description="SCT, DCM, UCUM …", examples=["SCT"])
    meaning: str = Field(examples=["Neoplasm"])


class Line(_Model):
    """Where a length was measured: two ends on an image and in the patient."""

    sop_instance_uid: str
    frame_number: int | None = Field(default=None, description="The frame, of a multi-frame instance.")
    image_points: list[list[float]] = Field(description="Column and row, from the corner of the first pixel.")
    patient_points_mm: list[list[float]] | None = Field(
        default=None, description="x, y, z in the patient's coordinates, LPS; not of radiographs."
    )


class Measured(_Model):
    """One number with its meaning and its unit."""

    name: Code
    value: float
    unit: Code = Field(description="From UCUM.")
    derivation: Code | None = Field(default=None, description="How many values became one, such as their mean.")
    line: Line | None = Field(default=None, description="Where a diameter was measured.")


class Classified(_Model):
    """How probable one class is, on the image where it is most probable."""

    label: str = Field(examples=["Tumour"])
    probability: float = Field(ge=0, le=1, examples=[0.93])
    threshold: float = Field(examples=[0.62])
    threshold_origin: str = Field(description="Where the threshold comes from.")
    present: bool = Field(description="Whether the probability reaches the threshold.")
    key_sop_instance_uid: str = Field(description="The image where it is most probable.")
    images_examined: int
    images: int
    key_frame_number: int | None = Field(default=None, description="The frame of it, of a multi-frame instance.")


class Box(_Model):
    """A box on one image, edges in pixels from the corner of the first one."""

    sop_instance_uid: str
    frame_number: int | None = Field(default=None, description="The frame, of a multi-frame instance.")
    top: float
    left: float
    bottom: float
    right: float
    score: float = Field(ge=0, le=1)


class Detected(_Model):
    """Where one thing was found; no box where nothing of its class was."""

    boxes: list[Box]
    reached: int = Field(description="How many findings of the class reached the threshold, told or not.")


class AnalysisFinding(_Model):
    """One thing that was looked for: what, where, and how large or how probable."""

    kind: Code
    site: Code | None = None
    tracking_uid: str = Field(description="The same in every DICOM object that speaks of it.")
    measurements: list[Measured] = []
    classification: Classified | None = None
    detection: Detected | None = None


class Picture(_Model):
    """A picture of a result for people; the marks in it belong to it."""

    title: str
    url: str = Field(examples=["/api/v1/analyses/2.25.123/pictures/1"])


class Refused(_Model):
    """A series that an algorithm did not analyse, and why: it does not take it, or another one ranked higher."""

    series_instance_uid: str
    code: str = Field(examples=["modality-not-accepted"])
    sentence: str


class AnalysisReason(_Model):
    """Why something is not as it was wished: a stable code and one sentence."""

    code: str
    sentence: str


class AlgorithmRun(_Model):
    """What one algorithm made of the images; ``state`` is where its work stands."""

    algorithm: str = Field(examples=["brain-mr-classifier 1.0"])
    state: str = Field(description="scheduled, in_progress, analysed, not-analysed, failed or canceled.")
    reason: AnalysisReason | None = None
    series_instance_uid: str = Field(default="", description="The series that was analysed.")
    model_sha256: str = Field(default="", description="The bytes of the model that ran.")
    findings: list[AnalysisFinding] = []
    report_text: str = ""
    pictures: list[Picture] = []
    refusals: list[Refused] = []


class Analysis(_Model):
    """Where the analysis of a study stands, and what it found. For research: no physician has verified it."""

    study_instance_uid: str = Field(examples=["2.25.329800735698586629295641978511506172918"])
    state: str = Field(
        description=(
            "receiving, queued, analysing, delivering, done, not-analysed, failed, parked or canceled; the first three "
            "are not the end."
        )
    )
    finished: bool = Field(description="Whether nothing more is to come.")
    reason: AnalysisReason | None = None
    revision: int = Field(description="How often the study was complete; each time makes new results.")
    images: int = Field(description="The instances that count.")
    algorithms: list[AlgorithmRun] = []
    dicom_web: str = Field(
        description="Where the images and the results can be retrieved as DICOM.",
        examples=["/dicom-web/studies/2.25.329800735698586629295641978511506172918"],
    )
