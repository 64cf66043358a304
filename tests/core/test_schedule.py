"""When to come back: bounds, floors and jitter; pace and budget, with a greedy sender."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.core import schedule
from monitor.core.cadence import fit
from monitor.core.schedule import (
    Bounds,
    History,
    NextPoll,
    Spent,
    audio_minutes,
    backoff,
    may_post_at,
)
from tests.core.scenarios import DAY, HOUR, MINUTE, NOW, SECOND, WEEK

LONGEST = timedelta(days=36_500)  # what the configuration lets pass
TINY = timedelta(microseconds=1)

durations = st.timedeltas(TINY, LONGEST)
bounds = st.tuples(durations, durations).map(lambda pair: Bounds(min(pair), max(pair)))
jitters = st.floats(0, 1, exclude_max=True)
failures = st.integers(1, 100_000)
wishes = st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=100_000))
USUAL = Bounds(5 * MINUTE, 6 * HOUR)
UNKNOWN = History()


# --- a healthy feed ----------------------------------------------------------------------


@given(bounds, st.integers(1, 1_000_000), st.lists(wishes, max_size=3), jitters)
def test_a_healthy_feed_is_polled_within_its_bounds_and_never_before_a_floor(
    bounds, per_day, floors, jitter
):
    next_poll = schedule.next_poll_at(NOW, UNKNOWN, floors, bounds, jitter, per_day=per_day)
    at = next_poll.at
    floor = max([min(f, DAY) for f in floors if f is not None], default=timedelta())
    least = max(bounds.min, floor)
    most = max(bounds.max, floor, DAY / per_day)
    assert at > NOW
    assert NOW + least <= at <= NOW + most + min(least * 0.2 + TINY, MINUTE)
    assert next_poll.reason in {"interval", "floor"}


@pytest.mark.parametrize(
    ("least", "latest"),
    [(MINUTE, 12 * SECOND), (5 * MINUTE, MINUTE), (HOUR, MINUTE)],
    ids=["a fifth of the least interval", "both", "a minute"],
)
def test_jitter_makes_a_poll_late_by_little(least, latest):
    bounds, jitter = Bounds(least, 6 * HOUR), 0.999
    poll = schedule.next_poll_at(NOW, UNKNOWN, (), bounds, jitter, per_day=1_000_000)
    assert latest - SECOND < poll.at - NOW - least <= latest


@given(bounds, st.integers(1, 1000), jitters, jitters)
def test_more_jitter_is_never_earlier(bounds, per_day, one, other):
    early, late = (
        schedule.next_poll_at(NOW, UNKNOWN, (), bounds, j, per_day=per_day)
        for j in sorted((one, other))
    )
    assert early.at <= late.at


@pytest.mark.parametrize(
    ("per_day", "floors", "after", "reason"),
    [
        pytest.param(48, [], 30 * MINUTE, "interval", id="the day is divided evenly"),
        pytest.param(10_000, [], 5 * MINUTE, "floor", id="never more often than min"),
        pytest.param(1, [], DAY, "interval", id="a budget too small for max outranks it"),
        pytest.param(48, [HOUR, None, 2 * HOUR], 2 * HOUR, "floor", id="the longest floor holds"),
        pytest.param(48, [MINUTE], 30 * MINUTE, "interval", id="a short floor changes nothing"),
        pytest.param(48, [9 * HOUR], 9 * HOUR, "floor", id="a floor holds above max"),
        pytest.param(48, [WEEK], DAY, "floor", id="no floor is longer than a day"),
    ],
)
def test_a_healthy_feed_of_which_nothing_is_learned(per_day, floors, after, reason):
    wanted = schedule.next_poll_at(NOW, UNKNOWN, floors, USUAL, 0, per_day=per_day)
    assert wanted == NextPoll(NOW + after, reason)


# --- a healthy feed with a rhythm --------------------------------------------------------

TUESDAY = datetime(2026, 10, 6, 17, 30, tzinfo=UTC)
WEEKLY = [TUESDAY - n * WEEK + n % 5 * 7 * MINUTE for n in range(30)]


def lived(came, *, days, per_day, begin, bounds=USUAL, hints=()):
    """Poll from *begin* on, as the daemon does; return when, and why."""
    rhythm, polls, polled = fit(came), [], ()
    now = begin
    while now < begin + days * DAY:
        polled = schedule.last_day(polled, now)
        history = History(rhythm, polled)
        wanted = schedule.next_poll_at(now, history, hints, bounds, 0.5, per_day=per_day)
        wanted = schedule.within_cap(wanted, polled, per_day)
        polls.append(wanted)
        now = wanted.at
    return polls


@pytest.mark.parametrize("per_day", [12, 24, 48, 96])
def test_a_budget_is_kept_in_every_24_hours_and_over_the_weeks(per_day):
    polls = [poll.at for poll in lived(WEEKLY, days=21, per_day=per_day, begin=TUESDAY + HOUR)]
    most = max(sum(at - DAY < other <= at for other in polls) for at in polls)
    assert most <= per_day * 1.25
    assert 0.5 * per_day <= len(polls) / 21 <= 1.1 * per_day


def test_of_a_show_without_a_rhythm_the_whole_budget_is_used():
    chance = Random("no rhythm")
    came = [TUESDAY - chance.uniform(0, 300) * DAY for _ in range(64)]
    polls = lived(came, days=7, per_day=24, begin=max(came))
    assert 0.9 * 24 <= len(polls) / 7 <= 24 * 1.05


def test_polls_are_close_where_an_episode_is_expected_and_say_so():
    polls = lived(WEEKLY, days=7, per_day=24, begin=TUESDAY + HOUR)
    near = [poll for poll in polls if abs(poll.at - TUESDAY - WEEK) < HOUR]
    assert len(near) >= 10, "of 24 an even schedule has two"
    assert {poll.reason for poll in near} <= {"expected Tue 17:00-19:00", "floor", "quiet"}
    far = {poll.reason for poll in polls if abs(poll.at - TUESDAY - WEEK) > 12 * HOUR}
    assert far <= {"quiet", "max"}


def test_a_publishers_floor_and_the_bounds_hold_wherever_an_episode_is_expected():
    polls = lived(WEEKLY, days=7, per_day=96, begin=TUESDAY + HOUR, hints=[HOUR / 2])
    gaps = [after.at - before.at for before, after in pairwise(polls)]
    assert HOUR / 2 <= min(gaps) <= max(gaps) <= USUAL.max + MINUTE
    assert {"floor"} <= {poll.reason for poll in polls}


def test_a_poll_comes_sooner_the_sooner_those_before_it_are_a_day_ago():
    wanted = {
        ago: schedule.next_poll_at(
            NOW,
            History(fit(WEEKLY), (*[NOW - ago] * 25, NOW)),
            (),
            USUAL,
            0,
            per_day=24,
        ).at
        for ago in (HOUR, 23 * HOUR)
    }
    assert wanted[23 * HOUR] - NOW < (wanted[HOUR] - NOW) / 2


def test_where_nothing_is_expected_the_greatest_delay_holds():
    polls = lived(WEEKLY, days=7, per_day=12, begin=TUESDAY + HOUR, bounds=Bounds(MINUTE, 3 * HOUR))
    gaps = {after.at - before.at for before, after in pairwise(polls) if after.reason == "max"}
    assert len(gaps) == 1
    assert 3 * HOUR <= gaps.pop() <= 3 * HOUR + MINUTE


@pytest.mark.parametrize("per_day", [1, 2, 3])
def test_a_budget_smaller_than_the_greatest_delay_asks_for_is_spread_over_the_day(per_day):
    polls = lived(WEEKLY, days=7, per_day=per_day, begin=TUESDAY + HOUR)
    gaps = [after.at - before.at for before, after in pairwise(polls)]
    assert max(gaps) <= DAY / per_day + MINUTE


def test_a_show_that_ended_costs_no_more_than_its_budget():
    polls = lived(WEEKLY, days=60, per_day=24, begin=TUESDAY + 400 * DAY)
    assert len(polls) / 60 <= 24 * 1.1


def test_the_cap_puts_off_whatever_was_wanted():
    polled = tuple(NOW - HOUR + n * MINUTE for n in range(30))
    wanted = NextPoll(NOW + 5 * MINUTE, "backoff")
    assert schedule.within_cap(wanted, polled, 24) == NextPoll(NOW + 23 * HOUR, "budget")
    assert schedule.within_cap(wanted, polled[1:], 24) == wanted


def test_polls_of_the_future_count_as_made_now():
    polled = (NOW - 2 * DAY, NOW - HOUR, NOW + 9 * DAY)
    assert schedule.last_day(polled, NOW) == (NOW - HOUR, NOW, NOW)


# --- a failing feed ----------------------------------------------------------------------


@given(bounds, failures, wishes, st.booleans(), jitters)
def test_a_failing_feed_is_polled_again_later_than_min_and_never_given_up(
    bounds, failures, retry_after, gone, jitter
):
    at = schedule.next_poll_after_failure(
        NOW, bounds, failures=failures, retry_after=retry_after, gone=gone, jitter=jitter
    )
    asked_for = min(retry_after or timedelta(), DAY)
    most = max(bounds.min, WEEK if gone else 6 * HOUR, asked_for)
    assert at > NOW
    assert NOW + max(bounds.min, asked_for) <= at <= NOW + most * 1.1 + TINY
    if gone:
        assert at >= NOW + WEEK


@pytest.mark.parametrize(
    ("facts", "after"),
    [
        pytest.param({"failures": 1}, 5 * MINUTE, id="the first failure waits min"),
        pytest.param({"failures": 3}, 20 * MINUTE, id="each one doubles"),
        pytest.param({"failures": 500}, 6 * HOUR, id="it decays to 6 hours"),
        pytest.param({"failures": 1, "retry_after": HOUR}, HOUR, id="Retry-After is a floor"),
        pytest.param({"failures": 500, "retry_after": DAY}, DAY, id="also above 6 hours"),
        pytest.param({"failures": 1, "retry_after": WEEK}, DAY, id="but capped at a day"),
        pytest.param({"failures": 1, "gone": True}, WEEK, id="what is gone is looked at weekly"),
    ],
)
def test_a_failing_feed(facts, after):
    at = schedule.next_poll_after_failure(NOW, USUAL, **facts, jitter=0)
    assert at == NOW + after


# --- a failing request -------------------------------------------------------------------


@given(bounds, failures)
@example(Bounds(LONGEST, LONGEST), 100_000)
@example(Bounds(TINY, LONGEST), 100_000)
def test_backoff_stays_within_its_bounds_and_never_overflows(bounds, attempts):
    assert bounds.min <= backoff(attempts, bounds) <= bounds.max
    assert backoff(attempts, bounds) <= backoff(attempts + 1, bounds)


@given(bounds)
def test_backoff_begins_at_min_and_arrives_at_max(bounds):
    assert backoff(1, bounds) == bounds.min
    assert backoff(100, bounds) == bounds.max


@given(bounds, failures, wishes, jitters)
def test_a_request_is_tried_again_within_its_bounds_and_not_before_it_was_asked_for(
    bounds, attempts, retry_after, jitter
):
    at = schedule.next_attempt_at(
        NOW, bounds, attempts=attempts, retry_after=retry_after, jitter=jitter
    )
    asked_for = min(retry_after or timedelta(), bounds.max)
    assert at > NOW
    assert NOW + max(bounds.min, asked_for) <= at <= NOW + bounds.max * 1.1 + TINY


# --- what does not move ------------------------------------------------------------------


@given(bounds, st.timedeltas(-LONGEST, LONGEST), jitters)
def test_what_does_not_move_is_looked_at_within_its_bounds(bounds, age, jitter):
    at = schedule.next_look_at(NOW, bounds, since=NOW - age, jitter=jitter)
    assert at > NOW
    assert NOW + bounds.min <= at <= NOW + bounds.max * 1.1 + TINY


@pytest.mark.parametrize(
    ("age", "wait"),
    [(-HOUR, 5 * MINUTE), (10 * MINUTE, 5 * MINUTE), (10 * HOUR, HOUR), (9 * DAY, 6 * HOUR)],
    ids=["set back", "fresh", "a tenth of its age", "old"],
)
def test_what_does_not_move_is_looked_at_after_a_tenth_of_its_age(age, wait):
    assert schedule.next_look_at(NOW, USUAL, since=NOW - age, jitter=0) == NOW + wait


@given(st.timedeltas(timedelta(), LONGEST), st.timedeltas(timedelta(), LONGEST))
def test_the_older_the_rarer(one, other):
    younger, older = sorted((one, other))
    assert schedule.next_look_at(NOW, USUAL, since=NOW - younger, jitter=0) <= (
        schedule.next_look_at(NOW, USUAL, since=NOW - older, jitter=0)
    )


# --- pace and budget ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration_s", "minutes"),
    [(None, 90), (0, 1), (59, 1), (60, 1), (119, 1), (120, 2), (2928, 48)],
)
def test_an_episode_costs_its_whole_minutes_and_at_least_one(duration_s, minutes):
    assert audio_minutes(duration_s) == minutes


def ask(*ledger, now=NOW, request_id=0, minutes=60, per_minute=6, minutes_per_day=600, reserved=0):
    limits = {"per_minute": per_minute, "minutes_per_day": minutes_per_day, "reserved": reserved}
    return may_post_at(now, ledger, request_id=request_id, minutes=minutes, **limits)


def test_an_empty_ledger_lets_anything_go():
    assert ask() == (NOW, None)


def test_an_episode_larger_than_the_whole_budget_goes_when_the_window_is_empty():
    assert ask(minutes=601) == (NOW, None)
    before = NOW - HOUR
    assert ask(Spent(before, 1, 1), minutes=601) == (before + DAY, "budget")


def test_what_is_posted_again_spends_its_minutes_once():
    spent = Spent(NOW - HOUR, 7, 600)
    assert ask(spent, request_id=7) == (NOW, None)
    assert ask(spent, request_id=8)[1] == "budget"
    twice = (Spent(NOW - 2 * HOUR, 7, 300), Spent(NOW - HOUR, 7, 300))
    assert ask(*twice, request_id=8, minutes=300) == (NOW, None)


def test_what_had_no_effect_spends_no_minutes_and_is_no_way_around_the_budget():
    in_vain = Spent(NOW - HOUR, 7, 0)
    full = Spent(NOW - HOUR, 1, 600)
    assert ask(in_vain) == (NOW, None)
    assert ask(in_vain, full, request_id=7)[1] == "budget"
    assert ask(in_vain, Spent(NOW - MINUTE, 7, 600), request_id=8)[1] == "budget"


def test_what_had_no_effect_still_counts_for_the_pace():
    ledger = [Spent(NOW - n * SECOND, n, 0) for n in range(6)]
    assert ask(*ledger) == (NOW + 55 * SECOND, "pace")


def test_the_budget_frees_up_as_the_oldest_leave_the_window():
    ledger = [Spent(NOW - n * HOUR, n, 200) for n in (20, 10, 5)]
    assert ask(*ledger, minutes=200) == (NOW + 4 * HOUR, "budget")
    assert ask(*ledger, minutes=201) == (NOW + 14 * HOUR, "budget")


def test_who_has_waited_for_long_is_not_passed_for_ever():
    spent = [Spent(NOW - 20 * HOUR, 1, 300), Spent(NOW - 5 * HOUR, 2, 100)]
    assert ask(*spent, minutes=60) == (NOW, None)
    assert ask(*spent, minutes=60, reserved=200) == (NOW + 4 * HOUR, "budget")
    assert ask(*spent, minutes=60, reserved=600) == (NOW + 20 * HOUR, "budget"), "after it"
    assert ask(minutes=60, reserved=600) == (NOW + HOUR, "budget"), "it goes first"


@pytest.mark.parametrize("large", [250, 400], ids=["fits", "larger than the whole budget"])
def test_a_stream_of_small_episodes_delays_a_large_one_by_two_days_at_most(large):
    """The small are newer, and so go first; they come as fast as the budget lets them."""
    ledger, created, waits = [], NOW, {0: large}
    for hour in range(24 * 7):
        now = NOW + hour * HOUR
        if hour % 5 == 0:
            waits[hour + 1] = 60
        for request_id in sorted(waits, reverse=True):
            long = now - created > DAY and 0 in waits and request_id
            reserved = large if long else 0
            minutes = waits[request_id]
            at, reason = ask(
                *ledger, now=now, request_id=request_id, minutes=minutes, reserved=reserved,
                minutes_per_day=300,
            )  # fmt: skip
            if reason is None:
                ledger.append(Spent(at, request_id, minutes))
                del waits[request_id]
        if 0 not in waits:
            break
    assert hour <= 48
    spent = [s.minutes for s in ledger if s.at > now - DAY]
    assert sum(spent) <= 300 or spent == [large]


def test_what_left_the_window_to_the_second_counts_no_more():
    assert ask(Spent(NOW - DAY, 1, 600)) == (NOW, None)
    assert ask(Spent(NOW - MINUTE, 1, 1), per_minute=1) == (NOW, None)


def test_a_post_from_the_future_counts_as_one_made_now():
    tomorrow = Spent(NOW + DAY, 1, 600)
    assert ask(tomorrow, per_minute=1) == (NOW + MINUTE, "pace")
    assert ask(tomorrow) == (NOW + DAY, "budget")


episodes = st.lists(
    st.tuples(
        st.none() | st.integers(0, 40_000),  # duration, in seconds
        st.integers(0, 3),  # POSTs after the first, each tried an hour after the one before
        st.booleans(),  # does the first have no effect?
    ),
    min_size=1,
    max_size=12,
)


@given(episodes, st.integers(1, 4), st.integers(1, 700))
def test_a_greedy_sender_keeps_pace_and_budget_in_every_window(episodes, per_minute, per_day):
    limits = {"per_minute": per_minute, "minutes_per_day": per_day}
    ledger: list[Spent] = []
    due = {
        (i, n): NOW + n * HOUR for i, (_, again, _) in enumerate(episodes) for n in range(again + 1)
    }
    while due:
        (request_id, n), now = min(due.items(), key=lambda pair: pair[1])
        duration_s, _, in_vain = episodes[request_id]
        minutes = audio_minutes(duration_s)
        at, reason = may_post_at(now, ledger, request_id=request_id, minutes=minutes, **limits)
        assert (at > now) == (reason is not None)
        if reason is None:
            spent = 0 if in_vain and n == 0 else minutes
            ledger.append(Spent(now, request_id, spent))
            del due[request_id, n]
        else:
            due[request_id, n] = at
    for last in ledger:
        within = [s for s in ledger if last.at - MINUTE < s.at <= last.at]
        assert len(within) <= per_minute
        spent = {
            s.request_id: s.minutes for s in ledger if s.minutes and last.at - DAY < s.at <= last.at
        }
        assert sum(spent.values()) <= per_day or len(spent) == 1
    assert Counter(s.request_id for s in ledger) == {
        i: again + 1 for i, (_, again, _) in enumerate(episodes)
    }


@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.integers(1, 5), st.integers(0, 700)).map(
            lambda t: Spent(NOW - t[0] * SECOND, t[1], t[2])
        ),
        max_size=20,
    ),
    st.integers(1, 900),
)
def test_whoever_waits_as_long_as_it_was_told_goes_then(ledger, minutes):
    now, reason, waits = NOW, "", 0
    while reason is not None:
        at, reason = ask(*ledger, now=now, minutes=minutes)
        assert at > now or reason is None
        now, waits = at, waits + 1
    assert waits <= 3  # pace, then budget, at most
