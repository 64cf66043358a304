"""Three simulated fortnights, one of them twice: the same seed gives the same history."""

from pathlib import Path

import pytest

from tests.campaigns.simulation import Simulated

FAULTS = 100  # at least, in each history


def lived(seed, place: Path):
    place.mkdir()
    simulated = Simulated(seed, place)
    wrong = simulated.live()
    assert not wrong, f"seed {seed}:\n" + "\n".join(wrong)
    assert simulated.met.total() >= FAULTS
    assert simulated.met["power_cut"]
    return simulated


@pytest.mark.parametrize("seed", [2, 3])
def test_a_fortnight_of_faults_breaks_no_promise(seed, tmp_path):
    lived(seed, tmp_path / "history")


def test_the_same_seed_gives_the_same_history(tmp_path):
    first, second = (lived(1, tmp_path / name) for name in ("first", "second"))
    assert first.met == second.met
    assert first.digest() == second.digest()
