"""When an episode came: its date, what the polls saw, and what neither tells."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.arrival import came_at

NOW = datetime(2026, 10, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("published_at", "unseen_at", "came"),
    [
        pytest.param(NOW - DAY, None, NOW - DAY, id="dated, in the first answer"),
        pytest.param(None, None, None, id="undated, in the first answer"),
        pytest.param(NOW + DAY, None, None, id="of the future, in the first answer"),
        pytest.param(NOW - HOUR / 2, NOW - HOUR, NOW - HOUR / 2, id="since the last poll"),
        pytest.param(NOW - DAY, NOW - HOUR, NOW - HOUR, id="dated before the last poll"),
        pytest.param(None, NOW - HOUR, NOW, id="undated"),
        pytest.param(NOW + DAY, NOW - HOUR, NOW, id="of the future"),
        pytest.param(datetime(1970, 1, 1, tzinfo=UTC), NOW - HOUR, NOW, id="of 1970"),
        pytest.param(NOW - DAY, NOW + DAY, NOW, id="the clock was set back since the last poll"),
    ],
)
def test_it_came_when_it_says_but_after_the_last_poll_without_it(published_at, unseen_at, came):
    assert came_at(published_at, NOW, unseen_at) == came
