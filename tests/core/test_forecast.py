"""The polls of the coming week, worked out ahead."""

from datetime import UTC, datetime, timedelta

from monitor.core import forecast
from monitor.core.cadence import fit
from monitor.core.schedule import Bounds, History, NextPoll
from tests.core.scenarios import DAY, HOUR, WEEK

MONDAY = datetime(2026, 10, 12, tzinfo=UTC)
TUESDAY = MONDAY + DAY + 17.5 * HOUR
USUAL = Bounds(timedelta(minutes=5), 6 * HOUR)
WEEKLY = fit([TUESDAY - n * WEEK for n in range(1, 30)])


def week(history, per_day, bounds=USUAL):
    due = NextPoll(MONDAY + HOUR / 2, "quiet")
    return [*forecast.hours(MONDAY, 7 * 24, due, history, bounds, per_day=per_day)]


def test_a_week_has_its_hours_its_drop_and_its_polls():
    hours = week(History(WEEKLY), 24)
    assert [hour.begins_at for hour in hours[:2]] == [MONDAY, MONDAY + HOUR]
    likeliest = max(hours, key=lambda hour: hour.expected)
    assert likeliest.begins_at == TUESDAY.replace(minute=0)
    assert likeliest.polls == max(hour.polls for hour in hours) >= 5
    assert 0.5 * 7 * 24 <= sum(hour.polls for hour in hours) <= 7 * 24 * 1.1
    assert hours[0].polls == 1, "the one that is planned"


def test_where_nothing_is_learned_the_polls_are_even():
    hours = week(History(), 48)
    assert {hour.expected for hour in hours} == {None}
    assert {hour.polls for hour in hours[1:]} == {2}


def test_a_poll_a_second_is_not_worked_out_for_a_week():
    hours = week(History(), 86_400, Bounds(timedelta(seconds=1), HOUR))
    assert {hour.polls for hour in hours} == {3_600}
