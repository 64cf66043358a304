"""Problems: opened after enough, reminded daily, and taken back."""

import pytest

from monitor.core.problems import Kind, Problem, recover, remind, strike
from tests.core.scenarios import DAY, HOUR, MINUTE, NOW, SECOND

PATIENT = [Kind.FEED_FAILING, Kind.STENOBIRD_FAILING]
SLOW = {Kind.REQUEST_UNLISTED, Kind.REQUEST_FAILING, Kind.OFFLINE}
AT_ONCE = [kind for kind in Kind if kind not in {*PATIENT, *SLOW}]


def names(update):
    return [event.name for event in update.events]


def struck(kind, *times, reason="timeout", podcast=None, guid=None):
    """Return the last update of a kind that was struck at *times*."""
    problem = None
    for at in times:
        update = strike(problem, kind, reason=reason, now=at, podcast=podcast, guid=guid)
        problem = update.after
    return update


@pytest.mark.parametrize("kind", PATIENT)
def test_a_single_bad_answer_wakes_nobody(kind):
    update = struck(kind, NOW)
    assert update.events == ()
    assert update.after.opened_at is None


@pytest.mark.parametrize("kind", PATIENT)
@pytest.mark.parametrize(
    ("times", "opened"),
    [
        pytest.param([NOW, NOW + MINUTE, NOW + 2 * MINUTE], False, id="enough but too soon"),
        pytest.param([NOW, NOW + HOUR], False, id="long enough but too few"),
        pytest.param([NOW, NOW + MINUTE, NOW + 10 * MINUTE], True, id="enough and long enough"),
    ],
)
def test_a_source_has_a_problem_after_three_failures_in_ten_minutes_or_more(kind, times, opened):
    update = struck(kind, *times)
    assert names(update) == (["problem.opened"] if opened else [])
    assert (update.after.opened_at is not None) == opened


def test_an_episode_that_stenobird_does_not_list_is_a_problem_after_three_days():
    often = [NOW + n * HOUR for n in range(72)]
    assert struck(Kind.REQUEST_UNLISTED, *often).events == ()
    update = struck(Kind.REQUEST_UNLISTED, *often, NOW + 3 * DAY, reason="not_listed_yet")
    assert names(update) == ["problem.opened"]


def test_a_request_that_no_post_brings_further_is_a_problem_after_an_hour():
    retries = [NOW + n * MINUTE for n in (0, 1, 3, 7, 15, 31)]
    assert struck(Kind.REQUEST_FAILING, *retries).events == ()
    assert names(struck(Kind.REQUEST_FAILING, *retries, NOW + HOUR)) == ["problem.opened"]


@pytest.mark.parametrize("kind", AT_ONCE)
def test_what_only_a_person_can_solve_is_said_at_once(kind):
    update = struck(kind, NOW, podcast="show", guid="g")
    (told,) = update.events
    assert (told.name, told.level, told.podcast, told.guid) == (
        "problem.opened",
        "warning",
        "show",
        "g",
    )
    assert told.fields == {
        "problem": kind.value,
        "reason": "timeout",
        "since": "2026-10-10T12:00:00.000Z",
        "failures": 1,
    }


def test_a_feed_that_is_gone_is_said_at_once_since_it_is_looked_at_weekly():
    assert names(struck(Kind.FEED_FAILING, NOW, reason="http_410")) == ["problem.opened"]


def test_an_open_problem_is_reminded_of_daily_and_not_at_every_strike():
    problem = struck(Kind.REQUEST_STALLED, NOW).after
    said = []
    for hour in range(1, 73):
        update = strike(problem, problem.kind, reason="no_change", now=NOW + hour * HOUR)
        said += [(hour, name) for name in names(update)]
        problem = update.after
    assert said == [(n, "problem.reminded") for n in (24, 48, 72)]
    assert problem.strikes == 73
    assert problem.reason == "no_change", "the newest reason is the one to tell"
    assert (problem.since, problem.opened_at) == (NOW, NOW)


def test_what_explains_a_problem_is_said_when_it_is_opened_and_whenever_it_is_reminded_of():
    kind = Kind.REQUEST_STALLED
    opened = strike(None, kind, reason="no_change", now=NOW, detail="why")
    again = strike(opened.after, kind, reason="no_change", now=NOW + DAY, detail="still")
    later = remind(again.after, now=NOW + 2 * DAY, detail="for long")
    told = [event.fields["detail"] for update in (opened, again, later) for event in update.events]
    assert told == ["why", "still", "for long"]


def test_a_problem_that_is_not_open_is_not_reminded_of():
    quiet = struck(Kind.FEED_FAILING, NOW).after
    assert remind(quiet, now=NOW + 9 * DAY).events == ()


def test_a_problem_is_taken_back_with_how_long_it_took():
    problem = struck(Kind.FEED_FAILING, NOW, NOW + HOUR, NOW + 2 * HOUR, podcast="show").after
    update = recover(problem, now=NOW + 3 * HOUR + SECOND)
    (told,) = update.events
    assert update.after is None
    assert (told.name, told.level, told.podcast) == ("problem.recovered", "info", "show")
    assert told.fields == {"problem": "feed_failing", "reason": "timeout", "took_s": 10_801}


def test_what_was_never_opened_ends_without_a_word():
    update = recover(struck(Kind.FEED_FAILING, NOW).after, now=NOW)
    assert update.after is None
    assert update.events == ()


def test_where_there_was_no_problem_there_is_nothing_to_take_back():
    assert recover(None, now=NOW) is None


def test_a_clock_that_was_set_back_opens_nothing_early():
    before = Problem(Kind.FEED_FAILING, "show", None, "timeout", since=NOW + DAY, strikes=9)
    assert strike(before, before.kind, reason="timeout", now=NOW).events == ()
