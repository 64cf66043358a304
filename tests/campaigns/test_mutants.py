"""Planted bugs: the list fits the code, and the quick ones are found."""

import pytest

from tests.campaigns.mutants import MUTANTS, copied, run

QUICK = ("no BEGIN IMMEDIATE", "synchronous = OFF", "jitter both ways")
NAMES = [mutant.name for mutant in MUTANTS]


def test_there_are_twelve_and_each_still_fits_the_code(tmp_path):
    assert len(set(NAMES)) == 12
    for mutant in MUTANTS:
        place = tmp_path / mutant.name
        place.mkdir()
        copy = copied(place)
        for edit in mutant.edits:
            edit.do(copy)
            compile((copy / "monitor" / edit.file).read_text(), edit.file, "exec")


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name):
    figures = run(1, NAMES.index(name))
    assert figures.faults == {name: 1}
    assert not figures.violations, str(figures.violations[0])
