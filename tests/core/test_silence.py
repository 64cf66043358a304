"""How long a feed may be silent before a person should know."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.silence import ENDED, LEAST, MOST, limit, silence

NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def show(*, every, times=30, until=NOW):
    """When the episodes of a show with one rhythm came, the last one at *until*."""
    return [until - n * every for n in reversed(range(times))]


@pytest.mark.parametrize(
    ("every", "after"),
    [
        (DAY / 24, LEAST),
        (DAY, LEAST),
        (7 * DAY, 14 * DAY),
        (30 * DAY, 60 * DAY),
        (60 * DAY, MOST),
    ],
    ids=["hourly", "daily", "weekly", "monthly", "rare"],
)
def test_a_show_may_be_silent_for_two_of_its_gaps_within_bounds(every, after):
    assert limit(show(every=every)).after == after


def test_it_is_told_once_that_is_over_and_not_before():
    weekly = show(every=7 * DAY)
    assert silence(weekly, NOW + 14 * DAY) is None
    found = silence(weekly, NOW + 14 * DAY + timedelta(seconds=1))
    assert (found.since, found.reason) == (NOW, "no_news_in_14d")


def test_a_break_between_seasons_is_no_alarm_the_second_time():
    seasons = show(every=7 * DAY, until=NOW - 50 * DAY) + show(every=7 * DAY, times=20)
    assert limit(seasons).after > 50 * DAY - 20 * 7 * DAY
    before = show(every=7 * DAY, until=NOW - 190 * DAY)
    seasons = before + show(every=7 * DAY, times=20)  # the gap between them: 57 days
    assert limit(seasons).after == 57 * DAY
    assert silence(seasons, NOW + 50 * DAY) is None


def test_a_rhythm_that_changed_long_ago_is_forgotten():
    once_monthly = show(every=30 * DAY, until=NOW - 100 * DAY)
    assert limit([*once_monthly, *show(every=DAY, times=60)][-51:]).after == LEAST
    assert silence([*once_monthly, *show(every=DAY, times=60)], NOW + 8 * DAY) is not None


@pytest.mark.parametrize("times", [1, 2, 5])
def test_of_a_few_episodes_nothing_is_learned(times):
    few = show(every=DAY, times=times)
    assert silence(few, NOW + MOST) is None
    assert "tell nothing" in str(silence(few, NOW + MOST + DAY).limit)


def test_a_show_that_ended_long_ago_and_one_without_episodes_are_no_news():
    assert silence(show(every=DAY), NOW + ENDED) is None
    assert silence([], NOW) is None


def test_a_back_catalogue_with_one_date_for_all_is_as_one_episode_of_a_daily_show():
    assert limit([NOW] * 30).after == LEAST


def test_the_limit_explains_itself():
    assert str(limit([*show(every=7 * DAY, until=NOW - 10 * DAY), NOW])) == (
        "of its last 30 gaps 95 % were within 7.0 d, the longest was 10.0 d;"
        " it may take twice the former or the latter, from 7.0 d to 90.0 d"
    )
