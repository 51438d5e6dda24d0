"""What an instance says of its image is read once, when it is imported.

Can the previous release run beside it: yes. Instances that it imports, like those that were there before, have no row
here, and a worker then looks into their files.
"""

import sqlalchemy as sa
from alembic import op

revision = "5c81e0f4ab27"
down_revision = "d1e08f3a7b54"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "instance_image",
        sa.Column("instance_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.Integer(), nullable=False),
        sa.Column("samples_per_pixel", sa.Integer(), nullable=False),
        sa.Column("photometric_interpretation", sa.Text(), nullable=False),
        sa.Column("number_of_frames", sa.BigInteger(), nullable=False),
        sa.Column("bits_allocated", sa.Integer(), nullable=False),
        sa.Column("bits_stored", sa.Integer(), nullable=False),
        sa.Column("high_bit", sa.Integer(), nullable=False),
        sa.Column("pixel_representation", sa.Integer(), nullable=False),
        sa.Column("image_position_patient", sa.ARRAY(sa.Double()), nullable=True),
        sa.Column("image_orientation_patient", sa.ARRAY(sa.Double()), nullable=True),
        sa.Column("pixel_spacing", sa.ARRAY(sa.Double()), nullable=True),
        sa.Column("rescale_intercept", sa.Double(), nullable=True),
        sa.Column("rescale_slope", sa.Double(), nullable=True),
        sa.Column("head_length", sa.BigInteger(), nullable=False),
        sa.Column("head_sha256", sa.Text(), nullable=False),
        sa.Column("pixel_offset", sa.BigInteger(), nullable=True),
        sa.Column("pixel_length", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("instance_id", name="instance_image_pkey"),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name="instance_image_instance_id_fkey"),
        sa.CheckConstraint("head_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("instance_image_head_sha256_is_hexadecimal")),
        sa.CheckConstraint(
            "num_nonnulls(pixel_offset, pixel_length) IN (0, 2)",
            name=op.f("instance_image_pixels_have_place_and_length"),
        ),
    )


def downgrade() -> None:
    op.drop_table("instance_image")
