"""What a poll leads to: stories of feeds, and whether any poll can lose or repeat an episode."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core import reconcile
from monitor.core.baseline import Everything, Latest, Within
from monitor.core.lifecycle import Status
from monitor.core.model import (
    Feed,
    FetchFailed,
    NotModified,
    ObservedEpisode,
    Validators,
)
from tests.core.scenarios import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    POLLING,
    SECOND,
    WEEK,
    Podcast,
    decided,
    document,
    fetched,
    item,
    podcast,
    show,
)

LATER = NOW + 6 * MINUTE  # than poll.min, which is 5


def names(plan):
    return [event.name for event in plan.events]


def rehosted(episodes, host="other.example"):
    """Return the same episodes with everything a host gives them new, as Flightcast's were."""
    return [
        replace(e, guid=f"{host}/{e.guid}", audio_url=f"https://{host}/{e.guid}", link=None)
        for e in episodes
    ]


# --- the first poll ----------------------------------------------------------------------

CATALOGUE = show(4)  # a week apart, the newest a week old
OLDER = dict.fromkeys(("e3", "e2", "e1"), "baseline")


@pytest.mark.parametrize(
    ("backfill", "decisions"),
    [
        pytest.param(Latest(0), {"e4": "baseline", **OLDER}, id="none"),
        pytest.param(Latest(1), {"e4": "pending", **OLDER}, id="latest"),
        pytest.param(Within(WEEK), {"e4": "pending", **OLDER}, id="a week"),
        pytest.param(Within(WEEK - SECOND), {"e4": "baseline", **OLDER}, id="not quite a week"),
        pytest.param(Everything(), dict.fromkeys(("e4", *OLDER), "pending"), id="all"),
    ],
)
def test_first_poll_with_each_backfill(backfill, decisions):
    new = Podcast(rules=replace(POLLING, backfill=backfill))
    assert decided(new.poll(*CATALOGUE)) == decisions
    assert new.feed.baseline_at == NOW


def test_backfill_is_no_bulk_however_much_it_wants():
    new = Podcast(rules=replace(POLLING, backfill=Everything()))
    assert Counter(decided(new.poll(*show(200))).values()) == {"pending": 200}


def test_backfill_is_read_once_also_where_the_first_document_was_empty():
    new = Podcast(rules=replace(POLLING, backfill=Everything()))
    assert new.poll().feed.baseline_at == NOW
    plan = new.poll(*show(200), at=LATER)
    assert plan.feed.baseline_at == NOW
    assert Counter(decided(plan).values()) == {"bulk": 200}


def test_a_failed_first_poll_is_no_baseline():
    feed = Podcast().feed
    failure = FetchFailed("http_503", http=503)
    plan = reconcile.failed(feed, failure, now=NOW, jitter=0, rules=POLLING)
    assert plan.feed.baseline_at is None


def test_of_a_back_catalogue_one_line_an_episode_is_enough():
    plan = Podcast().poll(*show(3))
    assert names(plan) == ["episode.discovered"] * 3


def test_a_back_catalogue_is_looked_at_a_minute_apart():
    looks = [new.next_track_at for new in Podcast().poll(*show(3)).new]
    assert looks == [NOW + MINUTE, NOW + 2 * MINUTE, NOW + 3 * MINUTE]


# --- ordinary days -----------------------------------------------------------------------


def test_a_new_episode_is_discovered_and_wanted_in_one_plan():
    known = podcast(*show(4))
    plan = known.poll(item("new"), *show(4))
    assert decided(plan) == {"new": "pending"}
    assert names(plan) == ["episode.discovered", "request.enqueued"]
    assert plan.feed.last_new_at == NOW
    assert plan.new[0].next_track_at == NOW + POLLING.poll.min


def test_the_log_reads_as_the_show_went_the_oldest_first_and_undated_ones_last():
    known = podcast(*show(4))
    one, two = item("one", published_at=NOW - 2 * HOUR), item("two", published_at=NOW - HOUR)
    plan = known.poll(item("undated", published_at=None), two, one, *show(4))
    told = [e.guid for e in plan.events if e.name == "episode.discovered"]
    assert told == ["one", "two", "undated"]


def test_a_poll_without_news_changes_nothing_but_the_feeds_own_state():
    known = podcast(*show(4))
    before = known.feed
    plan = known.poll(*show(4))
    assert (plan.new, plan.aliases, plan.changed, plan.events) == ((), (), (), ())
    assert plan.feed.last_new_at == before.last_new_at
    assert plan.feed.last_ok_at == plan.feed.last_full_at == NOW


def test_rolling_window_drops_old_and_gains_new():
    episodes = show(20)
    known = podcast(*episodes[10:20])
    for n in range(9, -1, -1):
        plan = known.poll(*episodes[n : n + 10], at=episodes[n].published_at + HOUR)
        assert decided(plan) == {episodes[n].guid: "pending"}
        assert len(plan.vanished) == 1
        assert plan.aliases == ()


def test_a_tiny_feed_may_replace_all_its_items_at_once():
    known = podcast(*show(3))
    plan = known.poll(item("x"), item("y"))
    assert decided(plan) == {"x": "pending", "y": "pending"}


def test_undated_items_count_as_published_when_first_seen():
    known = podcast(*show(4))
    plan = known.poll(item("undated", published_at=None), *show(4))
    assert decided(plan) == {"undated": "pending"}
    assert plan.events[0].fields["published_at"] is None


@pytest.mark.parametrize("ahead", [HOUR, 400 * DAY])
def test_future_dates_count_as_published_when_first_seen(ahead):
    known = podcast(*show(4))
    plan = known.poll(item("future", published_at=NOW + ahead), *show(4))
    assert decided(plan) == {"future": "pending"}
    assert decided(known.poll(item("next"), *show(4))) == {"next": "pending"}


def test_newness_is_not_seen_and_never_newer_than():
    known = podcast(*show(4))
    plan = known.poll(*show(4), item("reupload", published_at=NOW - 9 * DAY))
    assert decided(plan) == {"reupload": "pending"}


def test_shadow_decides_and_records_everything_and_wants_nothing_sent():
    known = podcast(*show(4), shadow=True)
    plan = known.poll(item("new"), *show(4))
    assert decided(plan) == {"new": "shadow"}
    assert plan.new[0].status is Status.HELD
    assert names(plan) == ["episode.discovered", "request.held"]
    assert plan.events[1].level == "info"


def test_shadow_hides_no_other_reason():
    known = podcast(*show(4), shadow=True)
    assert decided(known.poll(item("old", published_at=NOW - WEEK * 9), *show(4))) == {
        "old": "backdated"
    }


# --- holds -------------------------------------------------------------------------------


def test_backdated_item():
    known = podcast(*show(4))
    plan = known.poll(*show(4), item("old", published_at=NOW - 31 * DAY))
    assert decided(plan) == {"old": "backdated"}
    assert names(plan) == ["episode.discovered", "request.held"]
    assert plan.events[1].level == "warning"


def test_an_item_dated_exactly_backdated_over_before_the_last_look_is_not_yet_backdated():
    known = podcast(*show(4), at=NOW, backfill=Everything())
    days = 30 * DAY
    at_limit, over = (
        item("at", published_at=NOW - days),
        item("over", published_at=NOW - days - SECOND),
    )
    assert decided(known.poll(at_limit, over, *show(4))) == {"at": "pending", "over": "backdated"}


OLDEST = min(each.published_at for each in show(4))


@pytest.mark.parametrize(
    ("backfill", "held"),
    [
        (Latest(0), {"before", "long before"}),
        (Latest(9), {"before", "long before"}),
        (Within(NOW - OLDEST + DAY), {"long before"}),
        (Everything(), set()),
    ],
)
def test_what_a_feed_shows_more_of_its_past_is_not_new(backfill, held):
    """Its window was widened: what is older than all that was there at the baseline comes after it."""
    known = podcast(*show(4), at=NOW, backfill=backfill)
    more = [
        item("between", published_at=OLDEST + HOUR),
        item("before", published_at=OLDEST - HOUR),
        item("long before", published_at=OLDEST - 2 * DAY),
    ]
    found = decided(known.poll(*show(4), *more))
    assert {guid for guid, decision in found.items() if decision == "backdated"} == held


@pytest.mark.parametrize("year", [1, 9999])
def test_no_date_overflows(year):
    known = podcast(*show(4), backdated_over=timedelta(days=36_500))
    dated = item("odd", published_at=datetime(year, 1, 1, tzinfo=UTC))
    assert decided(known.poll(dated, *show(4))) == {"odd": "backdated" if year == 1 else "pending"}


@pytest.mark.parametrize(("count", "decision"), [(10, "pending"), (11, "bulk")])
def test_bulk_import(count, decision):
    known = podcast(*show(4), at=NOW)
    imported = [item(f"i{n}") for n in range(count)]
    plan = known.poll(*imported, *show(4))
    assert Counter(decided(plan).values()) == {decision: count}, "all are recorded, none is lost"


def daily(days):
    """Return a daily show up to NOW, newest first."""
    return [item(f"d{n}", published_at=NOW - n * DAY) for n in range(days)]


def test_after_two_months_away_what_was_published_meanwhile_is_wanted():
    episodes = daily(200)
    known = podcast(*episodes[60:], at=NOW - 60 * DAY)
    plan = known.poll(*episodes)
    assert Counter(decided(plan).values()) == {"pending": 60}


def test_after_two_months_away_what_is_far_more_than_usual_is_held():
    known = podcast(*show(52), at=NOW - 60 * DAY)
    plan = known.poll(*daily(50), *show(52))
    assert Counter(decided(plan).values()) == {"bulk": 50}


def test_after_two_months_away_what_is_older_than_that_is_backdated():
    known = podcast(*daily(200)[60:], at=NOW - 60 * DAY)
    plan = known.poll(*daily(200), item("old", published_at=NOW - 95 * DAY))
    assert decided(plan)["old"] == "backdated"


def test_one_import_does_not_make_the_next_one_usual():
    known = podcast()
    first = [item(f"a{n}", published_at=NOW - n * SECOND) for n in range(20)]
    second = [item(f"b{n}", published_at=NOW - n * SECOND) for n in range(20)]
    known.poll(*first)
    plan = known.poll(*second, *first, at=LATER)
    assert Counter(decided(plan).values()) == {"bulk": 20}


def test_a_clock_that_was_set_back_makes_nothing_usual_or_backdated():
    known = podcast(*show(4), at=NOW + 300 * DAY)
    plan = known.poll(*(item(f"i{n}") for n in range(11)), *show(4))
    assert Counter(decided(plan).values()) == {"bulk": 11}
    plan = known.poll(item("new"), *show(4))
    assert decided(plan) == {"new": "pending"}


# --- an answer fit to act on -------------------------------------------------------------


def test_empty_after_items():
    known = podcast(*show(4))
    plan = known.poll()
    assert (plan.feed.reason, plan.feed.failures) == ("no_items", 1)
    assert (plan.vanished, plan.events) == ((), ())
    assert plan.feed.last_ok_at == NOW - HOUR


def test_a_newsletter_whose_few_audio_posts_rolled_off_is_no_failure():
    known = podcast(*show(2))
    plan = known.poll(others=20)
    assert plan.feed.failures == 0
    assert len(plan.vanished) == 2
    assert decided(known.poll(item("new"), others=19, at=LATER)) == {"new": "pending"}


def test_unfamiliar_then_confirmed():
    known = podcast(*show(20))
    strange = [*rehosted(show(18)), item("unmatched", published_at=NOW - 900 * DAY)]
    first = known.poll(*strange)
    assert (first.feed.reason, first.new, first.aliases, first.events) == ("unfamiliar", (), (), ())
    assert first.feed.next_poll_at >= NOW + POLLING.poll.min
    plan = known.poll(*strange, at=LATER)
    assert decided(plan) == {"unmatched": "bulk"}
    assert len(plan.aliases) == 18
    assert (plan.feed.reason, plan.feed.suspect, plan.feed.suspect_at) == (None, None, None)


def test_what_nothing_is_known_of_is_held_though_it_is_confirmed_and_few():
    known = podcast(*show(20))
    strange = [item(f"s{n}") for n in range(4)]
    known.poll(*strange)
    assert decided(known.poll(*strange, at=LATER)) == {f"s{n}": "bulk" for n in range(4)}


def test_unfamiliar_is_not_confirmed_within_poll_min():
    known = podcast(*show(20))
    strange = rehosted(show(20))
    known.poll(*strange)
    too_soon = known.poll(*strange, at=NOW + POLLING.poll.min - SECOND)
    assert too_soon.feed.reason == "unfamiliar"
    assert too_soon.feed.suspect_at == NOW
    assert known.poll(*strange, at=NOW + POLLING.poll.min).feed.reason is None


def test_unfamiliar_guids_in_another_order_are_the_same_set():
    known = podcast(*show(20))
    strange = rehosted(show(20))
    known.poll(*strange)
    assert known.poll(*reversed(strange), at=LATER).feed.reason is None


def test_another_unfamiliar_set_begins_anew():
    known = podcast(*show(20))
    known.poll(*rehosted(show(20), "one"))
    plan = known.poll(*rehosted(show(20), "two"), at=LATER)
    assert (plan.feed.reason, plan.feed.suspect_at) == ("unfamiliar", LATER)


def test_guids_that_are_new_in_every_answer_are_never_believed_and_slow_us_down():
    known, at = podcast(*show(20)), NOW
    for n in range(12):
        plan = known.poll(*rehosted(show(20), f"host{n}"), at=at)
        assert (plan.feed.reason, plan.new) == ("unfamiliar", ())
        at = plan.feed.next_poll_at
    assert plan.feed.next_poll_at - plan.feed.last_attempt_at == 6 * HOUR


def test_unfamiliar_then_recovers():
    known = podcast(*show(20))
    known.poll(*rehosted(show(20)))
    plan = known.poll(item("new"), *show(20), at=LATER)
    assert decided(plan) == {"new": "pending"}
    assert plan.feed.suspect is None
    again = known.poll(*rehosted(show(20)), at=LATER + HOUR)
    assert again.feed.reason == "unfamiliar", "what was seen before the recovery does not count"


def test_a_304_says_that_the_unfamiliar_answer_was_a_mistake():
    known = podcast(*show(20))
    known.poll(*rehosted(show(20)))
    answer = NotModified(Validators())
    plan = reconcile.unchanged(known.feed, answer, now=LATER, jitter=0, rules=POLLING)
    assert (plan.feed.suspect, plan.feed.suspect_at) == (None, None)


def test_a_failure_in_between_does_not_unsay_what_was_unfamiliar():
    known = podcast(*show(20))
    known.poll(*rehosted(show(20)))
    failure = FetchFailed("timeout")
    known.fold(reconcile.failed(known.feed, failure, now=LATER, jitter=0, rules=POLLING))
    assert known.poll(*rehosted(show(20)), at=LATER + HOUR).feed.reason is None


def test_an_unfamiliar_answer_leaves_the_validators_of_the_last_good_one():
    known = podcast(*show(20))
    plan = reconcile.reconcile(
        known.feed,
        known.known,
        document(*rehosted(show(20))),
        fetched(validators=Validators('"strange"')),
        now=NOW,
        jitter=0,
        rules=POLLING,
    )
    assert plan.feed.validators == Validators('"1"')


def test_three_new_guids_on_a_feed_of_three_are_unfamiliar():
    assert podcast(*show(3)).poll(*rehosted(show(3))).feed.reason == "unfamiliar"


# --- guids that change -------------------------------------------------------------------


def test_feed_moves_host_all_guids_change():
    episodes = show(136)
    known = podcast(*episodes)
    moved = rehosted(episodes)
    moved[5:14] = [replace(e, title=f"Edited {e.title}") for e in moved[5:14]]
    known.poll(*moved)
    plan = known.poll(*moved, at=LATER)
    assert sum(alias.kind == "guid" for alias in plan.aliases) == 127
    assert Counter(decided(plan).values()) == {"bulk": 9}
    assert Counter(names(plan))["episode.aliased"] == 127


def test_guid_scheme_flips_and_returns():
    episodes = show(20)
    known = podcast(*episodes)
    flipped = [replace(e, guid=f"https://show.example/?p={e.guid}") for e in episodes]
    known.poll(*flipped)
    assert known.poll(*flipped, at=LATER).new == ()
    back = known.poll(*episodes, at=LATER + HOUR)
    assert (back.feed.reason, back.new, back.aliases) == (None, (), ())
    assert len(known.episodes) == 20


def test_what_stays_unmatched_when_some_guids_are_replaced_is_held():
    episodes = show(20)
    known = podcast(*episodes)
    moved = rehosted(episodes[:3])
    unmatched = item("unmatched", published_at=NOW - 2 * DAY)
    assert decided(known.poll(*moved, unmatched, *episodes[4:])) == {"unmatched": "bulk"}


def test_two_guids_share_a_link():
    known = podcast(*show(4))
    shared = "https://show.example/double"
    twins = [item(f"t{n}", link=shared, title=f"Part {n}") for n in (1, 2)]
    assert decided(known.poll(*twins, *show(4))) == {"t1": "pending", "t2": "pending"}
    assert ("link", shared) not in known.aliases


def test_a_link_that_comes_to_be_shared_leaves_its_first_owner_alone():
    known = podcast(*show(4))
    first = show(4)[0]
    plan = known.poll(item("second", link=first.link), *show(4))
    assert decided(plan) == {"second": "pending"}
    assert known.of("e4").guid == "e4"


def test_rerun_shares_audio():
    known = podcast(*show(4))
    rerun = item("rerun", audio_url=show(4)[2].audio_url, title=show(4)[2].title)
    assert decided(known.poll(rerun, *show(4))) == {"rerun": "pending"}
    assert known.of("rerun").id != known.of("e2").id


def test_a_rerun_that_comes_as_its_first_run_rolls_off_is_news():
    episodes = show(4)
    rerun = replace(episodes[3], guid="rerun", link=None, published_at=NOW - HOUR)
    assert decided(podcast(*episodes).poll(rerun, *episodes[:3])) == {"rerun": "pending"}


def test_a_title_shared_with_a_cross_post_makes_two_episodes():
    known = podcast(*show(4))
    cross_post = item("cross", title=show(4)[0].title, published_at=show(4)[0].published_at)
    assert decided(known.poll(cross_post, *show(4))) == {"cross": "pending"}


def test_an_episode_that_moved_and_was_edited_in_one_poll_is_known_by_its_post_id():
    first = replace(show(4)[0], post_id="7")
    known = podcast(first, *show(4)[1:])
    other = item("x", post_id="7", published_at=NOW - HOUR)
    plan = known.poll(other, *show(4)[1:])
    assert plan.new == ()
    assert known.of("x").guid == "e4"


# --- changes -----------------------------------------------------------------------------


def changed(**facts):
    """Return the names of what a second poll changed of an episode."""
    first = item("e", duration_s=60, audio_bytes=1000)
    known = podcast(first, *show(4))
    (change,) = known.poll(replace(first, **facts), *show(4)).changed or (None,)
    return change.fields if change else ()


def test_title_edited():
    known = podcast(*show(4))
    edited = replace(show(4)[0], title="Edited")
    plan = known.poll(edited, *show(4)[1:])
    (told,) = plan.events
    assert (told.name, told.guid) == ("episode.changed", "e4")
    assert told.fields == {"fields": "title", "title": "Edited"}
    assert plan.new == ()


def test_query_only_audio_change():
    assert changed(audio_url="https://cdn.example/e.mp3?sig=2#t=1") == ()


@pytest.mark.parametrize(
    ("facts", "fields"),
    [
        ({"title": ""}, ()),
        ({"duration_s": None, "published_at": None, "audio_bytes": None}, ()),
        ({"audio_url": "https://other.example/e.mp3"}, ("audio_url",)),
        ({"duration_s": 61, "title": "New"}, ("title", "duration_s")),
        ({"published_at": NOW}, ("published_at",)),
        ({"audio_bytes": 0}, ("audio_bytes",)),
    ],
)
def test_a_fact_that_is_missing_now_did_not_change(facts, fields):
    assert changed(**facts) == fields


def test_an_episode_that_vanishes_and_returns_is_neither_new_nor_changed():
    known = podcast(*show(4))
    assert known.poll(*show(4)[1:]).vanished == (1,)
    plan = known.poll(*show(4), at=LATER)
    assert (plan.returned, plan.new, plan.changed) == ((1,), (), ())


# --- 304, failures, validators -----------------------------------------------------------

FEED = Feed(
    1,
    "show",
    "https://show.example/rss",
    next_poll_at=NOW,
    validators=Validators('"1"', "Sat, 10 Oct 2026 11:00:00 GMT"),
    failures=4,
    reason="timeout",
    last_ok_at=NOW - DAY,
    last_full_at=NOW - HOUR,
)


def test_a_304_keeps_the_validators_and_ends_a_failure():
    answer = NotModified(Validators(), max_age=2 * HOUR)
    plan = reconcile.unchanged(FEED, answer, now=NOW, jitter=0, rules=POLLING)
    assert plan.feed == replace(
        FEED,
        failures=0,
        reason=None,
        last_attempt_at=NOW,
        last_ok_at=NOW,
        next_poll_at=NOW + 2 * HOUR,
        next_poll_reason="floor",
        polled=(NOW,),
    )
    assert plan == reconcile.PollPlan(plan.feed)


def test_a_304_may_replace_a_validator():
    answer = NotModified(Validators(etag='W/"2"'))
    plan = reconcile.unchanged(FEED, answer, now=NOW, jitter=0, rules=POLLING)
    assert plan.feed.validators == Validators('W/"2"', FEED.validators.last_modified)


def test_a_200_replaces_both_validators_together():
    known = Podcast(feed=FEED)
    assert known.poll(*show(4)).feed.validators == Validators('"1"', None)


def test_the_feeds_ttl_and_max_age_are_floors():
    plan = reconcile.reconcile(
        FEED,
        Podcast().known,
        replace(document(*show(4)), ttl=3 * HOUR),
        fetched(max_age=HOUR),
        now=NOW,
        jitter=0,
        rules=POLLING,
    )
    assert plan.feed.next_poll_at == NOW + 3 * HOUR


@pytest.mark.parametrize(
    ("last_full_at", "sent"),
    [
        pytest.param(None, False, id="there was no body yet"),
        pytest.param(NOW - DAY + SECOND, True, id="the last body is not a day old"),
        pytest.param(NOW - DAY, False, id="the last body is a day old"),
        pytest.param(NOW + DAY, True, id="the clock was set back"),
    ],
)
def test_validators_are_sent_but_once_a_day(last_full_at, sent):
    feed = replace(FEED, last_full_at=last_full_at)
    assert reconcile.is_full_due(feed, now=NOW) == (not sent)


def test_a_failure_keeps_all_that_is_known():
    failure = FetchFailed("http_503", http=503, retry_after=9 * HOUR)
    plan = reconcile.failed(FEED, failure, now=NOW, jitter=0, rules=POLLING)
    assert plan.feed == replace(
        FEED,
        failures=5,
        reason="http_503",
        last_attempt_at=NOW,
        next_poll_at=NOW + 9 * HOUR,
        next_poll_reason="backoff",
        polled=(NOW,),
    )
    assert plan == reconcile.PollPlan(plan.feed)


def test_a_feed_that_is_gone_is_looked_at_weekly():
    failure = FetchFailed("http_410", http=410)
    plan = reconcile.failed(FEED, failure, now=NOW, jitter=0, rules=POLLING)
    assert plan.feed.next_poll_at == NOW + WEEK


# --- any sequence of polls ---------------------------------------------------------------
#
# A publisher does one thing after another; each poll is folded into the podcast's rows. Every
# item carries the number of the episode it truly is, which the core never sees.


@dataclass
class Publisher:
    """A feed as its publisher has it: newest first, of at most *window* items."""

    known: Podcast
    window: int
    links: int  # how many episodes share one; 0: there are none
    post_ids: bool
    alike: bool  # every title and length is the same
    every: timedelta  # between two episodes
    now: datetime = NOW
    made: int = 0
    scheme: int = 0
    items: list[tuple[int, ObservedEpisode]] = field(default_factory=list)
    dropped: list[tuple[int, ObservedEpisode]] = field(default_factory=list)
    truth: dict[int, int] = field(default_factory=dict)  # episode id → number

    def publish(self) -> None:
        self.made += 1
        n = self.made
        self.now += self.every
        new = ObservedEpisode(
            guid=f"{self.scheme}:{n}",
            title="The News" if self.alike else f"Episode {n}",
            audio_url=f"https://cdn{self.scheme}.example/{n}.mp3",
            post_id=f"{n}" if self.post_ids else None,
            link=f"https://show.example/{n // self.links}" if self.links else None,
            duration_s=300 if self.alike else 1000 + n,
            published_at=self.now,
        )
        self.items = [(n, new), *self.items][: self.window]

    def publish_two(self) -> None:
        self.publish()
        self.publish()

    def rehost(self) -> None:
        self.scheme += 1
        self._rename(self.scheme)

    def rehost_and_publish(self) -> None:
        self.rehost()
        self.publish()

    def flip_back(self) -> None:
        self.scheme = 0
        self._rename(0)

    def _rename(self, scheme: int) -> None:
        self.items = [
            (n, replace(e, guid=f"{scheme}:{n}", audio_url=f"https://cdn{scheme}.example/{n}.mp3"))
            for n, e in self.items
        ]

    def edit_newest(self) -> None:
        if self.items and not self.alike:
            n, newest = self.items[0]
            self.items[0] = (n, replace(newest, title=f"{newest.title}!"))

    def drop_second(self) -> None:
        self.dropped += self.items[1:2]
        del self.items[1:2]

    def restore(self) -> None:
        self.items = sorted({**dict(self.dropped), **dict(self.items)}.items(), reverse=True)
        self.dropped.clear()

    def sign_anew(self) -> None:
        self.items = [
            (n, replace(e, audio_url=f"{e.audio_url.partition('?')[0]}?{self.now}"))
            for n, e in self.items
        ]

    def be_away(self) -> None:
        self.now += 40 * DAY

    def poll(self) -> None:
        """Poll until the document is believed, and see that every item is who it truly is."""
        for _ in range(2):
            self.now += 6 * MINUTE
            plan = self.known.poll(*(e for _, e in self.items), at=self.now, others=1)
            if plan.feed.reason is None:
                break
        assert plan.feed.reason is None, "the same guids twice are believed"
        for n, observed in self.items:
            episode = self.known.of(observed.guid)  # or the item was lost
            assert self.truth.setdefault(episode.id, n) == n, "an alias of the wrong episode"


ACTIONS = (
    "publish",
    "publish",
    "publish_two",
    "rehost",
    "rehost_and_publish",
    "flip_back",
    "edit_newest",
    "drop_second",
    "restore",
    "sign_anew",
    "be_away",
)


def publishers(*, alike):
    return st.builds(
        lambda window, links, post_ids, every: Publisher(
            podcast(at=NOW - DAY), window, links, post_ids, alike=alike, every=every
        ),
        st.sampled_from([1, 2, 3, 4, 8, 100]),
        st.sampled_from([0, 1, 2, 3, 1000]),
        st.booleans(),
        st.sampled_from([HOUR, DAY, WEEK]),
    )


stories = st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=25)


@settings(max_examples=300, deadline=None)
@given(publishers(alike=True), stories)
def test_whatever_a_publisher_does_no_item_is_lost_or_taken_for_another(publisher, actions):
    for action in actions:
        getattr(publisher, action)()
        publisher.poll()


@settings(max_examples=300, deadline=None)
@given(publishers(alike=False), stories)
def test_whatever_a_publisher_does_no_episode_is_discovered_twice(publisher, actions):
    for action in actions:
        getattr(publisher, action)()
        publisher.poll()
    assert len(publisher.truth) == len(set(publisher.truth.values()))
