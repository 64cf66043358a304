"""One conditional GET of a feed."""

from collections.abc import Callable, Mapping
from datetime import datetime

from monitor.adapters.http import Answer, Failed, Http
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
    receive: Callable[[bytes], bool],
    now: datetime,
) -> FetchOutcome:
    """GET a feed, sending its validators exactly as they came; *receive* gets the body."""
    answer = await http.get(
        url,
        headers={"Accept": ACCEPT, **headers, **_conditions(validators)},
        max_body_bytes=max_body_bytes,
        receive=receive,
    )
    if isinstance(answer, Failed):
        return FetchFailed(answer.reason)
    if answer.http == 200:
        return Fetched(
            _validators(answer),
            answer.body_bytes,
            answer.wire_bytes,
            answer.complete,
            max_age(answer.headers),
            answer.moved_to,
        )
    if answer.http == 304 and validators != Validators():
        return NotModified(_validators(answer), max_age(answer.headers))
    reason = "unexpected_304" if answer.http == 304 else f"http_{answer.http}"
    return FetchFailed(reason, answer.http, retry_after(answer.headers, now))


def _conditions(validators: Validators) -> dict[str, str]:
    sent = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in sent.items() if value is not None}


def _validators(answer: Answer) -> Validators:
    return Validators(_fitting(answer, "etag"), _fitting(answer, "last-modified"))


def _fitting(answer: Answer, name: str) -> str | None:
    value = answer.headers.get(name)
    return value if value and len(value) <= MAX_VALIDATOR_CHARS else None
