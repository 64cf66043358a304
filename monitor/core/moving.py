"""A feed that says it has moved for good: when to believe it.

A permanent redirect is often a mistake, or a hotel's network; a wrong one that was believed loses
the feed. So it is followed at once, and adopted only when every answer of three days led to the
same place and the feed found there was this one.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from monitor.core.model import Feed, LogEvent, Validators

BELIEVED_AFTER = timedelta(days=3)
DROPPED_AFTER = 5  # failures in a row of an adopted address: the configured one is asked again


def after_answer(
    feed: Feed, moved_to: str | None, *, now: datetime
) -> tuple[Feed, tuple[LogEvent, ...]]:
    """Return the feed after an answer that was its own, and what is to be told.

    *moved_to* is where a chain of permanent redirects only led; None: there was none.
    """
    if moved_to is None or not _is_safe(feed, moved_to):
        return replace(feed, moved_to=None, moved_since=None), ()
    if moved_to != feed.moved_to or feed.moved_since is None or feed.moved_since > now:
        return replace(feed, moved_to=moved_to, moved_since=now), ()
    if now - feed.moved_since < BELIEVED_AFTER:
        return feed, ()
    adopted = replace(feed, adopted=moved_to, moved_to=None, moved_since=None)
    return adopted, (_moved(feed.podcast, moved_to),)


def after_failure(feed: Feed) -> tuple[Feed, tuple[LogEvent, ...]]:
    """Return the feed after a poll that failed, and what is to be told.

    Where the configured address still leads anywhere, it leads where the feed is now.
    """
    if feed.adopted is None or feed.failures < DROPPED_AFTER:
        return feed, ()
    dropped = replace(
        feed,
        adopted=None,
        moved_to=None,
        moved_since=None,
        validators=Validators(),  # they are the other address's
        wire_digest=None,
    )
    return dropped, (_moved(feed.podcast, feed.url),)


def _is_safe(feed: Feed, target: str) -> bool:
    """Return whether nothing is given up with the old address: no https for http."""
    asked = feed.adopted or feed.url
    return urlsplit(target).scheme == "https" or urlsplit(asked).scheme == "http"


def _moved(podcast: str, url: str) -> LogEvent:
    """Return the line: a host, never an address, which may carry a token."""
    return LogEvent("feed.moved", podcast, fields={"to_host": urlsplit(url).hostname or ""})
