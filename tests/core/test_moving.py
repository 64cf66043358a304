"""A feed that says it has moved: believed after three days, and not for ever."""

from dataclasses import replace

import pytest

from monitor.core import moving, reconcile
from monitor.core.model import Feed, Fetched, FetchFailed, NotModified, Validators
from tests.core.scenarios import DAY, HOUR, NOW, POLLING, SECOND, document, fetched, podcast, show

OLD = "https://old.example/feed?token=s3cret"
NEW = "https://new.example/feed"
FEED = Feed(1, "show", OLD, next_poll_at=NOW)
MOVING = replace(FEED, moved_to=NEW, moved_since=NOW)
ADOPTED = replace(FEED, adopted=NEW, validators=Validators('"new"'), wire_digest=b"new")


def after(feed, moved_to, later):
    return moving.after_answer(feed, moved_to, now=NOW + later)


def test_the_first_redirect_is_remembered_and_nothing_is_told():
    assert after(FEED, NEW, 0 * DAY) == (MOVING, ())


def test_before_three_days_nothing_changes():
    assert after(MOVING, NEW, 3 * DAY - SECOND) == (MOVING, ())


def test_after_three_days_the_address_is_adopted_and_its_host_is_told():
    feed, (event,) = after(MOVING, NEW, 3 * DAY)
    assert (feed.url, feed.adopted, feed.moved_to, feed.moved_since) == (OLD, NEW, None, None)
    assert (event.name, event.fields) == ("feed.moved", {"to_host": "new.example"})


def test_one_answer_without_the_redirect_begins_the_days_anew():
    feed, _ = after(MOVING, None, DAY)
    feed, told = after(feed, NEW, 3 * DAY)
    assert (feed.adopted, feed.moved_since, told) == (None, NOW + 3 * DAY, ())


def test_another_target_begins_the_days_anew():
    feed, told = after(MOVING, "https://third.example/", 4 * DAY)
    assert (feed.adopted, feed.moved_to, told) == (None, "https://third.example/", ())


def test_a_clock_set_back_begins_the_days_anew():
    assert after(MOVING, NEW, -DAY)[0].moved_since == NOW - DAY


def test_https_is_never_left_for_http():
    assert after(FEED, "http://new.example/feed", 0 * DAY) == (FEED, ())
    plain = replace(FEED, url="http://old.example/")
    assert after(plain, "http://new.example/", 0 * DAY)[0].moved_to == "http://new.example/"


def test_an_adopted_address_that_moves_on_is_followed():
    third = "https://third.example/"
    moved = replace(ADOPTED, moved_to=third, moved_since=NOW)
    assert after(moved, third, 3 * DAY)[0].adopted == third


def test_an_adopted_address_that_keeps_failing_is_dropped():
    feed = replace(ADOPTED, failures=4)
    assert moving.after_failure(feed) == (feed, ())
    dropped, (event,) = moving.after_failure(replace(ADOPTED, failures=5))
    assert (dropped.adopted, dropped.validators, dropped.wire_digest) == (None, Validators(), None)
    assert event.fields == {"to_host": "old.example"}


def test_a_configured_address_that_keeps_failing_stays():
    feed = replace(FEED, failures=50)
    assert moving.after_failure(feed) == (feed, ())


# --- within a poll -----------------------------------------------------------------------


def polls(feed):
    """Return each kind of good answer that ends a permanent chain, as a plan."""
    rules = {"now": NOW + 3 * DAY, "jitter": 0, "rules": POLLING}
    body = Fetched(Validators(), 9, 9, complete=True, moved_to=NEW)
    return {
        "304": reconcile.unchanged(feed, NotModified(Validators(), moved_to=NEW), **rules),
        "the same": reconcile.repeated(feed, body, **rules),
    }


@pytest.mark.parametrize("answer", ["304", "the same"])
def test_every_good_answer_counts(answer):
    plan = polls(MOVING)[answer]
    assert (plan.feed.adopted, [e.name for e in plan.events]) == (NEW, ["feed.moved"])


@pytest.mark.parametrize(("seen", "moved_to"), [(show(5), NEW), (show(9)[:4], None)])
def test_a_document_counts_if_it_shares_a_guid(seen, moved_to):
    known = podcast(*show(5))
    answer = fetched(moved_to=NEW)
    rules = {"now": NOW, "jitter": 0, "rules": POLLING}
    plan = reconcile.reconcile(known.feed, known.known, document(*seen), answer, **rules)
    assert plan.feed.moved_to == moved_to


def test_a_failure_does_not_count_and_drops_what_was_adopted():
    feed = replace(ADOPTED, failures=4)
    failure = FetchFailed("http_404", 404)
    plan = reconcile.failed(feed, failure, now=NOW + HOUR, jitter=0, rules=POLLING)
    assert (plan.feed.adopted, plan.feed.failures) == (None, 5)
    assert [e.name for e in plan.events] == ["feed.moved"]
