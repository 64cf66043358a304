"""The power goes at every outside action of an episode's life: it is requested with effect once.

Every action of one episode's life, on SQLite; of two episodes at every kind of Stenobird, on both
databases, a seeded sample (all of them: ``make chaos``).
"""

import pytest

from tests.campaigns import power
from tests.living import Life, Switch

pytestmark = pytest.mark.usefixtures("no_cover")  # which would take half as long again
MOST_ACTIONS = 400  # a bound on the matrix; the count itself is asserted below


def _actions() -> int:
    """Return how many outside actions one undisturbed life takes."""
    with Life() as life:
        switch = Switch()
        assert life.live(switch)
        life.assert_kept()
        return switch.count


ACTIONS = _actions()


def test_one_life_has_the_outside_actions_that_it_should() -> None:
    assert 40 < ACTIONS < MOST_ACTIONS


@pytest.mark.parametrize("cut_before", range(1, ACTIONS + 1))
def test_a_power_cut_loses_nothing_and_repeats_nothing(cut_before: int) -> None:
    with Life() as life:
        assert not life.live(Switch(cut_before))
        assert life.live(Switch())
        life.assert_kept()


@pytest.mark.parametrize("cut_before", range(1, ACTIONS + 1, 12))
def test_a_second_cut_right_after_the_restart_changes_nothing_of_that(cut_before: int) -> None:
    with Life() as life:
        assert not life.live(Switch(cut_before))
        assert not life.live(Switch(7))
        assert life.live(Switch())
        life.assert_kept()


@pytest.mark.parametrize("seed", range(2))
def test_two_episodes_at_any_stenobird_on_any_database_survive_it_too(seed, postgresql) -> None:
    figures = power.run(6, seed, postgresql)
    assert not figures.violations, "\n".join(map(str, figures.violations))
