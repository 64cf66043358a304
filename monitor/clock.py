"""The wall clock. Only the daemon and the commands read it; everybody else is given the time."""

from datetime import UTC, datetime

EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)  # nothing of this program is older


def now() -> datetime:
    """Return the wall clock's time, in UTC."""
    return datetime.now(UTC)


def is_set(at: datetime) -> bool:
    """Return whether a clock that says *at* was ever set: without a battery it begins in 1970."""
    return at >= EARLIEST
