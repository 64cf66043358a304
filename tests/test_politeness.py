"""What a fair publisher would ask of us, asserted from his own ledger over days.

The ledger is the far end's: a real server that wrote each request down. Only the clock is turned by
hand; ``tests/living.py`` says how. Connections and turns are tested in ``tests/adapters``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from monitor.demo import Exchange, status
from monitor.demo.publisher import new_item
from tests.living import START, Life

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = HOUR / 2
A_DAY = DAY // TICK
CONDITIONS = {"if-none-match", "if-modified-since"}


@pytest.fixture
def life():
    with Life(new=0) as life:
        life.publisher.exchanges.clear()
        life.step = TICK
        yield life


def gaps(asked: Sequence[Exchange]) -> list[timedelta]:
    return [after.at - before.at for before, after in pairwise(asked)]


def test_a_day_of_polls_is_conditional_but_for_one(life):
    life.run(2 * A_DAY + 2)
    asked = life.publisher.exchanges
    assert {exchange.status for exchange in asked} == {200, 304}
    unconditional = [e for e in asked if not CONDITIONS & e.headers.keys()]
    assert len(unconditional) == 2
    assert all(DAY <= gap <= DAY + HOUR for gap in gaps(unconditional))
    assert [e.status for e in asked].count(200) == 2


def test_both_validators_are_sent_as_they_came_and_replaced_together(life):
    etag, modified = (life.publisher.answer({}).headers[n] for n in ("ETag", "Last-Modified"))
    life.run(3)
    life.publisher.publish(new_item(300, "Another", life.clock()))
    renewed = tuple(life.publisher.answer({}).headers[n] for n in ("ETag", "Last-Modified"))
    life.run(4)
    sent = [
        (e.headers["if-none-match"], e.headers["if-modified-since"])
        for e in life.publisher.exchanges
    ]
    assert set(sent) == {(etag, modified), renewed}
    assert renewed[0] != etag
    assert sent == sorted(sent, key=[(etag, modified), renewed].index)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        pytest.param(str(3 * 3600), 3 * HOUR, 4 * HOUR, id="seconds"),
        pytest.param("date", 3 * HOUR, 4 * HOUR, id="a date"),
        pytest.param("999999999999", DAY, DAY + 3 * HOUR, id="thirty thousand years"),
        pytest.param("soon", 5 * MINUTE, HOUR, id="nonsense"),
        pytest.param("-60", 5 * MINUTE, HOUR, id="a time that has passed"),
    ],
)
def test_no_request_comes_before_retry_after(life, said, least, most):
    # By the server's own clock, which its Date shows: it is not the one that is turned by hand.
    later = format_datetime(datetime.now(UTC) + 3 * HOUR, usegmt=True)
    life.publisher.faults.next(status(429, retry_after=later if said == "date" else said))
    life.run(2 * A_DAY)
    first, second = life.publisher.exchanges[:2]
    assert first.status == 429
    assert least <= second.at - first.at <= most


def test_a_feed_that_fails_is_asked_ever_more_seldom_and_never_given_up(life):
    life.publisher.faults.always(status(503))
    life.step = 5 * MINUTE
    life.run(300)
    life.step = TICK
    life.run(A_DAY)
    waits = gaps(life.publisher.exchanges)
    assert waits[0] >= 5 * MINUTE
    assert all(after >= before for before, after in pairwise(waits[:7]))
    assert all(6 * HOUR <= wait <= 6 * HOUR * 1.2 for wait in waits[7:])
    life.publisher.faults.clear()
    life.run(A_DAY)
    assert life.polled[-1]["failures"] == 0


def test_a_feed_that_is_gone_is_looked_for_weekly(life):
    life.publisher.faults.always(status(410))
    life.step = 6 * HOUR
    life.run(16 * 4)
    assert len(life.publisher.exchanges) == 3
    assert all(7 * DAY <= gap <= 7 * DAY * 1.2 for gap in gaps(life.publisher.exchanges))
    assert [problem["reason"] for _, problem in life.told("problem.opened")] == ["http_410"]


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("max-age=7200", 2 * HOUR, 3 * HOUR), ("max-age=99999999", DAY, DAY + HOUR)],
)
def test_no_request_comes_before_an_answer_is_old(life, said, least, most):
    body = life.publisher.document().encode()
    told = {"Cache-Control": said, "Content-Type": "application/xml"}
    life.publisher.faults.next(status(200, headers=told, body=body))
    life.run(2 * A_DAY)
    first, second = life.publisher.exchanges[:2]
    assert least <= second.at - first.at <= most


def test_what_a_request_says_of_us(life):
    cookie = {"Set-Cookie": "id=1; Path=/"}
    body = life.publisher.document().encode()
    life.publisher.faults.next(status(200, headers=cookie, body=body))
    life.run(4)
    for exchange in life.publisher.exchanges:
        assert exchange.method == "GET"
        assert not {"cookie", "referer", "content-length", "content-type"} & exchange.headers.keys()
        assert exchange.headers["accept-encoding"] == "gzip"
        assert exchange.headers["user-agent"] == "test"
    assert all(exchange.at >= START for exchange in life.publisher.exchanges)
