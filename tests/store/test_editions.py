"""What was read last, kept with its feed; and outcomes that are written together."""

from dataclasses import replace

import pytest
from recorded import DAY, MINUTE, NAME, NOON, configure, lease_feeds, observed, planned

from monitor.adapters.store import editions, polls
from monitor.core.model import Edition, Reading, Validators

EDITION = Edition(b"m" * 16, b"d" * 24, alone=False, calm=2, body_bytes=2**40, wire_bytes=2**33)
READING = Reading(
    (observed(1, published_at=None, title="Ünïcödé \u2028"), None),
    "https://www.latent.example/",
    90 * MINUTE,
    alone=False,
)


def leased(database, later=0 * DAY):
    (feed,) = lease_feeds(database, now=NOON + later)
    return feed


def test_an_edition_comes_back_with_the_next_lease_as_it_was(database):
    configure(database)
    feed = leased(database)
    assert feed.edition is None
    plan = planned(feed, edition=EDITION, reading=READING)
    assert database.write(polls.commit_polls, [plan]) == {feed.id}
    again = leased(database, DAY)
    assert again.edition == EDITION
    assert database.read(editions.reading, feed.id) == READING


def test_a_new_edition_replaces_the_old_one_and_may_leave_what_it_said(database):
    configure(database)
    feed = leased(database)
    database.write(editions.write, feed.id, EDITION, READING)
    database.write(polls.put_back, [feed])
    newer = replace(EDITION, marks=b"n" * 16, calm=1)
    database.write(editions.write, feed.id, newer, None)
    assert leased(database, DAY).edition == newer
    assert database.read(editions.reading, feed.id) == READING


def test_quiet_outcomes_are_written_together_and_give_their_leases_back(database):
    names = [NAME, "second", "third"]
    configure(database, *names)
    feeds = lease_feeds(database, least=dict.fromkeys(names, 5 * MINUTE))
    validators = Validators('"2"', "Mon, 12 Oct 2026 11:00:00 GMT")
    plans = [
        planned(
            replace(
                feed, wire_digest=b"w" * 32, last_full_at=NOON, moved_to="https://new.example/"
            ),
            now=NOON + MINUTE,
        )
        for feed in feeds
    ]
    plans = [replace(p, feed=replace(p.feed, validators=validators)) for p in plans]
    assert database.write(polls.commit_polls, plans) == {feed.id for feed in feeds}
    again = lease_feeds(
        database, least=dict.fromkeys(names, 5 * MINUTE), now=NOON + MINUTE, token="again"
    )
    assert len(again) == 3
    for feed in again:
        assert (feed.validators, feed.wire_digest) == (validators, b"w" * 32)
        assert (feed.last_full_at, feed.moved_to) == (NOON, "https://new.example/")
        assert feed.last_ok_at == NOON + MINUTE


def test_of_a_lease_that_is_no_longer_ours_nothing_is_written(database):
    configure(database, NAME, "second")
    least = {NAME: 5 * MINUTE, "second": 5 * MINUTE}
    lost, kept = lease_feeds(database, least=least)
    database.write(polls.put_back, [lost])
    (taken,) = lease_feeds(database, least=least, now=NOON + 5 * MINUTE, token="another", limit=1)
    assert taken.id == lost.id
    plans = [planned(feed, edition=EDITION) for feed in (lost, kept)]
    assert database.write(polls.commit_polls, plans) == {kept.id}
    assert database.write(polls.commit_polls, [planned(taken)]) == {lost.id}
    again = lease_feeds(database, least=least, now=NOON + DAY, token="third")
    assert {feed.id: feed.edition for feed in again} == {lost.id: None, kept.id: EDITION}


def test_nothing_to_write_is_nothing_written(database):
    assert database.write(polls.commit_polls, []) == set()


def test_a_lease_that_is_put_back_is_free_when_the_feed_comes_due(database):
    configure(database)
    feed = leased(database)
    database.write(polls.put_back, [feed])
    assert lease_feeds(database, now=NOON + MINUTE) == []
    (again,) = lease_feeds(database, now=NOON + 5 * MINUTE, token="again")
    database.write(polls.put_back, [feed])  # too late: it is another's now
    assert database.write(polls.commit_polls, [planned(again)]) == {feed.id}


@pytest.mark.parametrize("most", [1, 2, 3])
def test_one_origin_gives_no_more_feeds_at_once_than_its_share(database, most):
    names = [NAME, "second", "third"]
    configure(database, *names)
    least = dict.fromkeys(names, 5 * MINUTE)
    assert len(lease_feeds(database, least=least, per_origin=most)) == most


def test_another_address_forgets_what_was_adopted_and_what_was_read_on_the_wire(database):
    configure(database)
    feed = leased(database)
    moved = replace(feed, adopted="https://new.example/", wire_digest=b"w" * 32, reason="x")
    assert database.write(polls.commit_poll, planned(moved), None, now=NOON)
    assert leased(database, DAY).adopted == "https://new.example/"
    database.write(polls.configure, [(NAME, "https://other.example/feed", "slug")], NOON + 2 * DAY)
    (after,) = lease_feeds(database, now=NOON + 2 * DAY)
    assert (after.url, after.adopted, after.wire_digest) == (
        "https://other.example/feed",
        None,
        None,
    )
