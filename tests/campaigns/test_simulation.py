"""Simulated fortnights; and the same seed gives the same history."""

from itertools import zip_longest
from pathlib import Path

import pytest

from tests.campaigns.simulation import Simulated

FAULTS = 100  # at least, in each history
SOME_DAYS = 5


def lived(seed, place: Path):
    place.mkdir()
    simulated = Simulated(seed, place)
    wrong = simulated.live()
    assert not wrong, f"seed {seed}:\n" + "\n".join(wrong)
    assert simulated.met.total() >= FAULTS
    assert simulated.met["power_cut"]
    return simulated


@pytest.mark.parametrize("seed", [1, 3])
def test_a_fortnight_of_faults_breaks_no_promise(seed, tmp_path):
    """The third of them is heard by who retells it, in ``test_retelling.py``."""
    lived(seed, tmp_path / "history")


def test_the_same_seed_gives_the_same_history(tmp_path):
    (tmp_path / "again").mkdir()
    first, second = Simulated(1, tmp_path), Simulated(1, tmp_path / "again")
    for simulated in (first, second):
        simulated.live_through(SOME_DAYS)
    assert first.met == second.met
    differences = (pair for pair in zip_longest(first.told(), second.told()) if len({*pair}) == 2)
    assert next(differences, None) is None
