"""By which ways a study came."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from storage.domain.route import Way
from storage.postgres.received_tables import AssociationRow, InstanceRow


def ways_of(session: Session, study_id: int, revision: int) -> list[Way]:
    """The ways of the associations that brought the instances of a revision; titles are empty for the web."""
    rows = session.execute(
        select(AssociationRow.called_ae_title, AssociationRow.calling_ae_title, AssociationRow.remote_address)
        .join(InstanceRow, InstanceRow.association_id == AssociationRow.association_id)
        .where(InstanceRow.study_id == study_id, InstanceRow.revision <= revision)
        .distinct()
    )
    return [Way(*row) for row in rows]
