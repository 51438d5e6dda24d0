"""The statistics of a result, written in the transaction that stores it."""

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from storage.domain.cohort import SOURCE
from storage.domain.job_statistics import JobStatistics, Stage
from storage.postgres.stored_text import stored_text
from storage.postgres.tables import CohortMemberRow, CohortRow, JobRow, ResultStatisticsRow


def store_statistics(
    session: Session, job_id: int, result_id: int, statistics: JobStatistics, store_seconds: float
) -> None:
    """Write the statistics of a result; ``store_seconds`` is what storing it has taken until now.

    What was made for a cohort is of the past, and is left out of what monitoring watches today; a shadow's result of
    today that a cohort takes as well is not.
    """
    if _is_of_a_cohort(session, job_id):
        return
    plain = statistics.as_json()
    session.execute(
        insert(ResultStatisticsRow).values(
            result_id=result_id,
            algorithm_id=select(JobRow.algorithm_id).where(JobRow.id == job_id).scalar_subquery(),
            scanner=stored_text(statistics.acquisition.scanner),
            protocol=stored_text(statistics.acquisition.protocol),
            acquisition=plain["acquisition"],
            values=plain["values"],
            scores={stored_text(name): score for name, score in plain["scores"].items()},
            stages=plain["stages"] | {str(Stage.STORE): store_seconds},
        )
    )


def _is_of_a_cohort(session: Session, job_id: int) -> bool:
    """Whether a cohort had the job made, and nobody else is shown its result."""
    made = (
        select(JobRow.id)
        .join(CohortMemberRow, CohortMemberRow.job_id == JobRow.id)
        .join(CohortRow, CohortRow.id == CohortMemberRow.cohort_id)
        .where(JobRow.id == job_id, JobRow.shadow, JobRow.source == func.concat(SOURCE, CohortRow.name))
    )
    return session.scalar(made.limit(1)) is not None
