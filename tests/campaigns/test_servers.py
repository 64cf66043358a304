"""The running daemon lives through PostgreSQL's restarts, cuts and partitions."""

from tests.campaigns import servers


def assert_kept(figures):
    assert not figures.violations, "\n".join(map(str, figures.violations))


def test_two_restarts_of_postgresql_lose_nothing_and_never_end_the_daemon():
    assert_kept(servers.restarts(2, 1))


def test_twenty_commits_that_are_cut_off_lose_nothing_and_repeat_nothing(postgresql):
    figures = servers.cuts(20, 1, postgresql)
    assert_kept(figures)
    assert figures.faults["cut after COMMIT"] >= 5
    assert figures.faults["cut before COMMIT"] >= 2


def test_it_goes_on_within_half_a_minute_of_a_partitions_end(postgresql):
    assert servers.partition(1, postgresql, lasts_s=5) == []
