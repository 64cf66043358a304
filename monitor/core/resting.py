"""Whether an answer asks us to leave Stenobird alone for a while."""

from datetime import datetime

from monitor.core.model import Lookup, LookupFailed, PostAnswered, PostOutcome
from monitor.core.schedule import Bounds

WHOLE_SOURCE = frozenset({429, 503})  # RFC 6585, section 4; RFC 9110, section 15.6.4


def rest_until(outcome: Lookup | PostOutcome, *, now: datetime, bounds: Bounds) -> datetime | None:
    """Return until when nothing is to be asked of the source; None: it asked for no rest.

    Retry-After with any other status is of the one request, and so is what an answer's body says.
    """
    match outcome:
        case LookupFailed(http=http, retry_after=wait) | PostAnswered(http=http, retry_after=wait):
            if http in WHOLE_SOURCE and wait is not None:
                return now + min(wait, bounds.max)
    return None
