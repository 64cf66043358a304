"""Campaigns are lived without measuring coverage, which would make a fortnight twice as long."""

import pytest


@pytest.fixture(autouse=True)
def unmeasured(no_cover: None) -> None:
    """Ask pytest-cov to look away."""
