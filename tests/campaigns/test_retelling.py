"""Whatever happens, the log alone tells the status that the database has."""

from random import Random

import pytest

from monitor.adapters.store import reading
from tests.campaigns.retelling import AnyRetelling, Fortnight, assert_same, retold
from tests.campaigns.stateful import live

CUTS = 8


@pytest.mark.parametrize("seed", [2])
def test_a_fortnight_of_faults_is_told_by_its_log_at_every_moment(seed, tmp_path):
    lived = Fortnight(seed, tmp_path)
    assert not lived.live()
    assert lived.compared > 300
    assert lived.met["power_cut"]
    with lived.opened() as database:
        true = database.read(reading.snapshot)
    for listener in lived.listeners:
        last = max(n for n, raw in enumerate(listener.raw) if b"status.summary" in raw)
        for _ in range(CUTS):
            cut = Random(seed).randint(0, last)
            told = retold(listener.raw[cut:])
            assert_same(told.snapshot(), true, listener.form, f"from line {cut}")
            assert told.missing().block is False


def test_any_history_is_told_by_its_log():
    live(12, machine=AnyRetelling)
    assert AnyRetelling.player.histories == 12
    assert AnyRetelling.player.compared_in_all > 300
