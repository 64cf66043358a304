"""What headers ask of us: every form that servers send, and those that make no sense."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.headers import max_age, retry_after

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)
YEAR_S = 365 * 86_400


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 0),
        ("-5", 0),
        ("999999999999", YEAR_S),
        ("Sat, 10 Oct 2026 12:02:00 GMT", 120),
        ("Sat, 10 Oct 2026 14:02:00 +0200", 120),
        ("Sat, 10 Oct 2026 12:02:00 -0000", 120),
        ("Saturday, 10-Oct-26 12:02:00 GMT", 120),
        ("Sat Oct 10 12:02:00 2026", 120),
        ("Sat, 10 Oct 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", YEAR_S),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),  # beyond what a datetime holds in UTC
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("5 minutes", None),
        ("1e3", None),
        ("12, 34", None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    wait = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after({"retry-after": value}, NOW) == wait


def test_without_retry_after_nothing_is_asked():
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 01 Jan 2026 00:00:00 GMT", 300),
        ("unreadable", 0),  # then by our own clock: long past
    ],
)
def test_a_date_is_relative_to_the_servers_own_clock(date, seconds):
    headers = {"retry-after": "Thu, 01 Jan 2026 00:05:00 GMT", "date": date}
    assert retry_after(headers, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("control", "age", "seconds"),
    [
        ("max-age=300", "", 300),
        ("public, MAX-AGE=300, must-revalidate", "", 300),
        ('max-age="300"', "", 300),
        ("max-age = 300", "", 300),
        ("s-maxage=900, max-age=300", "", 300),
        ("max-age=300", "100", 200),
        ("max-age=300", "400", 0),
        ("max-age=300", "-1", 300),
        ("max-age=300", "old", 300),
        ("max-age=0", "", 0),
        ("max-age=999999999999", "", YEAR_S),
        ("max-age=300, no-cache", "", None),
        ("no-store, max-age=300", "", None),
        ("s-maxage=900", "", None),
        ("max-age=-1", "", None),
        ("max-age", "", None),
        ("private", "", None),
        ("", "", None),
    ],
)
def test_max_age_is_less_the_age(control, age, seconds):
    fresh = None if seconds is None else timedelta(seconds=seconds)
    assert max_age({"cache-control": control, "age": age}) == fresh


def test_without_cache_control_freshness_is_not_said():
    assert max_age({}) is None


DATES = st.builds(
    "Fri, {:02} Dec {:04} {:02}:59:59 {}".format,
    st.integers(0, 99),
    st.integers(0, 9999),
    st.integers(0, 99),
    st.sampled_from(["GMT", "+9999", "-1200", "-0000", "Z", ""]),
)


@given(st.text() | DATES, st.text() | DATES)
def test_no_header_whatever_raises_or_asks_for_less_than_nothing(value, other):
    wait = retry_after({"retry-after": value, "date": other}, NOW)
    assert wait is None or timedelta() <= wait <= timedelta(days=365)
    fresh = max_age({"cache-control": "max-age=" + value, "age": other})
    assert fresh is None or timedelta() <= fresh <= timedelta(days=365)
