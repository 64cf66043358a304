"""One conditional GET of a feed."""

from collections.abc import Mapping
from datetime import datetime

from monitor.adapters.failure import Failed
from monitor.adapters.http import Answer, Http, Receiver
from monitor.core.headers import max_age, retry_after
from monitor.core.model import Fetched, FetchFailed, FetchOutcome, NotModified, Validators

ACCEPT = "application/rss+xml, application/atom+xml;q=0.9, application/xml;q=0.8, */*;q=0.5"
MAX_VALIDATOR_CHARS = 4096  # a longer one is dropped, never cut: validators are opaque


async def fetch(
    http: Http,
    url: str,
    *,
    validators: Validators,
    headers: Mapping[str, str],
    max_body_bytes: int,
    receiver: Receiver,
    now: datetime,
) -> FetchOutcome:
    """GET a feed, sending its validators exactly as they came; *receiver* gets the body.

    *headers* are the operator's and may hold secrets: they go to the feed's own origin only. The
    validators go along with redirects, or a feed that only moved from http to https would be sent
    in full at every poll; the daily unconditional GET bounds what a wrong 304 could hide.
    """
    answer = await http.get(
        url,
        headers={"Accept": ACCEPT, **_conditions(validators)},
        secret_headers=headers,
        max_body_bytes=max_body_bytes,
        receiver=receiver,
    )
    if isinstance(answer, Failed):
        return FetchFailed(answer.reason, detail=answer.detail)
    if answer.http == 200:
        return Fetched(
            _validators(answer),
            answer.body_bytes,
            answer.wire_bytes,
            answer.complete,
            max_age(answer.headers),
            answer.moved_to,
            answer.wire_digest,
            answer.repeated,
        )
    if answer.http == 304 and validators != Validators():
        return NotModified(_validators(answer), max_age(answer.headers), answer.moved_to)
    reason = "unexpected_304" if answer.http == 304 else f"http_{answer.http}"
    return FetchFailed(reason, answer.http, retry_after(answer.headers, now))


def _conditions(validators: Validators) -> dict[str, str]:
    sent = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in sent.items() if value is not None}


def _validators(answer: Answer) -> Validators:
    return Validators(_fitting(answer, "etag"), _fitting(answer, "last-modified"))


def _fitting(answer: Answer, name: str) -> str | None:
    """Return a validator that can be sent back byte by byte, else None.

    RFC 9110 lets an ETag hold Latin-1, which aiohttp would send as UTF-8.
    """
    value = answer.headers.get(name, "")
    if not value or len(value) > MAX_VALIDATOR_CHARS:
        return None
    return value if value.isascii() and value.isprintable() else None
