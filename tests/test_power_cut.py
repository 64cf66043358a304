"""The power goes at every outside action of an episode's life: it is requested with effect once.

An outside action is an SQL statement, a commit, an HTTP request, the arrival of its answer. The
first run counts them; then the same life is lived once for each, with the power cut just before
it, and again after a restart on the same database file.
"""

import pytest

from tests.living import Life, Switch

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


@pytest.mark.parametrize("cut_before", range(1, ACTIONS + 1, 6))
def test_a_second_cut_right_after_the_restart_changes_nothing_of_that(cut_before: int) -> None:
    with Life() as life:
        assert not life.live(Switch(cut_before))
        assert not life.live(Switch(7))
        assert life.live(Switch())
        life.assert_kept()
