"""Whether a SQLite file is still what was written to it.

``PRAGMA integrity_check`` reads every page: the trees, the rows' shape, the constraints, and whether
each index agrees with its table. Of a file of 218 MB (560,000 events) it took 0.5 s where the file
was in memory, and 5.2 s where it came from the disk (``quick_check``, which leaves the indexes out:
0.24 and 4.7 s). So before the daemon is ready a file is checked up to a size, which is that of some
170,000 events.

What it cannot see is a change within a text or a number: SQLite keeps no checksums.
"""

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from monitor.adapters.store import schema
from monitor.adapters.store.database import Database
from monitor.adapters.store.trouble import reason_of, trouble, words

AT_START_BYTES = 64 * 1024**2  # some 1.5 s from the disk
SAID = 3  # findings; a damaged page has hundreds


def is_quick(database: Database) -> bool:
    """Return whether a check takes no longer than a start may."""
    return database.path is not None and database.path.stat().st_size <= AT_START_BYTES


def require_sound(database: Database) -> None:
    """Refuse a damaged file. Of a server that is the server's own affair.

    Raises:
        DatabaseError: it is damaged, or cannot be read now.
    """
    if database.path is None:
        return
    found = database.read(findings)
    if found:
        raise trouble(database, "corrupt", "; ".join(found))


def require_tables(database: Database) -> None:
    """Refuse a database of this program's schema that lacks a table or a column of it.

    A letter changed in a table's definition is well-formed, and fails every statement.

    Raises:
        DatabaseError: something is missing, or it cannot be read now.
    """
    if missing := database.read(_missing):
        raise trouble(database, "corrupt", missing)


def write_anew(conn: Connection) -> None:
    """Write what is there already: some troubles show only when something is written."""
    conn.execute(sa.update(schema.counters).values(value=schema.counters.c.value))


def _missing(conn: Connection) -> str | None:
    try:
        for table in schema.metadata.sorted_tables:
            conn.execute(sa.select(table).limit(0))
    except DBAPIError as error:
        if reason_of(error) is not None:
            raise
        return words(error)
    return None


def findings(conn: Connection) -> list[str]:
    """Return what is wrong with a SQLite file, the first of it; empty: it is sound."""
    query = f"PRAGMA integrity_check({SAID})"
    try:
        told = conn.exec_driver_sql(query).scalars().all()
    except DBAPIError as error:
        if reason_of(error) != "corrupt":
            raise
        return [words(error)]
    return [] if told == ["ok"] else [line for text in told for line in str(text).splitlines()]
