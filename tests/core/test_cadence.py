"""What is learned of a show's rhythm from when its episodes came."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import cadence
from monitor.core.cadence import DAY, HOUR, WEEK, fit, instant, position

TUESDAY = datetime(2026, 10, 6, 17, 30, tzinfo=UTC)  # at half past five
INSTANTS = st.integers(0, 10_000 * 86_400).map(
    lambda s: datetime(2005, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)


def show(every=timedelta(weeks=1), times=30, last=TUESDAY, wander=timedelta()):
    """When the episodes of a show came, the last of them at *last*."""
    chance = Random("show")
    return [last - n * every + chance.uniform(-1, 1) * wander for n in reversed(range(times))]


def day(rhythm, at):
    """How many drops are expected on a day."""
    return sum(rhythm.rate(position(at) + cell) for cell in range(DAY))


@pytest.mark.parametrize("times", [0, 1, 2])
def test_of_fewer_than_three_drops_nothing_is_learned(times):
    assert fit(show(times=times)) is None


def test_a_back_catalogue_that_came_at_once_is_one_drop():
    assert fit([TUESDAY + n * timedelta(seconds=1) for n in range(400)]) is None


@pytest.mark.parametrize("times", [3, 10, 64, 500])
def test_a_weekly_show_is_expected_around_its_hour(times):
    rhythm = fit(show(times=times, wander=timedelta(minutes=20)))
    due = TUESDAY + timedelta(weeks=1)
    begin, end = map(instant, rhythm.expected(position(due)))
    assert begin <= due < end <= begin + timedelta(hours=6)
    assert rhythm.expected(position(due + timedelta(hours=12))) is None
    assert rhythm.per_week == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("every", [timedelta(days=1), timedelta(weeks=4)])
def test_what_is_often_is_so_beside_the_shows_own_rate(every):
    rhythm = fit(show(every=every, wander=timedelta(minutes=20)))
    begin, end = map(instant, rhythm.expected(position(TUESDAY + every)))
    assert begin <= TUESDAY + every < end <= begin + timedelta(hours=6)
    assert rhythm.expected(position(TUESDAY + every - timedelta(hours=8))) is None


def test_right_after_an_episode_the_next_is_not_expected():
    rhythm = fit(show(wander=timedelta(minutes=20)))
    soon, due = (day(rhythm, TUESDAY + timedelta(hours=1 + 24 * n)) for n in (0, 6))
    assert soon < due / 5


def weekly(rhythm, at):
    """How many drops are expected in a cell, however long ago the last was."""
    cell = int(position(at)) % WEEK
    return (rhythm.roots[cell + 1] - rhythm.roots[cell]) ** 2


def test_a_change_of_rhythm_is_learned_within_two_dozen_episodes():
    moved = TUESDAY + timedelta(days=2, hours=6)
    came = show(times=40, last=TUESDAY - timedelta(weeks=24)) + show(times=24, last=moved)
    rhythm = fit(came)
    assert weekly(rhythm, moved) > 1.3 * weekly(rhythm, TUESDAY)


def test_a_show_that_wanders_by_hours_is_expected_all_over_them():
    rhythm = fit(show(times=64, wander=timedelta(hours=6)))
    around = [weekly(rhythm, TUESDAY + timedelta(minutes=5 * n)) for n in range(-60, 61)]
    assert min(around) > sum(around) / len(around) / 2
    assert min(around) > 10 * weekly(rhythm, TUESDAY + timedelta(days=3))


def test_of_a_show_without_a_rhythm_no_hour_is_expected_much_more_than_another():
    chance = Random("no rhythm")
    came = [TUESDAY + timedelta(days=chance.uniform(0, 300)) for _ in range(64)]
    rhythm = fit(came)
    rates = [weekly(rhythm, TUESDAY + timedelta(minutes=5 * n)) for n in range(WEEK)]
    assert max(rates) < 3 * sum(rates) / len(rates)


def test_an_episode_more_moves_what_is_due():
    rhythm = fit(show())
    again = rhythm.after(TUESDAY + timedelta(weeks=1))
    x = position(TUESDAY + timedelta(weeks=2))
    assert again.rate(x) > rhythm.rate(x)


@given(st.lists(INSTANTS, min_size=3, max_size=80), st.floats(0, 4 * WEEK), st.floats(0, 400))
def test_any_history_gives_a_rate_everywhere_and_mass_and_when_are_inverse(came, begin, mass):
    rhythm = fit(came)
    if rhythm is None:
        return
    begin += rhythm.last
    assert all(rhythm.rate(begin + hours * HOUR) > 0 for hours in range(0, 1000, 7))
    mass *= rhythm.roots[-1] / WEEK
    end = rhythm.when(begin, mass)
    assert end >= begin - 1e-6
    assert rhythm.mass(begin, end) == pytest.approx(mass, rel=1e-3, abs=1e-3)


@given(st.lists(INSTANTS, min_size=3, max_size=80))
def test_the_order_of_what_came_says_nothing(came):
    assert fit(came) == fit(sorted(came))


def test_a_clock_before_the_last_drop_is_no_mistake():
    rhythm = fit(show())
    x = position(TUESDAY - timedelta(days=3))
    assert rhythm.when(x, 1.0) > x


def test_only_the_newest_count():
    old = show(times=200, every=timedelta(hours=5), last=TUESDAY - timedelta(days=500))
    assert fit(old + show(times=cadence.NEWEST)) == fit(show(times=cadence.NEWEST))
