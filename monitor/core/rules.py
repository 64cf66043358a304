"""What the operator configured, as the decisions need it."""

from dataclasses import dataclass
from datetime import timedelta

from monitor.core.baseline import Backfill
from monitor.core.schedule import Bounds


@dataclass(frozen=True, slots=True)
class PollRules:
    """Of one podcast's polls."""

    poll: Bounds
    per_day: int
    backfill: Backfill
    bulk_over: int
    backdated_over: timedelta
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class RequestRules:
    """Of one podcast's requests."""

    base_url: str
    retry: Bounds
    not_listed: Bounds
    track: Bounds  # the podcast's
    stalled_after: timedelta
    processed_states: frozenset[str]  # casefolded
    failed_states: frozenset[str]  # casefolded
    shadow: bool = False

    def is_processed(self, state: str | None) -> bool:
        return (state or "").casefold() in self.processed_states

    def is_failed(self, state: str | None) -> bool:
        return (state or "").casefold() in self.failed_states
