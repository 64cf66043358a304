"""Several daemons on one database; a request's key as it was sent; history that cannot be rewritten."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEPT = ("episodes", "aliases", "requests", "posts", "events")  # nothing of these is ever deleted
FOR_EVER = "BEGIN SELECT RAISE(ABORT, '{table}: what is recorded is never {done}'); END"
REFUSE = """
CREATE FUNCTION podcast_monitor_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%: what is recorded is kept: % refused', TG_TABLE_NAME, TG_OP; END $$
"""


def upgrade() -> None:
    op.add_column("requests", sa.Column("key", sa.Text(), nullable=True))
    op.create_index(
        "ix_episodes_leased_until",
        "episodes",
        ["leased_until"],
        sqlite_where=sa.text("leased_until IS NOT NULL"),
        postgresql_where=sa.text("leased_until IS NOT NULL"),
    )
    op.create_table(
        "daemons",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("podcasts", sa.JSON(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("logs", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_daemons"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in KEPT:
            _refuse_on_sqlite(table, "DELETE", "deleted")
        _refuse_on_sqlite("events", "UPDATE", "changed")
        return
    op.execute(REFUSE)
    for table in KEPT:
        _refuse_on_postgresql(table, "DELETE OR TRUNCATE")
    _refuse_on_postgresql("events", "UPDATE")


def _refuse_on_sqlite(table: str, deed: str, done: str) -> None:
    body = FOR_EVER.format(table=table, done=done)
    op.execute(f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} {body}")


def _refuse_on_postgresql(table: str, deeds: str) -> None:
    name = f"{table}_no_{deeds.partition(' ')[0].lower()}"
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {deeds} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION podcast_monitor_refuse()"
    )
