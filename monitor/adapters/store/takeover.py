"""What a daemon does first with a database."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from monitor.adapters.store import due, freezing, leases, polls

SKEW = timedelta(seconds=5)  # clocks of machines that share a database differ by less


def take_over(
    conn: Connection,
    podcasts: Sequence[tuple[str, str, str]],
    now: datetime,
    *,
    others: Collection[str] = (),
) -> None:
    """Begin on a database.

    No lease of an earlier run stands (on PostgreSQL they run out by themselves), nothing waits
    for a clock that was set back meanwhile, Stenobird's door is tried at once, and *podcasts*
    (name, feed URL, Stenobird slug) are polled, beside those of *others*.
    """
    if conn.dialect.name == "sqlite":
        leases.void_all(conn)
    ahead = (due.latest(conn) or now) - now
    if ahead > SKEW:
        due.set_back(conn, ahead, now)
    freezing.try_again(conn, now)
    polls.configure(conn, podcasts, now, others=others)
