"""What a fair publisher would ask of us, asserted from his own ledger over days.

The ledger is the far end's: a real server that wrote each request down. Only the clock is turned by
hand; ``tests/living.py`` says how. Of turns, here is what the daemon's own client makes of them;
the rest is tested in ``tests/adapters``.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from monitor import __version__, config
from monitor.assembly import open_http
from monitor.core.schedule import Bounds
from monitor.demo import Exchange, reset, status
from monitor.demo.publisher import Publisher, new_item
from monitor.demo.server import World, serve_in_thread
from monitor.jobs.context import Context
from tests.adapters.server import Play, far_end, reply
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


@pytest.mark.parametrize(
    ("minutes", "least", "most"), [(120, 2 * HOUR, 3 * HOUR), (999_999, DAY, DAY + HOUR)]
)
def test_no_request_comes_before_the_feeds_own_ttl_has_passed(life, minutes, least, most):
    life.publisher.edit_title(life.old.guid, "A title that is another")
    ttl = f"<channel><ttl>{minutes}</ttl>"
    body = life.publisher.document().replace("<channel>", ttl, 1).encode()
    etag = life.publisher.answer({}).headers["ETag"]
    life.publisher.faults.next(status(200, headers={"ETag": etag}, body=body))
    life.run(2 * A_DAY)
    first, second = life.publisher.exchanges[:2]
    assert least <= second.at - first.at <= most


def test_the_ttl_of_a_feed_that_has_not_changed_still_counts(life):
    life.publisher.edit_title(life.old.guid, "A title that is another")
    body = life.publisher.document().replace("<channel>", "<channel><ttl>120</ttl>", 1).encode()
    told = {"ETag": life.publisher.answer({}).headers["ETag"]}
    life.publisher.faults.next(status(200, headers=told, body=body))
    life.run(A_DAY)
    assert {e.status for e in life.publisher.exchanges[1:]} == {304}
    assert min(gaps(life.publisher.exchanges)) >= 2 * HOUR


# --- several feeds of one host -----------------------------------------------------------

HOSTED = """
[network]
contact = "mailto:me@example.com"
per_host_interval = "50ms"
allow_private = true
[[podcasts]]
name = "show"
feed = "http://127.0.0.1/"
stenobird = "show"
"""


@pytest.mark.anyio
async def test_one_host_is_asked_for_one_feed_at_a_time_with_a_pause_and_told_by_whom(tmp_path):
    (tmp_path / "config.toml").write_text(HOSTED)
    configured = config.load(tmp_path / "config.toml", {}, tmp_path)
    clock, starts = asyncio.get_running_loop().time, []

    def after(pause_s: float, answer: bytes) -> Play:
        async def play(writer: asyncio.StreamWriter) -> None:
            starts.append(clock())
            await asyncio.sleep(pause_s)
            writer.write(answer)

        return play

    cookie = reply(301, Location="/there", Set_Cookie="id=1; Path=/")
    async with far_end() as end, open_http(configured) as http:
        end.on("/here", after(0.06, cookie)).on("/there", after(0.0, reply()))
        asked = [http.get(end.url("/here"), headers={}, max_body_bytes=9) for _ in range(3)]
        assert [answer.http for answer in await asyncio.gather(*asked)] == [200, 200, 200]
    assert (end.connections, end.most_busy, len(starts)) == (1, 1, 6)
    assert min(later - sooner for sooner, later in pairwise(starts)) >= 0.045  # the wire's part
    who = f"podcast-monitor/{__version__} (+mailto:me@example.com)"
    assert {heard.fields["user-agent"] for heard in end.heard} == {who}
    assert not any({"cookie", "referer"} & heard.fields.keys() for heard in end.heard)


# --- a feed that moves -------------------------------------------------------------------


class Private(Life):
    """A life whose podcast has a header that is a secret between its first host and us."""

    def _context(self, *given) -> Context:
        ctx = super()._context(*given)
        podcast = replace(ctx.podcasts["show"], headers={"X-Key": "s3cret"})
        return replace(ctx, podcasts={"show": podcast})


@contextmanager
def another_host(life: Life) -> Iterator[Publisher]:
    """Serve the same podcast at another origin; *life*'s own host says so from now on."""
    other = Publisher("show", life.publisher.items, clock=life.clock)
    with serve_in_thread(World(other, replica=life.replica)) as base_url:
        to = {"Location": f"{base_url}{other.path}"}
        life.publisher.faults.always(status(301, headers=to))
        yield other


def test_a_feed_that_moved_for_good_is_asked_at_its_new_address_after_three_days(life):
    life.step = 3 * HOUR
    with another_host(life) as other:
        life.run(4 * 8)
        asked = life.publisher.exchanges
        assert 3 * DAY <= asked[-1].at - START <= 3 * DAY + life.step
        assert life.clock() - other.exchanges[-1].at == life.step
        assert {e.status for e in other.exchanges} == {200, 304}
    assert [fields for _, fields in life.told("feed.moved")] == [{"to_host": "127.0.0.1"}]
    assert life.polled[-1]["failures"] == 0


def test_a_new_address_that_fails_sends_back_to_the_configured_one(life):
    life.step = 3 * HOUR
    with another_host(life) as other:
        life.run(4 * 8)
        life.publisher.faults.clear()
        other.faults.always(status(404))
        life.run(2 * 8)
        assert [e.status for e in other.exchanges].count(404) == 5
    assert life.polled[-1]["failures"] == 0


def test_a_secret_stays_with_the_host_it_was_meant_for():
    with Private(new=0) as life, another_host(life) as other:
        life.step = 3 * HOUR
        life.run(4 * 8)
        assert {e.headers.get("x-key") for e in life.publisher.exchanges} == {"s3cret"}
        assert {e.headers.get("x-key") for e in other.exchanges} == {None}


# --- the budget ---------------------------------------------------------------------------


def most_in_24_hours(asked: Sequence[Exchange]) -> int:
    return max(sum(last.at - DAY < each.at <= last.at for each in asked) for last in asked)


def test_no_24_hours_have_more_than_the_cap_over_restarts_faults_and_news(life):
    life.polling = replace(life.polling, per_day=8)
    for day in range(6):
        for _ in range(4):
            life.run(A_DAY // 4)  # and a restart
            life.publisher.faults.next(status(503), status(500), reset(0.5))
        life.publisher.publish(new_item(300 + day, f"Another {day}", life.clock()))
    assert 6 * 5 <= len(life.publisher.exchanges) <= 6 * 10
    assert most_in_24_hours(life.publisher.exchanges) <= 10


def test_what_a_person_asks_for_is_done_and_counts(life):
    life.polling = replace(life.polling, per_day=8)
    for _ in range(12):
        life.ask()
        life.run()
    assert len(life.publisher.exchanges) == 12
    life.run(A_DAY - 13)
    assert len(life.publisher.exchanges) == 12, "the day has had its polls"
    assert life.polled[-1]["next_poll_reason"] == "budget"
    life.run(A_DAY)
    assert most_in_24_hours(life.publisher.exchanges) == 12
    assert most_in_24_hours(life.publisher.exchanges[12:]) <= 10


def test_a_budget_that_is_made_smaller_holds_for_the_day_before_too(life):
    life.polling = replace(life.polling, per_day=48)
    life.run(A_DAY)
    asked = len(life.publisher.exchanges)
    life.polling = replace(life.polling, per_day=4, poll=Bounds(5 * MINUTE, HOUR))
    life.run(A_DAY)
    assert len(life.publisher.exchanges) <= asked + 5 + 1, "one was planned already"
