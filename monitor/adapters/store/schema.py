"""The tables. ``monitor/migrations`` creates them; a test keeps the two equal."""

from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class _AwareDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC, whichever zone the session has."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - a TypeDecorator's
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        return None if value is None else value.astimezone(UTC)


class _TextDateTime(sqlite.DATETIME):
    """The same as naive text that sorts by time, ``2026-10-10 14:03:05.123456``.

    SQLAlchemy's own type writes the same text, in three times the time, and most of what is
    written at a poll without news are instants.
    """

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:  # noqa: ARG002 - a type's
        return lambda at: (
            None if at is None else at.astimezone(UTC).isoformat(" ", "microseconds")[:26]
        )

    def result_processor(
        self,
        dialect: Dialect,  # noqa: ARG002 - a type's
        coltype: object,  # noqa: ARG002 - as above
    ) -> Callable[[str | None], datetime | None]:
        return lambda text: None if text is None else datetime.fromisoformat(text + "+00:00")


UtcDateTime = _AwareDateTime().with_variant(_TextDateTime(), "sqlite")  # type: ignore[no-untyped-call] # as SQLAlchemy left it

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

podcasts = sa.Table(
    "podcasts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # permanent
    sa.Column("slug", sa.Text, nullable=False),  # Stenobird's
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("configured", sa.Boolean, nullable=False),  # False: rows kept, not polled
    sa.Column("origin", sa.Text),  # of the address that is polled; set when a daemon starts
    sa.Column("adopted", sa.Text),  # polled instead of the url
    sa.Column("moved_to", sa.Text),
    sa.Column("moved_since", UtcDateTime),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("wire_digest", sa.LargeBinary),  # of the last body
    sa.Column("ttl_s", sa.Integer),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("reason", sa.Text),
    sa.Column("last_attempt_at", UtcDateTime),
    sa.Column("last_ok_at", UtcDateTime),
    sa.Column("last_new_at", UtcDateTime),
    sa.Column("last_full_at", UtcDateTime),
    sa.Column("baseline_at", UtcDateTime),
    sa.Column("suspect", sa.Text),
    sa.Column("suspect_at", UtcDateTime),
    sa.Column("next_poll_at", UtcDateTime, nullable=False, index=True),
    sa.Column("next_poll_reason", sa.Text),
    sa.Column("polled", sa.LargeBinary),  # instants of the last 24 hours, see polls
    sa.Column("leased_until", UtcDateTime),
    sa.Column("lease", sa.Text),
)

editions = sa.Table(  # a cache: see model.Edition
    "editions",
    metadata,
    sa.Column("podcast_id", sa.ForeignKey("podcasts.id"), primary_key=True),
    sa.Column("rules", sa.Integer, nullable=False),  # core.cut's, by which it was cut and read
    sa.Column("marks", sa.LargeBinary, nullable=False),  # one after the other
    sa.Column("digests", sa.LargeBinary, nullable=False),  # likewise
    sa.Column("reading", sa.LargeBinary),  # deflated JSON; NULL: it could not be cut
    sa.Column("alone", sa.Boolean, nullable=False),
    sa.Column("calm", sa.Integer, nullable=False),
    sa.Column("body_bytes", sa.BigInteger, nullable=False),
    sa.Column("wire_bytes", sa.BigInteger, nullable=False),
)

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("podcast_id", sa.ForeignKey("podcasts.id"), nullable=False),
    sa.Column("guid", sa.Text, nullable=False),  # as first recorded
    sa.Column("post_id", sa.Text),
    sa.Column("link", sa.Text),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("former_titles", sa.JSON, nullable=False),  # oldest first
    sa.Column("audio_url", sa.Text, nullable=False),
    sa.Column("audio_bytes", sa.BigInteger),
    sa.Column("duration_s", sa.Integer),
    sa.Column("published_at", UtcDateTime),
    sa.Column("published_raw", sa.Text),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("delay_s", sa.Integer),  # from publication to then
    sa.Column("fixed_delay_s", sa.Integer),  # that fixed polls would have taken on average
    sa.Column("present", sa.Boolean, nullable=False),  # was in the last complete document
    sa.Column("slug", sa.Text),  # proved
    sa.Column("processing_state", sa.Text),  # verbatim
    sa.Column("state_changed_at", UtcDateTime),
    sa.Column("resource", sa.JSON(none_as_null=True)),  # what Stenobird publishes
    sa.Column("resource_digest", sa.Text),
    sa.Column("last_tracked_at", UtcDateTime, index=True),
    sa.Column("next_track_at", UtcDateTime, nullable=False, index=True),
    sa.Column("leased_until", UtcDateTime),  # for a delivery or a look, one at a time
    sa.Column("lease", sa.Text),
    sa.UniqueConstraint("podcast_id", "guid"),
    sa.Index(
        "ix_episodes_leased_until",
        "leased_until",
        sqlite_where=sa.text("leased_until IS NOT NULL"),
        postgresql_where=sa.text("leased_until IS NOT NULL"),
    ),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("podcast_id", sa.ForeignKey("podcasts.id"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),  # guid, post_id, link
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("episode_id", sa.ForeignKey("episodes.id"), nullable=False),
    sa.Column("added_at", UtcDateTime, nullable=False),
)

STATUSES = "status IN ('pending', 'accepted', 'processed', 'failed', 'skipped', 'held')"

requests = sa.Table(  # the ledger: never pruned
    "requests",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("episode_id", sa.ForeignKey("episodes.id"), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("newest", sa.Boolean, nullable=False),  # of its episode's generations
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", UtcDateTime, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("action_url", sa.Text),
    sa.Column("key", sa.Text),
    sa.Column("first_posted_at", UtcDateTime),
    sa.Column("outcome_unknown", sa.Boolean, nullable=False),
    sa.Column("state_before_post", sa.Text),
    sa.Column("accepted_at", UtcDateTime),
    sa.Column("reasks", sa.Integer, nullable=False),
    sa.Column("same_digest", sa.Text),
    sa.Column("same_count", sa.Integer, nullable=False),
    sa.Column("same_at", UtcDateTime),
    sa.UniqueConstraint("episode_id", "generation"),
    sa.CheckConstraint(STATUSES, name="status"),
    sa.Index("ix_requests_newest_status_next_attempt_at", "newest", "status", "next_attempt_at"),
    sa.Index(
        "uq_requests_newest",
        "episode_id",
        unique=True,
        sqlite_where=sa.text("newest"),
        postgresql_where=sa.text("newest"),
    ),
)

posts = sa.Table(  # every POST begun, written before its first byte leaves
    "posts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("audio_minutes", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text),  # http_202, timeout…; null: not known
    sa.Column("in_vain", sa.Boolean, nullable=False),  # certainly without effect: costs no budget
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("podcast", sa.Text),
    sa.Column("guid", sa.Text),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Index("ix_events_podcast_guid", "podcast", "guid"),
)

problems = sa.Table(  # what stands now; the history is in the events
    "problems",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("podcast", sa.Text, primary_key=True),  # "": none
    sa.Column("guid", sa.Text, primary_key=True),  # "": none
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("strikes", sa.Integer, nullable=False),
    sa.Column("opened_at", UtcDateTime),
    sa.Column("reminded_at", UtcDateTime),
)

freezes = sa.Table(  # a source that lets nobody in
    "freezes",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("strikes", sa.Integer, nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)

daemons = sa.Table(  # that share a PostgreSQL: see presence
    "daemons",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),  # for people
    sa.Column("podcasts", sa.JSON, nullable=False),  # names
    sa.Column("until", UtcDateTime, nullable=False),  # by the database's clock
    sa.Column("logs", sa.Boolean, nullable=False),  # writes the committed events to its log
)

words = sa.Table(  # processing states ever seen, casefolded
    "words",
    metadata,
    sa.Column("word", sa.Text, primary_key=True),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
SEQ = "seq"  # of the last committed event
LOGGED = "logged"  # the last seq that reached the log
