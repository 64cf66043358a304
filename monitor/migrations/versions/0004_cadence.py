"""Polls where episodes are expected: why a poll comes when it does, and how late they were found."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("podcasts", sa.Column("next_poll_reason", sa.Text(), nullable=True))
    op.add_column("podcasts", sa.Column("polled", sa.LargeBinary(), nullable=True))
    op.add_column("episodes", sa.Column("delay_s", sa.Integer(), nullable=True))
    op.add_column("episodes", sa.Column("fixed_delay_s", sa.Integer(), nullable=True))
