"""When an episode came, as far as anybody can know. Pure."""

from datetime import UTC, datetime

# RSS has enclosures since then (2.0.1 of 2001); an older date is a mistake.
FIRST_PODCAST = datetime(2001, 1, 1, tzinfo=UTC)


def is_believable(published_at: datetime | None, seen_at: datetime) -> bool:
    """Return whether an episode that was *seen_at* may have been published when it says."""
    return published_at is not None and FIRST_PODCAST <= published_at <= seen_at


def came_at(
    published_at: datetime | None, seen_at: datetime, unseen_at: datetime | None
) -> datetime | None:
    """Return when an episode came: when it says, but after *unseen_at*, the last poll without it.

    Without a date that can be believed: when it was first seen. None, where there was no poll
    before: an undated episode of a back catalogue tells nothing.
    """
    if published_at is not None and is_believable(published_at, seen_at):
        return published_at if unseen_at is None else max(published_at, min(unseen_at, seen_at))
    return None if unseen_at is None else seen_at
