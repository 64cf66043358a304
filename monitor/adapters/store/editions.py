"""What was read of each feed last. A cache: a feed without a row here is read anew, whole."""

import zlib

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Connection

from monitor.adapters.store import schema
from monitor.core.cut import DIGEST_BYTES, MARK_BYTES, RULES
from monitor.core.model import Edition, Reading

E = schema.editions.c
READING = TypeAdapter(Reading)


def edition(conn: Connection, podcast_id: int) -> Edition | None:
    """Return what a podcast's last document was, if it was cut by the rules of this program."""
    query = sa.select(schema.editions).where(E.podcast_id == podcast_id, E.rules == RULES)
    row = conn.execute(query.with_only_columns(*(c for c in E if c is not E.reading))).one_or_none()
    if row is None:
        return None
    return Edition(
        _split(row.marks, MARK_BYTES),
        _split(row.digests, DIGEST_BYTES),
        row.alone,
        row.calm,
        row.body_bytes,
        row.wire_bytes,
        row.wire_digest,
    )


def reading(conn: Connection, podcast_id: int) -> Reading | None:
    """Return what that document said, if it could be cut."""
    query = sa.select(E.reading).where(E.podcast_id == podcast_id, E.rules == RULES)
    stored = conn.execute(query).scalar_one_or_none()
    return None if stored is None else READING.validate_json(zlib.decompress(stored))


def write(conn: Connection, podcast_id: int, new: Edition, read: Reading | None) -> None:
    """Replace what is recorded; where nothing was *read* anew, what the document said stays."""
    values: dict[str, object] = {
        "rules": RULES,
        "marks": b"".join(new.marks),
        "digests": b"".join(new.digests),
        "alone": new.alone,
        "calm": new.calm,
        "body_bytes": new.body_bytes,
        "wire_bytes": new.wire_bytes,
        "wire_digest": new.wire_digest,
    }
    if read is not None:
        values["reading"] = zlib.compress(READING.dump_json(read), 1)
    updated = conn.execute(
        sa.update(schema.editions).where(E.podcast_id == podcast_id).values(values)
    )
    if updated.rowcount == 0:
        conn.execute(sa.insert(schema.editions).values(podcast_id=podcast_id, **values))


def _split(joined: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(joined[at : at + size] for at in range(0, len(joined), size))
