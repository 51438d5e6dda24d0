"""Who made a finding: the algorithm's name, version and exact bytes."""

from dataclasses import dataclass
from typing import Literal

from storage.domain.coded_concept import CodedConcept


@dataclass(frozen=True, slots=True)
class AlgorithmIdentity:
    """What PS3.16 TID 4019 and the Contributing Equipment Sequence say of an algorithm.

    ``use`` decides the Content Qualification (PS3.3 section C.12.1.1): research or product; ``intended_use`` is the
    maker's own sentence on it. ``family`` is a code of CID 7162, such as (123110, DCM, "Artificial Intelligence").
    """

    name: str
    version: str
    manufacturer: str
    artifact_sha256: str
    manifest_sha256: str
    family: CodedConcept
    use: Literal["research", "product"]
    intended_use: str = ""
