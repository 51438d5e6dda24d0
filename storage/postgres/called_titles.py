"""Under which of our names a study came."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.postgres.received_tables import AssociationRow, InstanceRow


def called_ae_titles(session: Session, study_id: int, revision: int) -> list[str]:
    """The called AE titles of the associations that brought the instances of a revision; empty text for the web."""
    return list(
        session.scalars(
            select(AssociationRow.called_ae_title)
            .join(InstanceRow, InstanceRow.association_id == AssociationRow.association_id)
            .where(InstanceRow.study_id == study_id, InstanceRow.revision <= revision)
            .distinct()
        )
    )
