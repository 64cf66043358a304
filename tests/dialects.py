"""Stenobirds that there might be, and what must come of an episode at each.

A case either keeps the promise, or ends in one state with one reason and tells a person of one
problem. ``test_dialects.py`` lives them.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta

from monitor.demo import Fault, lost_answer, slow, status, truncated
from monitor.demo.stenobird import FAILS, SUCCEEDS, Dialect
from tests.living import Life

CLOSE = 12  # ticks, five minutes apart
FAR = timedelta(hours=4)  # between ticks after that
A_DAY = timedelta(days=1)
STALLED_AFTER = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Ends:
    """How an episode ends that cannot be processed, or not without a person."""

    status: str
    reason: str | None
    problem: str | None = None  # its kind; None: the line of the request says it all
    problem_reason: str | None = None  # where it is another than the request's

    def problems(self) -> list[tuple[str, str | None]]:
        """Return kind and reason of each problem that is to be told."""
        return [(self.problem, self.problem_reason or self.reason)] if self.problem else []


@dataclass(frozen=True, slots=True)
class Case:
    """A Stenobird; all that is left out is as it most likely is."""

    dialect: Dialect = field(default_factory=Dialect)
    gets: tuple[Fault, ...] = ()  # what the first ones meet
    posts: tuple[Fault, ...] = ()
    every_get: Fault | None = None
    every_post: Fault | None = None
    listed_after: timedelta | None = timedelta()
    path: tuple[str, ...] = SUCCEEDS
    ends: Ends | None = None  # None: the promise is kept
    days: int = 0  # after the first hour, at most

    def prepare(self, life: Life) -> None:
        """Make the replica of *life*, which has begun, speak so."""
        replica = life.replica
        replica.listed_after = self.listed_after
        life.changes = {"stalled_after": STALLED_AFTER}
        for item in life.new:
            replica.entry(item.guid).path = self.path
        replica.get_faults.next(*self.gets)
        replica.post_faults.next(*self.posts)
        if self.every_get is not None:
            replica.get_faults.always(self.every_get)
        if self.every_post is not None:
            replica.post_faults.always(self.every_post)

    def live(self, life: Life, *, step: timedelta = FAR) -> None:
        """Live an hour closely, then *days* in steps, until the episode is processed, if it can be."""
        live = life.live_on if self.ends is None else life.run
        live(CLOSE)
        if self.days:
            life.step = step
            live(self.days * A_DAY // step)


def _json(text: str) -> Fault:
    return status(200, body=text.encode(), headers={"Content-Type": "application/json"})


def _unreadable(fault: Fault, reason: str) -> Case:
    return Case(every_get=fault, ends=Ends("pending", reason, "stenobird_failing"))


ANSWERS = {
    f"a POST answered {code}": Case(Dialect(post_status=code))
    for code in (200, 201, 202, 204, 303, 409)
} | {
    "a 201 without a body": Case(Dialect(post_status=201, post_body=False)),
    "a 409 without a body": Case(Dialect(post_status=409, post_body=False)),
    "a repetition answered 409": Case(
        Dialect(post_status=201, repeat_status=409), posts=(status(500, after_effect=True),)
    ),
}

SPELLINGS = {
    f"{shape} JSON with the state as {state_as}": Case(Dialect(shape=shape, state_as=state_as))
    for shape in ("flat", "nested", "camel")
    for state_as in ("object", "part", "missing")
} | {
    f"the state as {name}": Case(Dialect(state_name=name, idle_state="none", markdown="absent"))
    for name in ("status", "processingStatus", "transcript_state")
}

FORMS = {
    "a null status beside Markdown": Case(Dialect(state_name="status")),
    "a null state in an object": Case(Dialect(state_as="object", markdown="absent")),
    "Markdown alone": Case(Dialect(shape="page")),
    "Markdown alone, in one line": Case(Dialect(shape="page", markdown="one_line")),
    "a 404 as HTML": Case(Dialect(not_found="html"), listed_after=timedelta(minutes=20)),
    "an empty 404": Case(Dialect(not_found="empty"), listed_after=timedelta(minutes=20)),
    "undated JSON": Case(Dialect(dated=False)),
    "JSON that names the link alone": Case(Dialect(names="link")),
    "JSON that names the audio alone": Case(Dialect(names="audio")),
    "a list of episodes": Case(Dialect(lists_episodes=True)),
    "1 MB of JSON": Case(Dialect(padding_bytes=1_000_000)),
    "a rooted action": Case(Dialect(action="rooted")),
    "no action": Case(Dialect(action="absent")),
}

STATES = {
    "unknown words": Case(path=("accepted", "polishing…", "processed")),
    "states that go backwards": Case(path=("transcribing", "queued", "polishing", "processed")),
    "a jump to the final state": Case(path=("processed",)),
    "a state that stays as it was for hours": Case(
        Dialect(idle_state="none"), path=(*["none"] * 15, "processed"), days=1
    ),
}

TIMES = {
    "listed after minutes": Case(listed_after=timedelta(minutes=40)),
    "listed after two days": Case(listed_after=timedelta(days=2), days=3),
    "listed after four days": Case(listed_after=timedelta(days=4), days=7),
}

MEMORIES = {
    f"idempotent by {remembers} {'for a day' if memory else 'for ever'}": Case(
        Dialect(remembers=remembers, memory=memory), posts=(lost_answer(),)
    )
    for remembers in ("key", "episode")
    for memory in (timedelta(days=1), None)
} | {"not idempotent": Case(Dialect(remembers="nothing"), posts=(lost_answer(),))}

WAITS = {
    f"Retry-After {wait}": Case(
        posts=(status(503, retry_after=wait), status(429, retry_after=wait)), days=2
    )
    for wait in ("-5", "315360000", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "1e99")
}

PASSING = {
    "a slow Stenobird": Case(gets=(slow(0.2),), posts=(slow(0.2),)),
    "a truncated answer": Case(gets=(truncated(),)),
    "an answer that is no JSON": Case(gets=(_json("{"), _json("{"))),
    "a page instead of an answer": Case(gets=(_json("<!DOCTYPE html>"), _json("<html>"))),
}

UNREADABLE = {
    "JSON that is none": _unreadable(_json("{"), "not_json"),
    "JSON that is a list": _unreadable(_json("[]"), "not_an_object"),
    "JSON of something else": _unreadable(_json('{"ok": true}'), "not_an_episode"),
    "JSON too deep": _unreadable(_json('{"a":' * 200 + "1" + "}" * 200), "too_deep"),
    "a body that is empty": _unreadable(_json(""), "empty_body"),
    "bodies that are cut off": _unreadable(truncated(), "truncated"),
    "server errors": _unreadable(status(500), "http_500"),
    "10 MB of JSON": Case(
        Dialect(padding_bytes=10_000_000, markdown="absent"),
        ends=Ends("pending", "too_large", "stenobird_failing"),
    ),
    "HTML alone": Case(
        Dialect(shape="page", markdown="absent"),
        ends=Ends("pending", "html_page", "stenobird_failing"),
    ),
    # It may be the answer's own, not the episode's: docs/stenobird.md.
    "a null status alone": Case(
        Dialect(state_name="status", markdown="absent"),
        ends=Ends("pending", "state_missing", "stenobird_failing"),
    ),
    "no state at all": Case(
        Dialect(state_as="missing", markdown="absent"),
        ends=Ends("pending", "state_missing", "stenobird_failing"),
    ),
}

REFUSING = {
    "never listed": Case(
        listed_after=None, ends=Ends("pending", "not_listed_yet", "request_unlisted"), days=4
    ),
    "nothing that proves the episode": Case(
        Dialect(names="neither"), ends=Ends("pending", "slug_unproved", "request_unlisted"), days=4
    ),
    "a door that is closed": Case(
        every_post=status(403), ends=Ends("pending", "frozen", "stenobird_frozen", "http_403")
    ),
    "POSTs that are never answered well": Case(
        every_post=status(500), ends=Ends("pending", "http_500", "request_failing"), days=1
    ),
    "a limit that never ends": Case(
        every_post=status(429, retry_after="1"),
        ends=Ends("pending", "http_429", "request_failing"),
        days=1,
    ),
    "a redirect of POSTs": Case(
        every_post=status(302, headers={"Location": "/elsewhere"}),
        ends=Ends("pending", "http_302", "request_refused"),
    ),
    "POSTs that are not found": Case(
        every_post=status(404),
        ends=Ends("pending", "not_listed_yet", "request_failing", "http_404"),
        days=1,
    ),
    "POSTs that are too early": Case(
        every_post=status(425),
        ends=Ends("pending", "too_early", "request_failing", "http_425"),
        days=1,
    ),
    "a refusal for good": Case(every_post=status(422), ends=Ends("failed", "http_422")),
    "a failure": Case(path=FAILS, ends=Ends("failed", "failed")),
    "a 202 that begins nothing": Case(
        every_post=status(202), ends=Ends("accepted", None, "request_stalled", "no_change"), days=1
    ),
    "a 409 that begins nothing": Case(
        every_post=status(409),
        ends=Ends("accepted", "conflict", "request_stalled", "no_change"),
        days=2,
    ),
    "a final state of an unknown name": Case(
        path=("queued", "done"),
        ends=Ends("accepted", None, "request_stalled", "no_change"),
        days=1,
    ),
}

DIALECTS: dict[str, Case] = (
    ANSWERS
    | SPELLINGS
    | FORMS
    | STATES
    | TIMES
    | MEMORIES
    | WAITS
    | PASSING
    | UNREADABLE
    | REFUSING
)


# --- any of them at once ------------------------------------------------------------------

CHOICES: dict[str, tuple[object, ...]] = {
    "shape": ("flat", "nested", "camel", "page"),
    "state_as": ("text", "object", "part", "missing"),
    "state_name": ("processing_state", "transcription_status", "processingStatus"),
    "idle_state": (None, "none", "not_requested"),
    "names": ("both", "both", "link", "audio", "neither"),
    "dated": (True, False),
    "action": ("absolute", "rooted", "elsewhere", "absent"),
    "markdown": ("lines", "one_line", "absent"),
    "not_found": ("json", "html", "empty"),
    "lists_episodes": (True, False),
    "padding_bytes": (0, 100_000),
    "post_status": (200, 201, 202, 204, 303, 409),
    "repeat_status": (None, 200, 409),
    "post_body": (True, False),
    "replays_500": (False, False, True),
    "remembers": ("key", "episode", "nothing"),
    "memory": (None, A_DAY),
    "slug_of": ("first_title", "title"),
}


def random_case(chance: random.Random) -> Case:
    """Draw every field of a dialect, and how long it takes to list an episode."""
    dialect = Dialect(**{name: chance.choice(values) for name, values in CHOICES.items()})
    listed_after = chance.choice((timedelta(), timedelta(minutes=30), timedelta(hours=9)))
    ends = expected_of(dialect)
    return Case(dialect, listed_after=listed_after, ends=ends, days=4 if ends else 2)


def expected_of(dialect: Dialect) -> Ends | None:
    """Return what must come of a new episode, by what the dialect is alone."""
    json_tells = dialect.shape != "page" and dialect.state_as != "missing"
    if not json_tells and dialect.markdown == "absent":
        reason = "html_page" if dialect.shape == "page" else "state_missing"
        if reason == "state_missing" and dialect.names == "neither":
            reason = "not_an_episode"
        return Ends("pending", reason, "stenobird_failing")
    if dialect.names == "neither":
        return Ends("pending", "slug_unproved", "request_unlisted")
    return None
