"""The tables of routing: what rules ask of a series, and which routes were chosen for a revision."""

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.postgres.table_base import Base, Big


class SeriesAttributesRow(Base):
    """What the first instance of a series said; see ``storage.domain.series_attributes``.

    Series of an earlier release, and those that cannot be read, have none.
    """

    __tablename__ = "series_attributes"

    series_id: Mapped[Big] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    manufacturer: Mapped[str]
    institution_name: Mapped[str]
    station_name: Mapped[str]
    study_description: Mapped[str]
    institutional_department_name: Mapped[str]
    manufacturer_model_name: Mapped[str]
    protocol_name: Mapped[str]
    requested_procedure_description: Mapped[str]
    requested_procedure_priority: Mapped[str]


class RevisionRouteRow(Base):
    """Which route was chosen for what came under a title when a revision became stable, and by which rules."""

    __tablename__ = "revision_route"
    __table_args__ = (
        ForeignKeyConstraint(["study_id", "revision"], ["study_revision.study_id", "study_revision.revision"]),
    )

    study_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    called_ae_title: Mapped[str] = mapped_column(primary_key=True)
    sentence: Mapped[str]
