"""What a poll writes: all of it or nothing, and only under its lease."""

from dataclasses import replace

import pytest
from recorded import (
    DAY,
    HOUR,
    MINUTE,
    NAME,
    NOON,
    SLUG,
    URL,
    configure,
    event,
    find,
    lease_feeds,
    names,
    new,
    observed,
    planned,
    record,
    rows,
)
from sqlalchemy.exc import IntegrityError

from monitor.adapters.store import catalogue, polls
from monitor.core import problems
from monitor.core.lifecycle import Status
from monitor.core.model import Alias, EpisodeChange, PollPlan, Validators
from monitor.core.problems import Kind


def lease_again(database, now=NOON + HOUR):
    database.write(polls.mark_due, [NAME], now)
    (feed,) = lease_feeds(database, now=now, token="again")
    return feed


def test_everything_a_poll_found_is_written_at_once(database):
    configure(database)
    (feed,) = lease_feeds(database)
    told = (event(1), event(1, name="request.enqueued"), event(2))
    failing = problems.strike(None, Kind.FEED_FAILING, reason="dns", now=NOON, podcast=NAME)
    plan = planned(feed, new(1), new(2, Status.HELD, "bulk"), events=told)
    assert database.write(polls.commit_poll, plan, failing, now=NOON)
    written = rows(database)
    assert len(written["episodes"]) == len(written["requests"]) == 2
    assert sorted(key[1:3] for key in written["aliases"]) == [
        ("guid", "substack:post:1"),
        ("guid", "substack:post:2"),
        ("link", "https://www.latent.example/p/1"),
        ("link", "https://www.latent.example/p/2"),
        ("post_id", "1"),
        ("post_id", "2"),
    ]
    assert [(row[0], row[1], row[2]) for row in written["events"]] == [
        (1, NOON, "episode.discovered"),
        (2, NOON, "request.enqueued"),
        (3, NOON, "episode.discovered"),
    ]
    assert [row[0] for row in written["problems"]] == ["feed_failing"]


def test_a_feed_comes_back_as_the_plan_left_it(database):
    configure(database)
    (feed,) = lease_feeds(database)
    after = replace(
        feed,
        validators=Validators('"ä"', "Mon, 12 Oct 2026 11:59:00 GMT"),
        failures=3,
        reason="http_503",
        last_attempt_at=NOON,
        last_ok_at=NOON - DAY,
        last_new_at=NOON - 2 * DAY,
        last_full_at=NOON - 3 * DAY,
        baseline_at=NOON - 4 * DAY,
        suspect="digest",
        suspect_at=NOON - 5 * DAY,
        next_poll_at=NOON + HOUR,
    )
    assert database.write(polls.commit_poll, PollPlan(after), None, now=NOON)
    assert lease_feeds(database, now=NOON + HOUR - MINUTE) == []
    assert lease_feeds(database, now=NOON + HOUR) == [after]


def test_a_poll_whose_lease_was_lost_writes_nothing(database):
    configure(database)
    (feed,) = lease_feeds(database)
    late = replace(feed, lease="an earlier one")
    before = rows(database)
    plan = planned(late, new(1), events=(event(1),))
    assert not database.write(polls.commit_poll, plan, None, now=NOON)
    assert rows(database) == before


def test_a_poll_is_written_once(database):
    configure(database)
    (feed,) = lease_feeds(database)
    plan = planned(feed, new(1), events=(event(1),))
    assert database.write(polls.commit_poll, plan, None, now=NOON)
    before = rows(database)
    assert not database.write(polls.commit_poll, plan, None, now=NOON)
    assert rows(database) == before


def test_a_plan_that_cannot_be_written_whole_leaves_nothing(database):
    """The second episode claims the first one's link; a key leads to one episode, for ever."""
    configure(database)
    (feed,) = lease_feeds(database)
    before = rows(database)
    twin = new(2, link=observed(1).link)
    plan = planned(feed, new(1), twin, events=(event(1), event(2)))
    with pytest.raises(IntegrityError):
        database.write(polls.commit_poll, plan, None, now=NOON)
    assert rows(database) == before


def test_two_podcasts_may_know_different_episodes_by_one_key(database):
    configure(database, NAME, "spare")
    for feed in lease_feeds(database, least={NAME: MINUTE, "spare": MINUTE}):
        assert database.write(polls.commit_poll, planned(feed, new(1)), None, now=NOON)
    assert len(rows(database)["episodes"]) == 2


def test_an_alias_leads_to_the_episode_that_was_known(database):
    (episode_id,) = record(database, new(1))
    feed = lease_again(database)
    plan = planned(feed, aliases=(Alias(episode_id, "guid", "moved"),))
    assert database.write(polls.commit_poll, plan, None, now=NOON)
    aliases = database.read(catalogue.known, feed.id).aliases
    assert aliases["guid", "moved"] == aliases["guid", "substack:post:1"] == episode_id


def test_changed_facts_are_written_and_former_titles_kept(database):
    (episode_id,) = record(database, new(1))
    for title in ("Second", "Third"):
        feed = lease_again(database)
        seen = observed(1, title=title, duration_s=1, published_at=NOON, published_raw="noon")
        change = EpisodeChange(episode_id, seen, ("title", "published_at"))
        plan = planned(feed, changed=(change,))
        assert database.write(polls.commit_poll, plan, None, now=NOON)
    known = database.read(catalogue.known, feed.id).episodes[episode_id]
    assert (known.title, known.published_at, known.duration_s) == ("Third", NOON, 4500)
    assert find(database, episode_id).episode.former_titles == ("Episode 1", "Second")
    assert "noon" in rows(database)["episodes"][0]


def test_titles_that_alternate_are_each_kept_once(database):
    (episode_id,) = record(database, new(1))
    for title in ("Second", "Episode 1", "Second", "Third"):
        feed = lease_again(database)
        change = EpisodeChange(episode_id, observed(1, title=title), ("title",))
        plan = planned(feed, changed=(change,))
        assert database.write(polls.commit_poll, plan, None, now=NOON)
    assert find(database, episode_id).episode.former_titles == ("Episode 1", "Second")


def test_a_change_of_other_facts_leaves_title_and_date_alone(database):
    (episode_id,) = record(database, new(1))
    feed = lease_again(database)
    change = EpisodeChange(episode_id, observed(1, title="x", duration_s=None), ("duration_s",))
    assert database.write(polls.commit_poll, planned(feed, changed=(change,)), None, now=NOON)
    known = database.read(catalogue.known, feed.id).episodes[episode_id]
    assert (known.title, known.duration_s) == ("Episode 1", None)
    assert find(database, episode_id).episode.former_titles == ()


def test_what_vanishes_and_returns_is_marked_so(database):
    one, two = record(database, new(1), new(2))
    for changes, present in (({"vanished": (one,)}, False), ({"returned": (one,)}, True)):
        feed = lease_again(database)
        assert database.write(polls.commit_poll, planned(feed, **changes), None, now=NOON)
        known = database.read(catalogue.known, feed.id).episodes
        assert (known[one].present, known[two].present) == (present, True)


# --- configuration -----------------------------------------------------------------------


def test_a_configuration_that_did_not_change_changes_nothing(database):
    record(database, new(1))
    before = rows(database)
    configure(database, now=NOON + DAY)
    assert rows(database) == before


def test_a_podcast_that_is_gone_from_the_configuration_keeps_its_rows(database):
    record(database, new(1))
    database.write(polls.configure, [], NOON)
    assert lease_feeds(database, now=NOON + DAY) == []
    assert len(rows(database)["episodes"]) == 1
    configure(database)
    assert len(lease_feeds(database, now=NOON + DAY)) == 1
    assert names(database) == []


def test_a_changed_address_keeps_identity_and_drops_what_belongs_to_the_old_one(database):
    (episode_id,) = record(database, new(1))
    in_flight = lease_again(database)
    assert in_flight.validators != Validators()
    database.write(polls.configure, [(NAME, "https://elsewhere.example/feed", SLUG)], NOON)
    late = planned(in_flight, new(2))
    assert not database.write(polls.commit_poll, late, None, now=NOON)
    (feed,) = lease_feeds(database)
    assert (feed.url, feed.validators) == ("https://elsewhere.example/feed", Validators())
    assert set(database.read(catalogue.known, feed.id).episodes) == {episode_id}


def test_a_changed_slug_keeps_the_validators(database):
    (episode_id,) = record(database, new(1))
    database.write(polls.configure, [(NAME, URL, "another-slug")], NOON)
    assert find(database, episode_id).episode.podcast_slug == "another-slug"
    assert lease_feeds(database)[0].validators != Validators()
