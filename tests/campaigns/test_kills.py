"""The real daemon is killed at random moments, again and again, and keeps its promise."""

from contextlib import closing

import pytest

from tests.campaigns import kills
from tests.databases import PostgreSQL


@pytest.fixture(scope="module")
def warm_lives():
    with closing(kills.Warm()) as lives:
        yield lives


def given(seed: int, request: pytest.FixtureRequest) -> PostgreSQL | None:
    """Return the session's server for a history that needs one."""
    return request.getfixturevalue("postgresql") if seed % 2 else None


@pytest.mark.parametrize("seed", range(6))
def test_fifty_kills_of_a_warm_daemon_lose_nothing_and_repeat_nothing(seed, request, warm_lives):
    figures = kills.warm(50, seed, given(seed, request), warm_lives)
    assert figures.histories == 50
    assert not figures.violations, "\n".join(map(str, figures.violations))


@pytest.mark.parametrize("seed", range(2))
def test_ten_kills_of_a_cold_start_lose_nothing_and_repeat_nothing(seed, request):
    figures = kills.cold(10, seed, given(seed, request))
    assert figures.histories == 10
    assert not figures.violations, "\n".join(map(str, figures.violations))
