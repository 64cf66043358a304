"""What was read of a feed last, item by item; and where a feed has moved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("podcasts", sa.Column("origin", sa.Text(), nullable=True))
    op.add_column("podcasts", sa.Column("wire_digest", sa.LargeBinary(), nullable=True))
    op.add_column("podcasts", sa.Column("adopted", sa.Text(), nullable=True))
    op.add_column("podcasts", sa.Column("moved_to", sa.Text(), nullable=True))
    op.add_column("podcasts", sa.Column("moved_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("podcasts", sa.Column("ttl_s", sa.Integer(), nullable=True))
    op.create_table(
        "editions",
        sa.Column("podcast_id", sa.Integer(), nullable=False),
        sa.Column("rules", sa.Integer(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("reading", sa.LargeBinary(), nullable=True),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.Column("calm", sa.Integer(), nullable=False),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("wire_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["podcast_id"], ["podcasts.id"], name="fk_editions_podcast_id"),
        sa.PrimaryKeyConstraint("podcast_id", name="pk_editions"),
    )
