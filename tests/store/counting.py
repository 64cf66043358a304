"""A process that adds one to a counter, reading it first, as often as it can; see test_one_writer."""

import sys
import time

import sqlalchemy as sa
from sqlalchemy import Connection

from monitor.adapters.store import events, schema
from monitor.adapters.store.database import connect


def add_one(conn: Connection) -> None:
    value = events.counter(conn, schema.LOGGED)
    name = schema.counters.c.name
    conn.execute(sa.update(schema.counters).where(name == schema.LOGGED).values(value=value + 1))


def main(url: str, seconds: float) -> None:
    """Say that it is ready, begin when told, and print how many commits were acknowledged."""
    database = connect(url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    until = time.monotonic() + seconds
    acknowledged = 0
    while time.monotonic() < until:
        database.write(add_one)
        acknowledged += 1
    sys.stdout.write(f"{acknowledged}\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
