"""What was read of each feed last. A cache: a feed without a row here is read anew, whole."""

import zlib
from contextlib import suppress

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.core.cut import DIGEST_BYTES, MARK_BYTES, RULES
from monitor.core.model import Edition, Reading

E = schema.editions.c
READING = TypeAdapter(Reading)


COLUMNS = [column for column in E if column is not E.reading and column is not E.podcast_id]
CURRENT = sa.and_(E.podcast_id == schema.podcasts.c.id, E.rules == RULES)  # to join by


def of(row: sa.Row[tuple[object, ...]]) -> Edition | None:
    """Return the edition in a row that has its columns; None where it was joined in vain."""
    if row.marks is None or len(row.marks) * DIGEST_BYTES != len(row.digests) * MARK_BYTES:
        return None
    return Edition(
        row.marks,
        row.digests,
        row.alone,
        row.calm,
        row.body_bytes,
        row.wire_bytes,
    )


def reading(conn: Connection, podcast_id: int) -> Reading | None:
    """Return what that document said, if it could be cut; what cannot be read is read anew."""
    query = sa.select(E.reading).where(E.podcast_id == podcast_id, E.rules == RULES)
    stored = conn.execute(query).scalar_one_or_none()
    with suppress(zlib.error, ValidationError):
        return None if stored is None else READING.validate_json(zlib.decompress(stored))
    return None


def write(conn: Connection, podcast_id: int, new: Edition, read: Reading | None) -> None:
    """Replace what is recorded; where nothing was *read* anew, what the document said stays."""
    values: dict[str, object] = {
        "rules": RULES,
        "marks": new.marks,
        "digests": new.digests,
        "alone": new.alone,
        "calm": new.calm,
        "body_bytes": new.body_bytes,
        "wire_bytes": new.wire_bytes,
    }
    if read is not None:
        values["reading"] = zlib.compress(READING.dump_json(read), 1)
    updated = conn.execute(
        sa.update(schema.editions).where(E.podcast_id == podcast_id).values(values)
    )
    if updated.rowcount == 0:
        conn.execute(sa.insert(schema.editions).values(podcast_id=podcast_id, **values))
