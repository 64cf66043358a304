"""The values that the layers hand to each other. Frozen, and without behaviour.

Instants end in ``_at`` and are aware UTC; durations are ``timedelta`` or end in ``_s``
(seconds); sizes end in ``_bytes``. Text from a feed or from Stenobird is kept as it came:
whoever prints it escapes it (``monitor.log``, ``monitor.report``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from monitor.core.cadence import Cadence
from monitor.core.lifecycle import Status

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = get_args(Level)
Scalar = str | int | float | bool | None


def iso(at: datetime) -> str:
    """Return an instant as every line and every JSON key shows it: ISO 8601, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class MonitorError(Exception):
    """Trouble that has an owner. Its text says what, where and what to do."""


class ConfigError(MonitorError):
    """The operator's: a configuration, argument or database that cannot be used as it is."""


class UnavailableError(MonitorError):
    """Nobody's: what is needed is not there now, and may come back by itself."""


class DatabaseError(UnavailableError):
    """The database cannot be used now. *reason* is stable and short, such as locked or disk_full."""

    def __init__(self, text: str, reason: str, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.lasting = lasting  # it will not come back by itself: a person must see to it


class ParseError(MonitorError):
    """The publisher's: a body that is not what it should be. *reason* is stable and short."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


# --- events -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something that happened, as it is logged; most are committed with what they tell of."""

    name: str  # from monitor.log.EVENTS
    podcast: str | None = None
    guid: str | None = None  # as first recorded
    level: Level = "info"
    fields: Mapping[str, Scalar | Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """A LogEvent with its place in the one order of everything that was committed."""

    seq: int  # 1, 2, 3… without gaps, in commit order
    at: datetime
    event: LogEvent


@dataclass(frozen=True, slots=True)
class Line:
    """A LogEvent as it was read back from a line of the log."""

    at: datetime
    event: LogEvent
    seq: int | None = None
    rough: bool = False  # it rounds what it says: the console's


# --- the feed: what a GET brought --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Validators:
    """What the publisher gave us to send back (RFC 9110, section 8.8), exactly as sent."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A 200 whose body was received whole, or as far as the receiver wanted it."""

    validators: Validators
    body_bytes: int  # after decompression
    wire_bytes: int
    complete: bool  # False: the receiver had enough and the rest was not read
    max_age: timedelta | None = None  # Cache-Control, less Age
    moved_to: str | None = None  # where a chain of 301 and 308 only led
    wire_digest: bytes | None = None  # of a complete body, unless it is a long one
    repeated: bool = False  # by that digest it is the last one: the receiver was given nothing


@dataclass(frozen=True, slots=True)
class NotModified:
    """A 304: the document we know is the current one."""

    validators: Validators  # as sent with the 304; absent ones are None
    max_age: timedelta | None = None
    moved_to: str | None = None  # as in Fetched


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No usable answer. *reason* is stable and short: such as timeout or http_503."""

    reason: str
    http: int | None = None  # the status, where there was one
    retry_after: timedelta | None = None  # as asked for, from now
    detail: str = ""  # for people; never holds a URL


FetchOutcome = Fetched | NotModified | FetchFailed


# --- the feed: what was in it ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObservedEpisode:
    """One audio item of a document."""

    guid: str  # the item's guid; without one its link, else its sole enclosure's URL
    title: str  # plain text; may be empty
    audio_url: str
    post_id: str | None = None  # Substack's, from the enclosure's path
    link: str | None = None
    audio_bytes: int | None = None  # as the feed claims
    duration_s: int | None = None
    published_at: datetime | None = None
    published_raw: str | None = None  # pubDate as it stood, kept where it could not be read too


@dataclass(frozen=True, slots=True)
class Document:
    """A whole feed document, read."""

    episodes: tuple[ObservedEpisode, ...]  # in the document's order, each guid once
    items: int  # items of any kind, with and without audio
    link: str | None = None  # the channel's
    ttl: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a document, item by item."""

    items: tuple[ObservedEpisode | None, ...]  # in the document's order; None: no episode
    link: str | None  # the channel's
    ttl: timedelta | None
    alone: bool  # every item has a guid: what one says does not depend on the others


# --- what we know ------------------------------------------------------------------------

AliasKind = Literal["guid", "post_id", "link"]


@dataclass(frozen=True, slots=True)
class Alias:
    """A key under which an episode of a podcast is known, for ever."""

    episode_id: int
    kind: AliasKind
    value: str


@dataclass(frozen=True, slots=True)
class Edition:
    """The last document of a feed that was read, as it was cut: what need not be read again.

    A cache. Without it everything is read anew, and means the same.
    """

    marks: bytes  # of each item's bytes, in the document's order, joined; see core.cut
    digests: bytes  # of what is read of each item, likewise
    alone: bool  # as in Reading
    calm: int  # whole documents in a row that were newest first and kept their items
    body_bytes: int  # of the last whole document
    wire_bytes: int


@dataclass(frozen=True, slots=True)
class Feed:
    """A podcast's polling state."""

    id: int
    podcast: str
    url: str  # as configured
    next_poll_at: datetime
    next_poll_reason: str | None = None  # see schedule.NextPoll
    polled: tuple[datetime, ...] = ()  # in the last 24 hours, oldest first
    cadence: Cadence | None = None  # learned from its episodes; None: they are too few
    validators: Validators = Validators()
    wire_digest: bytes | None = None  # of the last body, unless it was long or only its head came
    adopted: str | None = None  # where the feed has moved for good: polled instead of the url
    moved_to: str | None = None  # where it says that it has moved, until that is believed
    moved_since: datetime | None = None
    ttl: timedelta | None = None  # as the last document that was read has it
    failures: int = 0  # in a row
    reason: str | None = None  # of the last failure, while failing
    last_attempt_at: datetime | None = None
    last_ok_at: datetime | None = None
    last_new_at: datetime | None = None
    last_full_at: datetime | None = None  # the last complete body
    baseline_at: datetime | None = None  # when backfill was decided, once and for ever
    suspect: str | None = None  # digest of a set of guids that must be seen again to be believed
    suspect_at: datetime | None = None
    lease: str | None = None  # the token of the lease under which this value was read
    edition: Edition | None = None  # what was read last


@dataclass(frozen=True, slots=True)
class KnownEpisode:
    """What reconciling needs to know of a recorded episode."""

    id: int
    guid: str  # as first recorded
    title: str
    audio_url: str
    duration_s: int | None
    published_at: datetime | None
    present: bool  # was in the last complete document
    audio_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A podcast's recorded episodes and every key of each."""

    episodes: Mapping[int, KnownEpisode]
    aliases: Mapping[tuple[AliasKind, str], int]  # (kind, value) → episode id


# --- what a poll will write --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewEpisode:
    observed: ObservedEpisode
    aliases: tuple[tuple[AliasKind, str], ...]
    status: Status  # of its first request: pending or held
    reason: str | None
    next_track_at: datetime
    delay_s: int | None = None  # from publication to discovery; None: of the first answer
    fixed_delay_s: int | None = None  # what as many polls at a fixed interval take on average


@dataclass(frozen=True, slots=True)
class EpisodeChange:
    """New facts of a recorded episode, and under which names they changed."""

    episode_id: int
    observed: ObservedEpisode
    fields: tuple[str, ...]  # of title, audio_url, duration_s, published_at, audio_bytes


@dataclass(frozen=True, slots=True)
class PollPlan:
    """All that one poll writes, in one transaction."""

    feed: Feed  # as it will be
    new: tuple[NewEpisode, ...] = ()
    aliases: tuple[Alias, ...] = ()
    changed: tuple[EpisodeChange, ...] = ()
    vanished: tuple[int, ...] = ()  # ids no longer in the document
    returned: tuple[int, ...] = ()  # ids in it again
    events: tuple[LogEvent, ...] = ()
    edition: Edition | None = None  # None: the recorded one stays
    reading: Reading | None = None  # of the edition; None: the recorded one stays


# --- Stenobird ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chapter:
    start_s: int
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """What Stenobird publishes of an episode, whichever spelling and form it came in."""

    state: str | None  # processing state, verbatim; None: it could not be found
    title: str | None = None
    published_at: datetime | None = None
    link: str | None = None  # the episode's, at its publisher
    audio_url: str | None = None
    duration_s: int | None = None
    summary: str | None = None
    highlights: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    page_url: str | None = None
    markdown_url: str | None = None
    json_url: str | None = None
    request_url: str | None = None  # of the action request_transcript
    unknown: Mapping[str, object] = field(default_factory=dict)  # fields of no known name, as JSON
    form: Literal["json", "markdown"] = "json"


@dataclass(frozen=True, slots=True)
class Found:
    resource: Resource
    slug: str


@dataclass(frozen=True, slots=True)
class NotListed:
    """No candidate slug led to this episode. *reason*: not_listed_yet or slug_unproved."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """Stenobird could not be asked, or its answer could not be read."""

    reason: str  # timeout, http_503, state_missing…
    http: int | None = None
    retry_after: timedelta | None = None
    detail: str = ""


Lookup = Found | NotListed | LookupFailed


@dataclass(frozen=True, slots=True)
class PostAnswered:
    http: int
    retry_after: timedelta | None = None  # header, or retry_after_seconds in the body
    digest: str = ""  # of the body, to tell a stored answer that is replayed


@dataclass(frozen=True, slots=True)
class PostLost:
    """The POST may or may not have reached Stenobird."""

    reason: str  # timeout, connection_lost…


@dataclass(frozen=True, slots=True)
class PostNotSent:
    """The POST certainly did not reach Stenobird: no connection was made."""

    reason: str  # refused, dns, tls, connect_timeout…


PostOutcome = PostAnswered | PostLost | PostNotSent


# --- an episode and its request ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Episode:
    """What delivering and tracking need to know of a recorded episode."""

    id: int
    podcast: str
    podcast_slug: str  # Stenobird's
    guid: str  # as first recorded
    title: str
    former_titles: tuple[str, ...]  # oldest first
    post_id: str | None
    link: str | None
    duration_s: int | None
    published_at: datetime | None
    first_seen_at: datetime
    slug: str | None  # proved, by post id, link or audio
    processing_state: str | None  # verbatim, as last seen
    state_changed_at: datetime | None
    resource_digest: str | None  # of the published facts last stored


@dataclass(frozen=True, slots=True)
class ProcessingRequest:
    """One row of the ledger: an episode's request in one generation."""

    id: int
    generation: int  # raised by requeue only
    epoch: int  # raised only where a stored 500 would be replayed for ever
    status: Status
    reason: str | None  # of the hold or of the wait
    attempts: int  # answered or lost POSTs
    next_attempt_at: datetime
    created_at: datetime
    action_url: str | None = None  # of the last POST; kept while its outcome is unknown
    key: str | None = None  # Idempotency-Key of the last POST; likewise
    first_posted_at: datetime | None = None
    outcome_unknown: bool = False  # a POST was begun, and what it did is not known
    state_before_post: str | None = None  # at the GET before it, or when a person asked anew
    accepted_at: datetime | None = None
    reasks: int = 0
    same_digest: str | None = None  # of the 500 that keeps coming back
    same_count: int = 0
    same_at: datetime | None = None  # when it was last counted
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """An episode with its newest request, leased for one look or one attempt."""

    episode: Episode
    request: ProcessingRequest


@dataclass(frozen=True, slots=True)
class Post:
    """The decision to POST: all that must be on disk before the first byte leaves."""

    request: ProcessingRequest  # as it will be while the POST is under way
    url: str
    key: str  # Idempotency-Key
    event: LogEvent


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt or a look makes of a request; written in one transaction."""

    request: ProcessingRequest  # as it will be
    events: tuple[LogEvent, ...] = ()
    freeze: str | None = None  # why Stenobird lets nobody in: http_401, http_402, http_403


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look at Stenobird taught about an episode; written with the settlement."""

    slug: str  # proved
    state: str  # processing state, verbatim
    state_changed: bool
    digest: str  # of the published facts
    resource: Resource | None  # set where the published facts changed
    events: tuple[LogEvent, ...] = ()
