"""Which episodes of a back catalogue are wanted at the first poll."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.baseline import Everything, Latest, Within, wanted
from tests.core.scenarios import DAY, NOW, SECOND, WEEK, item

OLD = item("old", published_at=NOW - 100 * DAY)
LAST_WEEK = item("last week", published_at=NOW - WEEK)
TODAY = item("today", published_at=NOW - SECOND)
FUTURE = item("future", published_at=NOW + 1000 * DAY)
UNDATED = item("undated", published_at=None)
ALL = (OLD, UNDATED, TODAY, FUTURE, LAST_WEEK)


@pytest.mark.parametrize(
    ("backfill", "names"),
    [
        pytest.param(Everything(), {e.guid for e in ALL}, id="all"),
        pytest.param(Latest(0), set(), id="none"),
        pytest.param(Within(WEEK), {"today", "future", "last week"}, id="the last seven days"),
        pytest.param(Within(WEEK - SECOND), {"today", "future"}, id="a second less than that"),
        pytest.param(Latest(1), {"future"}, id="the newest"),
        pytest.param(Latest(3), {"future", "today", "last week"}, id="the three newest"),
        pytest.param(Latest(99), {e.guid for e in ALL}, id="more than there are"),
    ],
)
def test_backfill_wants(backfill, names):
    assert {e.guid for e, is_wanted in wanted(ALL, backfill, NOW) if is_wanted} == names


@pytest.mark.parametrize("backfill", [Everything(), Latest(2), Within(WEEK)])
def test_every_episode_is_answered_for_once_in_the_documents_order(backfill):
    assert [e for e, _ in wanted(ALL, backfill, NOW)] == list(ALL)


@given(st.timedeltas(timedelta(), timedelta(days=36_500)))
def test_no_age_and_no_date_overflows(age):
    first = item("first", published_at=datetime.min.replace(tzinfo=UTC))
    last = item("last", published_at=datetime.max.replace(tzinfo=UTC))
    assert [w for _, w in wanted((first, last), Within(age), NOW)] == [False, True]
