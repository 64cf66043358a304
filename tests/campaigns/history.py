"""What a history leaves behind, as plain data for the checker: nothing in it is the daemon's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """A transcription job that Stenobird began."""

    at: datetime
    podcast: str  # as configured
    guid: str
    key: str | None  # the Idempotency-Key


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that reached a far end, in its own ledger."""

    at: datetime  # by the far end's clock
    method: str
    path: str
    key: str | None = None  # the Idempotency-Key of a POST
    status: int | None = None  # None: no answer was sent
    body_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Podcast:
    """One publisher, and what must become of its episodes."""

    name: str
    listed: frozenset[str]  # guids of audio items in the document at the end
    ever: frozenset[str]  # guids of audio items that were ever in it
    wanted: frozenset[str]  # to be requested: each ends settled, with one effect a generation
    unwanted: frozenset[str]  # never to be requested: older than the first poll, held, skipped
    polls: Sequence[Exchange]  # of its feed, in order
    min_gap_s: float  # between two polls of it, whatever happens


@dataclass(frozen=True, slots=True)
class History:
    database: str  # a SQLAlchemy URL; read with raw SQL
    log: Sequence[Sequence[Mapping[str, Any]]]  # JSON lines of each process, in order
    podcasts: Sequence[Podcast]
    effects: Sequence[Effect]
    stenobird: Sequence[Exchange]  # every GET and POST, in order
    remembers: bool  # a second POST of the same key has no second effect
    per_minute: int  # POSTs
    audio_minutes_per_day: int
    quiet: bool  # faults have stopped, and there was time for everything to come to its end
    generations: Mapping[str, int] = field(default_factory=dict)  # guid → effects; 1 if left out
    ends: Mapping[tuple[str, str], str] = field(
        default_factory=dict
    )  # (podcast, guid) → Stenobird's
    secrets: frozenset[str] = frozenset()  # that may never be logged, beside the keys
    origins: frozenset[str] = frozenset()  # that may be spoken to; empty: not watched
    dialled: frozenset[str] = frozenset()  # that were
    jumps: Sequence[datetime] = ()  # by the far ends' clock: when the daemon's left it, or was off
    late_s: float = 5.0  # what is written down may arrive so much later, and the next one not
    explained: frozenset[str] = frozenset()  # kinds of problems that may stand in the end
