"""A database that cannot be used: told once, and nothing that was in hand is lost by it."""

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from monitor.adapters.store.takeover import take_over
from monitor.core.model import DatabaseError, LogEvent
from monitor.dispatch import Dispatcher
from monitor.jobs.outage import Outage
from tests.living import START, STEP, Life, Meanwhile, SwitchedHttp, _http

LOCKED = DatabaseError("database t.db: another process keeps it locked", "locked")


class Heard:
    def __init__(self):
        self.at = START
        self.lines = []

    def outage(self):
        return Outage(lambda: self.at, lambda event, at: self.lines.append((event, at)))

    def names(self):
        return [event.name for event, _ in self.lines]


def test_an_outage_is_told_once_reminded_of_daily_and_taken_back_with_its_length():
    heard = Heard()
    outage = heard.outage()
    for _ in range(49):
        outage.failed(LOCKED)
        heard.at += timedelta(hours=1)
    outage.worked()
    outage.worked()
    assert heard.names() == [
        "problem.opened",
        "problem.reminded",
        "problem.reminded",
        "problem.recovered",
    ]
    opened, recovered = heard.lines[0][0], heard.lines[-1][0]
    assert opened.fields["reason"] == "locked"
    assert opened.fields["detail"] == str(LOCKED)
    assert recovered.fields["took_s"] == 49 * 3600


def test_one_that_will_not_end_by_itself_is_remembered():
    outage = Heard().outage()
    outage.failed(LOCKED)
    assert outage.lasting is None
    gone = DatabaseError("the file was replaced", "replaced", lasting=True)
    outage.failed(gone)
    assert outage.lasting is gone


# --- what jobs held -------------------------------------------------------------------------


class Away(Meanwhile):
    """From one outside action on the database fails, a few times."""

    def __init__(self, action: str, *, nth: int = 1, times: int = 3) -> None:
        super().__init__(action, self._begin, nth=nth)
        self._times = times
        self.left = 0

    def _begin(self) -> None:
        self.left = self._times

    def act(self, action: str) -> None:
        super().act(action)
        if self.left and action not in {"GET", "POST", "answer to GET", "answer to POST"}:
            self.left -= 1
            raise LOCKED


class Enduring(Life):
    """A life in one process: what its ticks and jobs raise is told, and it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[LogEvent] = []

    def _tell(self, event, at):
        if event.name == "feed.polled":
            super()._tell(event, at)
        else:
            self.said.append(event)

    async def _work(self, database, switch, steps, *, settled):  # noqa: ARG002 - Life's
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(_http())
            ctx = self._context(database, SwitchedHttp(http, switch), stack)
            ctx = replace(ctx, token=lambda: uuid4().hex)
            configured = [(p.name, p.feed, p.slug) for p in ctx.podcasts.values()]
            await ctx.write(take_over, configured, self.clock())
            dispatcher = Dispatcher(ctx, Outage(ctx.now, ctx.emit))
            for _ in range(steps):
                for start in (
                    dispatcher.start_polls,
                    dispatcher.start_deliveries,
                    dispatcher.start_looks,
                ):
                    with suppress(DatabaseError):
                        await start()
                    await dispatcher.join()
                self.clock.turn(self.step)
                self.replica.advance()

    def leased(self) -> list[tuple[object, ...]]:
        return self.rows("SELECT id FROM episodes WHERE lease IS NOT NULL")


POINTS = {
    "the poll's answer": Away("answer to GET"),
    "the claim's commit": Away("COMMIT", nth=3, times=1),
    "the first look at Stenobird": Away("answer to GET", nth=2),
    "the POST": Away("POST"),
    "the POST's answer": Away("answer to POST"),
    "a later look": Away("answer to GET", nth=4),
}


@pytest.mark.parametrize("after", POINTS)
def test_what_a_job_held_when_the_database_went_away_is_done_when_it_is_back(after):
    away = POINTS[after]
    with Enduring() as life:
        life.limits = replace(life.limits, lease_for=timedelta(days=9))  # nobody waits for it
        life.run(9, away)
        assert away.left == 0
        assert life.leased() == []
        assert [event.name for event in life.said] in ([], ["problem.opened"])
        life.assert_kept()


def test_a_fault_of_ours_in_a_delivery_backs_off_with_a_reason(monkeypatch, caplog):
    tried = []

    def broken(*_args, **_kwargs):
        tried.append(1)
        raise ZeroDivisionError

    with Enduring() as life:
        with monkeypatch.context() as patch:
            patch.setattr("monitor.jobs.deliver.delivery.before_post", broken)
            life.step = timedelta(seconds=5)
            life.run(60)
            assert life.request() == ("pending", "internal_error")
        assert 1 <= len(tried) <= 5, "not at every tick"
        (trace,) = [record for record in caplog.records if record.exc_info]
        assert trace.exc_info[0] is ZeroDivisionError, "where it happened, once"
        assert {event.name for event in life.said} == {"tick.failed"}
        life.step = STEP
        life.run(9)
        life.assert_kept()


def test_a_plan_that_cannot_be_written_fails_its_own_poll_and_backs_off(monkeypatch):
    def broken(_conn, _id, episodes, _now):
        if episodes:
            raise ZeroDivisionError

    with Enduring() as life:
        with monkeypatch.context() as patch:
            patch.setattr("monitor.adapters.store.polls.catalogue.insert", broken)
            life.run(1)
        assert [line["reason"] for line in life.polled[1:]] == ["internal_error"]
        life.run(12)
        life.assert_kept()
