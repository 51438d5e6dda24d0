"""From what is known about a study to the answer of the API."""

from collections.abc import Sequence
from typing import Any

from listener.web.analyze.models import AlgorithmRun, Analysis, AnalysisFinding, AnalysisReason, Picture, Refused
from storage.domain.job import JobKind, JobState
from storage.domain.study import StudyState
from storage.ports.facts import Facts

PREFIX = "/api/v1"
_UNFINISHED = frozenset({StudyState.RECEIVING, StudyState.QUEUED, StudyState.ANALYSING})


def address_of(study_instance_uid: str) -> str:
    """Where an analysis can be asked for."""
    return f"{PREFIX}/analyses/{study_instance_uid}"


def received(study_instance_uid: str, images: int) -> Analysis:
    """The answer while what was received has no rows yet."""
    return Analysis(
        study_instance_uid=study_instance_uid,
        state=StudyState.RECEIVING,
        finished=False,
        revision=0,
        images=images,
        dicom_web=_dicom_web(study_instance_uid),
    )


def analysis_of(facts: Facts) -> Analysis:
    """The answer from everything that is known."""
    study, uid = facts["study"], facts["study_instance_uid"]
    pictures = pictures_of(facts)
    replaced = {job["predecessor_id"] for job in facts["jobs"]}
    jobs = [
        job
        for job in facts["jobs"]
        if job["kind"] == JobKind.INFERENCE and job["revision"] == study["revision"] and job["id"] not in replaced
    ]
    finished = study["state"] not in _UNFINISHED
    return Analysis(
        study_instance_uid=uid,
        state=study["state"],
        finished=finished,
        reason=_reason(study["reason_code"], study["reason"]) if finished else None,
        revision=study["revision"],
        images=study["instances"],
        algorithms=[_run(job, facts["results"], pictures, uid) for job in jobs],
        dicom_web=_dicom_web(uid),
    )


def pictures_of(facts: Facts) -> list[tuple[int, dict[str, str]]]:
    """Every picture of the study's results with the id of its result, in the order of their numbers from 1 on."""
    return [(result["result_id"], picture) for result in facts["results"] for picture in result.get("pictures") or []]


def _run(
    job: dict[str, Any], results: Sequence[dict[str, Any]], pictures: Sequence[tuple[int, dict[str, str]]], uid: str
) -> AlgorithmRun:
    run = AlgorithmRun(
        algorithm=job["algorithm"],
        state=job["outcome"] if job["state"] == JobState.COMPLETED else job["state"],
        reason=_reason(job["reason_code"], job["reason"]) if job["outcome"] != "analysed" else None,
        refusals=[Refused(**refusal) for refusal in job["refusals"]],
    )
    result = next((result for result in results if result["job_id"] == job["id"] and result["analysed"]), None)
    if result is None:
        return run
    return run.model_copy(
        update={
            "series_instance_uid": result["series_instance_uid"],
            "model_sha256": result["artifact_sha256"],
            "findings": [_finding(finding) for finding in result["findings"]],
            "report_text": result["report_text"],
            "pictures": [
                Picture(title=picture["title"], url=f"{address_of(uid)}/pictures/{number}")
                for number, (result_id, picture) in enumerate(pictures, start=1)
                if result_id == result["result_id"]
            ],
        }
    )


def _finding(finding: dict[str, Any]) -> AnalysisFinding:
    told = {name: finding[name] for name in AnalysisFinding.model_fields if finding.get(name) is not None}
    return AnalysisFinding.model_validate(told)


def _reason(code: str | None, sentence: str | None) -> AnalysisReason | None:
    return AnalysisReason(code=code, sentence=sentence or "") if code else None


def _dicom_web(study_instance_uid: str) -> str:
    return f"/dicom-web/studies/{study_instance_uid}"
