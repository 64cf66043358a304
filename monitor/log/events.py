"""The closed list of events. ``docs/log.md`` tabulates it, and a test compares the two."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class EventKind:
    """What every line of one name carries after ``event``, ``podcast`` and ``guid``."""

    fields: tuple[str, ...]  # in the order in which they are printed
    says: str  # one sentence


def _kind(fields: str, says: str) -> EventKind:
    return EventKind(tuple(fields.split()), says)


EVENTS: Final[Mapping[str, EventKind]] = MappingProxyType(
    {
        "daemon.started": _kind(
            "version pid database mode podcasts",
            "The daemon has read its configuration; `database` is its kind, never its address.",
        ),
        "daemon.ready": _kind("took_s", "The database is checked and the ticks run."),
        "daemon.reloaded": _kind(
            "mode podcasts took_s",
            "A SIGHUP was heeded: the configuration was read again, and is in force.",
        ),
        "daemon.stopping": _kind(
            "signal reason",
            "A signal asked the daemon to stop, or its database is of no use any more.",
        ),
        "daemon.stopped": _kind("took_s uptime_s", "The daemon has stopped cleanly."),
        "config.rejected": _kind(
            "file key reason", "A setting cannot be used; a running daemon keeps the old ones."
        ),
        "feed.polled": _kind(
            "outcome reason detail http bytes read items new changed requests failures"
            " last_attempt_at last_ok_at last_new_at next_poll_at next_poll_reason took_ms",
            "One poll has ended (`ok`, `not_modified`, `failed`, or `offline`: nobody was reached, by our"
            " own fault, and nothing counts): the canonical line of a poll.",
        ),
        "feed.moved": _kind(
            "to_host",
            "Polled at another address: a permanent redirect held, or ceased to lead there.",
        ),
        "episode.discovered": _kind(
            "title published_at duration_s request reason delay_s fixed_delay_s",
            "An audio item was seen for the first time; `request` is its request's status, `delay_s`"
            " how long after it came, `fixed_delay_s` what as many polls at a fixed interval take.",
        ),
        "episode.aliased": _kind(
            "kind value", "A recorded episode is known under one more key from now on."
        ),
        "episode.changed": _kind(
            "fields title", "The feed has new facts of a recorded episode, under these names."
        ),
        "state.changed": _kind(
            "from to note",
            "Stenobird's processing state is another than last seen; `note` marks a new word.",
        ),
        "request.enqueued": _kind("generation", "A transcription is wanted."),
        "request.held": _kind(
            "generation reason was", "A transcription waits for a person to release it."
        ),
        "request.released": _kind(
            "generation reason was by attempts created_at",
            "A person let it go; `reason` is what held it back.",
        ),
        "request.posted": _kind(
            "generation attempt epoch", "A POST is about to be sent; its outcome is unknown yet."
        ),
        "request.accepted": _kind(
            "generation http reason attempts next_attempt_at created_at",
            "Stenobird has taken the request.",
        ),
        "request.deferred": _kind(
            "generation reason was attempts next_attempt_at http created_at",
            "Not now: the request waits until `next_attempt_at`.",
        ),
        "request.processed": _kind(
            "generation reason was held latency_s json_url markdown_url page_url",
            "Stenobird published the episode, `latency_s` after it was discovered.",
        ),
        "request.failed": _kind(
            "generation reason was http", "Stenobird gave up on it, or refused it for good."
        ),
        "request.skipped": _kind("generation reason was by", "A person does not want it."),
        "request.requeued": _kind(
            "generation reason was by", "A person asked anew; `generation` is the new one."
        ),
        "problem.opened": _kind(
            "problem reason since failures detail",
            "Something lasted long enough to need a person.",
        ),
        "problem.reminded": _kind(
            "problem reason since detail",
            "It still does, a day later; of a silent feed, 30 days.",
        ),
        "problem.recovered": _kind(
            "problem reason took_s", "It is over; `reason` is what it was, last."
        ),
        "tick.overran": _kind("tick took_s", "A tick took longer than it is allowed."),
        "tick.failed": _kind("tick error", "A tick ended in an exception; the next one comes."),
        "clock.jumped": _kind(
            "skew_s",
            "The wall clock moved against the monotonic one, or was set back while no daemon ran.",
        ),
        "status.summary": _kind(
            "as_of_seq version mode pid uptime_s podcasts episodes requests held"
            " oldest_pending_at problems",
            "A status block begins; `requests` counts by status, `held` by reason.",
        ),
        "status.feed": _kind(
            "last_attempt_at last_ok_at last_new_at failures reason next_poll_at next_poll_reason"
            " found delays_s fixed_delays_s",
            "One podcast's feed, failing ones first; `found` episodes took `delays_s` all together.",
        ),
        "status.request": _kind(
            "status generation reason attempts next_attempt_at created_at",
            "One request that is pending or accepted.",
        ),
        "status.end": _kind("as_of_seq omitted", "A status block is complete but for `omitted`."),
    }
)
