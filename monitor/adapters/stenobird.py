"""One GET of an episode's resource, one POST of a request. Never to another origin."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from monitor.adapters.address import is_http, origin
from monitor.adapters.failure import Failed
from monitor.adapters.http import Answer, Http
from monitor.core.headers import retry_after
from monitor.core.model import (
    LookupFailed,
    NotListed,
    ParseError,
    PostAnswered,
    PostLost,
    PostNotSent,
    PostOutcome,
    Resource,
)
from monitor.core.resource import read_json, read_markdown
from monitor.core.slug import markdown_url, resource_url

MAX_BODY_BYTES = 2 * 1024 * 1024
NOT_LISTED = frozenset({404, 410})
MAX_WAIT_S = 31_536_000


class Stenobird:
    """Stenobird, as its public resource shows it.

    What it says is read by *readers* (None: the event loop's threads): 2 MiB that mean harm take
    0.4 s of processor time.
    """

    def __init__(
        self, http: Http, *, base_url: str, token: str = "", readers: Executor | None = None
    ) -> None:
        self._http = http
        self._readers = readers
        self.base_url = base_url
        self._origin = origin(base_url)
        self._token = {"Authorization": f"Bearer {token}"} if token else {}

    async def look_up(
        self, podcast: str, slug: str, *, now: datetime
    ) -> Resource | NotListed | LookupFailed:
        """Return what is published under a slug: from JSON, or, where that says no state, Markdown."""
        url = resource_url(base_url=self.base_url, podcast=podcast, slug=slug)
        answer = await self._get(url, "application/json")
        read = await self._read(answer, read_json, now)
        if isinstance(read, NotListed) or (isinstance(read, Resource) and read.state is not None):
            return read
        if isinstance(answer, Failed) or answer.http != 200:
            return read
        url = markdown_url(base_url=self.base_url, podcast=podcast, slug=slug)
        page = await self._get(url, "text/markdown, text/plain")
        fallback = await self._read(page, read_markdown, now)
        if isinstance(fallback, Resource) and fallback.state is not None:
            return fallback
        failed = LookupFailed("state_missing") if isinstance(read, Resource) else read
        return _with_wait(failed, fallback)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for Stenobird's turn, for a POST that is written down before it is sent.

        Raises:
            NoTurnError: it did not come in time.
        """
        return self._http.turn(self.base_url)

    async def post(self, url: str, *, key: str, now: datetime) -> PostOutcome:
        """POST a request, with an empty body, in a ``turn``.

        Raises:
            ValueError: *url* is of another origin than Stenobird's; whoever built it should know.
        """
        if not is_http(url):  # from Stenobird's own JSON, so no bug of ours
            return PostNotSent("bad_url")
        if origin(url) != self._origin:
            raise ValueError("a request goes to Stenobird's own origin only")
        answer = await self._http.post(
            url,
            headers={"Accept": "application/json", "Idempotency-Key": key, **self._token},
        )
        if isinstance(answer, Failed):
            return PostLost(answer.reason) if answer.sent else PostNotSent(answer.reason)
        return PostAnswered(answer.http, _wait(answer, now), sha256(answer.body).hexdigest())

    async def _get(self, url: str, accept: str) -> Answer | Failed:
        return await self._http.get(
            url,
            headers={"Accept": accept},
            secret_headers=self._token,
            max_body_bytes=MAX_BODY_BYTES,
            own_origin_only=True,
        )

    async def _read(
        self, answer: Answer | Failed, read: Callable[[bytes], Resource], now: datetime
    ) -> Resource | NotListed | LookupFailed:
        if isinstance(answer, Failed):
            return LookupFailed(answer.reason, detail=answer.detail)
        if answer.http in NOT_LISTED:
            return NotListed("not_listed_yet")
        if answer.http != 200:
            return LookupFailed(f"http_{answer.http}", answer.http, _wait(answer, now))
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._readers, read, answer.body
            )
        except ParseError as error:
            return LookupFailed(error.reason, answer.http, detail=error.detail)


def _with_wait(failed: LookupFailed, fallback: Resource | NotListed | LookupFailed) -> LookupFailed:
    """Return the JSON's failure, which is the one to mend, with what the Markdown's asks for."""
    if not isinstance(fallback, LookupFailed):
        return failed
    detail = failed.detail or f"nor does the Markdown help: {fallback.reason}"
    return replace(failed, retry_after=fallback.retry_after, detail=detail)


def _wait(answer: Answer, now: datetime) -> timedelta | None:
    """Return the wait that an answer asks for; the header goes before the body."""
    wait = retry_after(answer.headers, now)
    return _retry_after_seconds(answer.body) if wait is None else wait


def _retry_after_seconds(body: bytes) -> timedelta | None:
    """Return the wait that a JSON body asks for, as Stenobird's private API words it."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    seconds = told.get("retry_after_seconds") if isinstance(told, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return timedelta(seconds=min(max(seconds, 0), MAX_WAIT_S)) if seconds == seconds else None  # noqa: PLR0124 - NaN
