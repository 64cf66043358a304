"""What is recorded is kept: the database itself refuses to forget or to rewrite it."""

import pytest
import sqlalchemy as sa
from recorded import NOON, event, new, record, rows
from sqlalchemy.exc import DBAPIError

from monitor.adapters.store import events, schema

KEPT = [schema.episodes, schema.aliases, schema.requests, schema.posts, schema.events]


@pytest.mark.parametrize("table", KEPT, ids=lambda table: table.name)
def test_nothing_of_the_history_or_the_ledger_can_be_deleted(database, table):
    record(database, new(1))
    database.write(events.append, [event()], NOON)
    database.write(
        lambda c: c.execute(
            sa.insert(schema.posts).values(
                request_id=1, at=sa.func.current_timestamp(), key="k", url="u", audio_minutes=1,
                in_vain=False,
            )
        )
    )  # fmt: skip
    before = rows(database)
    assert before[table.name]
    with pytest.raises(DBAPIError, match="what is recorded"):
        database.write(lambda c: c.execute(sa.delete(table)))
    assert rows(database) == before


def test_an_event_is_never_rewritten(database):
    record(database, new(1))
    database.write(events.append, [event()], NOON)
    before = rows(database)
    with pytest.raises(DBAPIError, match="what is recorded"):
        database.write(lambda c: c.execute(sa.update(schema.events).values(name="feed.moved")))
    assert rows(database) == before
