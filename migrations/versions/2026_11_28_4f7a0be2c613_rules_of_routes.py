"""What the rules of routes ask of a series, and which routes were chosen for a revision.

Can the previous release run beside it: yes; to rules its series say nothing but what stands in `series`.
"""

from alembic import op

revision = "4f7a0be2c613"
down_revision = "d4a81f6e2c97"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE series_attributes (
            series_id bigint NOT NULL,
            manufacturer text NOT NULL,
            institution_name text NOT NULL,
            station_name text NOT NULL,
            study_description text NOT NULL,
            institutional_department_name text NOT NULL,
            manufacturer_model_name text NOT NULL,
            protocol_name text NOT NULL,
            requested_procedure_description text NOT NULL,
            requested_procedure_priority text NOT NULL,
            CONSTRAINT series_attributes_pkey PRIMARY KEY (series_id),
            CONSTRAINT series_attributes_series_id_fkey FOREIGN KEY (series_id) REFERENCES series (id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE revision_route (
            study_id bigint NOT NULL,
            revision integer NOT NULL,
            called_ae_title text NOT NULL,
            sentence text NOT NULL,
            CONSTRAINT revision_route_pkey PRIMARY KEY (study_id, revision, called_ae_title),
            CONSTRAINT revision_route_study_id_revision_fkey FOREIGN KEY (study_id, revision)
                REFERENCES study_revision (study_id, revision)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE revision_route")
    op.execute("DROP TABLE series_attributes")
