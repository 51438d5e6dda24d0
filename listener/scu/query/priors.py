"""Choosing the priors of a patient: which earlier studies are worth having."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from listener.scu.query.archive import Archive
from listener.scu.query.matching import FoundStudy, StudyQuery, UnusableQuery, newest_first

_MOST_STUDIES = 5_000  # of one patient
_SEVERAL_PATIENTS = (
    "Several issuers gave this Patient ID, so these may be several patients; say whose with --patient and --issuer."
)


@dataclass(frozen=True, slots=True)
class PriorsWanted:
    """The ``most`` newest studies of a patient up to a day, not older than so many days before it.

    ``keys`` are further ones of a query, such as Modality and BodyPartExamined; ``without`` is the study itself.
    """

    patient_id: str
    until: date
    most: int
    within_days: int | None = None
    issuer_of_patient_id: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    without: str = ""

    def query(self) -> StudyQuery:
        """What an archive is asked.

        Raises:
            UnusableQuery: the patient's ID could match others.
        """
        first = "" if self.within_days is None else f"{self.until - timedelta(days=self.within_days):%Y%m%d}"
        issuer = {"IssuerOfPatientID": self.issuer_of_patient_id} if self.issuer_of_patient_id else {}
        of_patient = {"PatientID": self.patient_id, **issuer}
        return StudyQuery({**of_patient, "StudyDate": f"{first}-{self.until:%Y%m%d}", **self.keys})


def priors(archive: Archive, wanted: PriorsWanted) -> list[FoundStudy]:
    """Those that the archive has, newest first. A study whose date it does not say is left out.

    Raises:
        ArchiveFailed: it did not answer, or refused.
        UnusableQuery: it cannot be asked so, or several patients have this ID.
    """
    query = wanted.query()
    found = [one for one in archive.find_studies(query, _MOST_STUDIES) if one.patient_id == wanted.patient_id]
    if not wanted.issuer_of_patient_id and len({one.issuer_of_patient_id for one in found} - {""}) > 1:
        raise UnusableQuery(_SEVERAL_PATIENTS)
    chosen: list[FoundStudy] = []
    for study in newest_first(found):
        if len(chosen) == wanted.most:
            break
        if study.study_date is None or study.study_instance_uid == wanted.without:
            continue
        if meets_series_keys(archive, query, study):
            chosen.append(study)
    return chosen


def meets_series_keys(archive: Archive, query: StudyQuery, study: FoundStudy) -> bool:
    """Whether one series meets the keys that only a series has; without such keys nothing is asked.

    Raises:
        ArchiveFailed: the archive did not answer, or refused.
    """
    asked = query.of_series
    return not asked or any(series.meets(asked) for series in archive.find_series(study.study_instance_uid))
