"""Stenobird may answer anything: the promise is kept, or one problem says why it cannot be."""

import random
import socket
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.demo import status
from monitor.demo.stenobird import Dialect
from tests.dialects import DIALECTS, Case, random_case
from tests.living import Life

MOST_A_DAY = 20  # requests of Stenobird, of all kinds, after an episode has waited for days
MOST_POSTS = 30  # for an episode that waits for four days


@pytest.mark.parametrize("case", DIALECTS.values(), ids=DIALECTS)
def test_the_promise_is_kept_or_one_problem_says_why(case):
    with _lived(case) as life:
        _assert_ended(life, case.ends)


@pytest.mark.parametrize("seed", range(20))
def test_what_must_come_of_a_dialect_follows_from_what_it_is(seed):
    case = random_case(random.Random(seed))
    with _lived(case) as life:
        _assert_ended(life, case.ends, keys=1 + case.dialect.replays_500)


def test_a_500_that_is_stored_under_its_key_is_left_behind_with_the_key():
    """Stripe stores the answer to a key, a 500 too, and replays it for a day."""
    with _lived(Case(Dialect(replays_500=True), days=1)) as life:
        _assert_ended(life, None, keys=2)
        posts = life.replica.posts
        assert {post.status for post in posts[:-1]} == {500}
        assert len({post.headers["idempotency-key"] for post in posts[:-1]}) == 1
        assert life.rows("SELECT max(epoch) FROM requests") == [(1,)]


@pytest.mark.parametrize(
    "name", ["never listed", "HTML alone", "POSTs that are never answered well"]
)
def test_what_keeps_failing_is_tried_at_a_decent_pace(name):
    case = replace(DIALECTS[name], days=4)
    with Life(dialect=case.dialect) as life:
        case.prepare(life)
        case.live(life, step=timedelta(hours=3))
        yesterday = life.clock.at - timedelta(days=1)
        late = [exchange for exchange in life.replica.exchanges if exchange.at > yesterday]
        assert 0 < len(late) <= MOST_A_DAY
        assert len(life.replica.posts) <= MOST_POSTS


# --- elsewhere ----------------------------------------------------------------------------

DISGUISES = (
    "http://127.0.0.1:{other}",
    "http://localhost:{other}",
    "//127.0.0.1:{other}",
    "http://127.0.0.1:{own}@127.0.0.1:{other}",
    "http://127.0.0.1:{other}\\@127.0.0.1:{own}",
    "/\\127.0.0.1:{other}",
    "https://127.0.0.1:{own}",
)


@pytest.mark.parametrize("disguise", DISGUISES)
def test_an_action_that_points_to_another_origin_is_never_followed(disguise):
    with _elsewhere() as other, Life() as life:
        own = life.base_url.rsplit(":", 1)[1]
        origin = disguise.format(own=own, other=other.getsockname()[1])
        life.replica.dialect = Dialect(action="elsewhere", elsewhere=origin)
        life.live_on(6)
        assert _connections(other) == 0
        life.assert_kept()


@pytest.mark.parametrize(
    ("method", "code"), [("GET", 301), ("GET", 302), ("POST", 303), ("POST", 307)]
)
def test_a_redirect_to_another_origin_is_never_followed(method, code):
    with _elsewhere() as other, Life() as life:
        location = f"http://127.0.0.1:{other.getsockname()[1]}/"
        redirect = status(code, headers={"Location": location}, after_effect=True)
        faults = life.replica.get_faults if method == "GET" else life.replica.post_faults
        faults.next(redirect)
        Case(days=1).live(life)
        life.assert_kept()
        assert _connections(other) == 0


def _elsewhere():
    """Return a listening socket, in whose queue every connection is kept."""
    other = socket.create_server(("127.0.0.1", 0))
    other.setblocking(False)
    return other


def _connections(other):
    count = 0
    while True:
        try:
            connection, _ = other.accept()
        except BlockingIOError:
            return count
        connection.close()
        count += 1


# --- living and judging -------------------------------------------------------------------


@contextmanager
def _lived(case):
    with Life(dialect=case.dialect) as life:
        case.prepare(life)
        case.live(life)
        yield life


def _assert_ended(life, ends, *, keys=1):
    assert not any(get.path.endswith("/episodes") for get in life.replica.gets)  # no list is read
    if ends is None:
        _assert_processed(life, keys)
    else:
        assert life.request() == (ends.status, ends.reason)
        assert _problems(life, "opened") == ends.problems()
        assert _problems(life, "recovered") == []


def _assert_processed(life, keys):
    """Check the promise, and that no problem outlives it."""
    if keys == 1:
        life.assert_kept()
    assert life.request() == ("processed", "processed")
    assert Counter(e.guid for e in life.replica.effects) == {item.guid: 1 for item in life.new}
    assert life.rows("SELECT count(DISTINCT key) FROM posts") == [(keys,)]
    assert _problems(life, "opened") == _problems(life, "recovered")


def _problems(life, what):
    return [(f["problem"], f["reason"]) for _, f in life.told(f"problem.{what}")]
