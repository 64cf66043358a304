"""Whole jobs against both far ends: what each answer of Stenobird and of a publisher leads to."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.adapters.store import verbs
from monitor.demo import empty, html_page, lost_answer, reset, shortened, status, truncated
from monitor.demo.publisher import new_item
from monitor.demo.stenobird import FAILS, SUCCEEDS
from tests.living import LIMITS, POLLING, START, Life, Meanwhile

NOT_LISTED = ("pending", "not_listed_yet")


@pytest.fixture
def life():
    with Life() as life:
        yield life


# --- delivering ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lost_answer(),
        reset(),
        status(429, retry_after=120),
        status(408),
        status(500),
        status(500, after_effect=True),
        status(503, after_effect=True, retry_after="soon"),
        status(409),
        status(409, after_effect=True),
        status(404),
        status(425),
        status(302, headers={"Location": "/elsewhere"}, after_effect=True),
    ],
    ids=lambda fault: f"{fault.name}{' after the effect' * fault.carried_out}",
)
def test_whatever_the_first_post_meets_the_effect_is_one(life, fault):
    life.replica.post_faults.next(fault)
    life.live_on()
    life.assert_kept()


def test_a_title_edited_before_it_is_listed_is_found_under_its_first_slug(life):
    item = life.new[0]
    life.replica.entry(item.guid).listed_after = timedelta(minutes=30)
    life.run(2)
    assert life.request() == NOT_LISTED
    life.publisher.edit_title(item.guid, "Quite another title")
    life.live_on()
    life.assert_kept()


@pytest.mark.parametrize("key", ["post_id", "link"])
def test_an_episode_that_moved_host_is_proved_by_what_was_ever_said_of_it(life, key):
    """Stenobird may keep the audio and the link that it has read first."""
    life.replica.entry(life.new[0].guid).listed_after = timedelta(minutes=30)
    life.run(2)
    assert life.request() == NOT_LISTED
    life.spoil("UPDATE episodes SET post_id = '1', link = 'https://new.example/1'")
    life.spoil(f"UPDATE aliases SET value = '-' || value WHERE kind NOT IN ('guid', '{key}')")
    life.live_on()
    life.assert_kept()


def test_an_episode_that_is_never_listed_waits_without_an_attempt(life):
    life.replica.entry(life.new[0].guid).listed_after = None
    life.run(12)
    assert life.request() == NOT_LISTED
    assert life.replica.posts == []
    assert life.rows("SELECT max(attempts) FROM requests") == [(0,)]


def test_another_episode_under_the_guessed_slug_is_never_requested(life):
    stranger = new_item(999, "Another show's", START - timedelta(days=80))
    life.publisher.publish(stranger)
    life.replica.entry(stranger.guid).slug = "new-episode-0"
    life.replica.entry(life.new[0].guid).listed_after = None
    life.run(3)
    assert life.request() == ("pending", "slug_unproved")
    assert life.replica.posts == []


def test_what_another_episode_has_as_well_proves_nothing(life):
    """A bulletin has the title and the link of yesterday's, and today's audio."""
    series = "https://news.example/bulletin"
    first, second = (
        replace(
            new_item(300 + n, "Bulletin", life.clock()),
            link=series,
            audio_url=f"https://cdn.example/{n}.mp3",
        )
        for n in range(2)
    )
    life.publisher.publish(first)
    life.run(6)
    assert life.request(first) == ("processed", "processed")
    life.publisher.publish(second)
    life.run(6)
    assert life.request(second) == ("pending", "slug_unproved")
    assert Counter(effect.guid for effect in life.replica.effects)[first.guid] == 1


def test_what_is_processed_already_is_settled_without_a_post(life):
    life.replica.entry(life.new[0].guid).state = "processed"
    life.run(2)
    assert life.request() == ("processed", "already_processed")
    assert life.replica.posts == []


def test_a_failure_before_our_post_is_why_we_ask(life):
    life.replica.entry(life.new[0].guid).state = "failed"
    life.live_on()
    life.assert_kept()


def test_a_request_that_fails_is_failed_and_can_be_requeued(life):
    life.replica.entry(life.new[0].guid).path = FAILS
    life.run(6)
    assert life.request() == ("failed", "failed")
    assert life.do(verbs.requeue)
    assert not life.do(verbs.requeue)
    assert life.request() == ("pending", None)
    life.run(6)
    assert life.request() == ("failed", "failed")
    assert len({effect.key for effect in life.replica.effects}) == 2


@pytest.mark.parametrize("code", [400, 410, 422])
def test_a_request_refused_for_good_is_failed_at_once(life, code):
    life.replica.post_faults.always(status(code))
    life.run(4)
    assert life.request() == ("failed", f"http_{code}")
    assert len(life.replica.posts) == 1


@pytest.mark.parametrize("fault", [status(500), status(429), lost_answer()], ids=lambda f: f.name)
def test_a_request_that_no_post_brings_further_is_one_problem_until_one_does(life, fault):
    life.replica.post_faults.always(fault)
    life.replica.entry(life.new[0].guid).path = ("not_requested",)
    life.replica.entry(life.new[0].guid).state = "not_requested"
    life.run(30)
    assert [f["problem"] for _, f in life.told("problem.opened")] == ["request_failing"]
    life.replica.post_faults.clear()
    life.replica.entry(life.new[0].guid).path = SUCCEEDS
    life.run(80)
    assert life.request() == ("processed", "processed")
    assert [f["problem"] for _, f in life.told("problem.recovered")] == ["request_failing"]


def test_an_answer_nobody_foresaw_is_a_problem_until_it_works(life):
    life.replica.post_faults.next(status(418))
    life.run(2)
    assert life.request() == ("pending", "http_418")
    assert [f["problem"] for _, f in life.told("problem.opened")] == ["request_refused"]
    life.run(80)
    assert life.request()[0] == "processed"
    assert [f["problem"] for _, f in life.told("problem.recovered")] == ["request_refused"]


@pytest.mark.parametrize("code", [401, 402, 403])
def test_a_closed_door_freezes_all_requests_as_one_problem(code):
    with Life(new=4) as life:
        life.replica.post_faults.always(status(code))
        life.run(3)
        assert {life.request(item) for item in life.new} == {("pending", "frozen")}
        assert [f["problem"] for _, f in life.told("problem.opened")] == ["stenobird_frozen"]
        assert life.rows("SELECT max(attempts) FROM requests") == [(0,)]
        tried = len(life.replica.posts)
        life.replica.post_faults.clear()
        life.live_on()
        life.assert_kept()
        assert tried <= 4
        assert [f["problem"] for _, f in life.told("problem.recovered")] == ["stenobird_frozen"]


def test_a_closed_door_at_the_get_freezes_too(life):
    life.replica.get_faults.always(status(403))
    life.run(3)
    assert life.request() == ("pending", "frozen")
    life.replica.get_faults.clear()
    life.live_on()
    life.assert_kept()


def test_stenobird_down_is_one_problem_and_no_attempt(life):
    life.replica.get_faults.always(status(503))
    life.run(12)
    assert life.request() == ("pending", "http_503")
    assert [f["problem"] for _, f in life.told("problem.opened")] == ["stenobird_failing"]
    life.replica.get_faults.clear()
    life.live_on()
    life.assert_kept()


def test_the_budget_puts_off_and_then_lets_go():
    with Life(new=3) as life:  # of an hour each
        life.limits = replace(LIMITS, audio_minutes_per_day=120)
        life.run(8)
        waiting = Counter(life.request(item) for item in life.new)
        assert waiting == {("processed", "processed"): 2, ("pending", "budget"): 1}
        life.run(300)
        life.assert_kept()


def test_the_pace_is_kept():
    with Life(new=5) as life:
        life.limits = replace(LIMITS, per_minute=2)
        life.run(1)
        assert len(life.replica.posts) == 2
        life.live_on()
        life.assert_kept()


def test_shadow_decides_and_records_and_posts_nothing(life):
    life.polling = replace(POLLING, shadow=True)
    life.changes = {"shadow": True}
    life.run(2)
    assert life.request() == ("held", "shadow")
    assert life.replica.posts == []
    life.polling, life.changes = POLLING, {}
    assert life.do(verbs.release)
    life.live_on()
    assert [effect.guid for effect in life.replica.effects] == [life.new[0].guid]


@pytest.mark.parametrize(
    ("fault", "request_"),
    [(lost_answer(), ("accepted", "state_moved")), (reset(), ("held", "shadow"))],
)
def test_what_became_of_a_post_is_found_out_in_shadow_too(life, fault, request_):
    life.replica.post_faults.next(fault)
    life.run(1)
    assert len(life.replica.posts) == 1
    life.changes = {"shadow": True}
    life.run(1)
    assert life.request() == request_
    assert len(life.replica.posts) == 1


def test_who_skips_while_a_post_waits_for_its_turn_is_heeded(life):
    life.run(1, Meanwhile("turn", lambda: life.do(verbs.skip)))
    assert life.request() == ("skipped", "operator")
    assert life.replica.posts == []


def test_what_was_pending_when_shadow_began_is_held(life):
    life.replica.entry(life.new[0].guid).listed_after = timedelta(minutes=20)
    life.run(1)
    life.changes = {"shadow": True}
    life.run(3)
    assert life.request() == ("held", "shadow")


# --- tracking -----------------------------------------------------------------------------


def test_a_stalled_request_is_asked_once_more_and_then_a_problem(life):
    life.replica.entry(life.new[0].guid).path = ("queued",)
    life.changes = {"stalled_after": timedelta(hours=2)}
    life.run(60)
    assert life.request() == ("accepted", None)
    assert len(life.replica.posts) == 2
    assert len({p.headers["idempotency-key"] for p in life.replica.posts}) == 1
    assert [f["problem"] for _, f in life.told("problem.opened")] == ["request_stalled"]
    life.replica.entry(life.new[0].guid).path = ("queued", "processed")
    life.run(30)
    assert life.request()[0] == "processed"
    assert [f["problem"] for _, f in life.told("problem.recovered")] == ["request_stalled"]


def test_a_state_that_goes_backwards_is_a_problem_and_changes_no_request(life):
    life.live_on()
    entry = life.replica.entry(life.new[0].guid)
    entry.path = ("queued",)
    life.clock.turn(timedelta(days=31))
    life.run(1)
    assert life.request() == ("processed", "processed")
    assert [f["problem"] for _, f in life.told("problem.opened")] == ["state_regressed"]
    entry.path = ("processed",)
    life.clock.turn(timedelta(days=31))
    life.run(1)
    assert [f["problem"] for _, f in life.told("problem.recovered")] == ["state_regressed"]


def test_every_state_is_recorded_verbatim_once_and_in_order(life):
    life.replica.entry(life.new[0].guid).path = ("", "Queued", "diarizing…", "PROCESSED")
    life.live_on()
    guid = life.new[0].guid
    changes = [f for g, f in life.told("state.changed") if g == guid]
    assert [c["to"] for c in changes] == ["null", "Queued", "diarizing…", "PROCESSED"]
    assert [c["from"] for c in changes] == [None, "null", "Queued", "diarizing…"]
    assert [c.get("note") for c in changes] == ["new word"] * 3 + [None]


def test_a_held_episode_that_is_processed_elsewhere_is_settled(life):
    life.replica.entry(life.old.guid).state = "processed"
    life.run(3)
    assert life.request(life.old) == ("processed", "already_processed")


# --- polling ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (html_page(), "html_page"),
        (empty(), "empty_body"),
        (truncated(), "truncated"),
        (shortened(), "truncated"),
        (reset(0.5), "truncated"),
        (status(404), "http_404"),
        (status(410), "http_410"),
        (status(429, retry_after=3600), "http_429"),
        (status(304), "http_304"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_poll_that_brings_nothing_usable_says_why_and_loses_nothing(life, fault, reason):
    life.publisher.faults.next(fault)
    life.run(1)
    line = life.polled[-1]
    assert (line["outcome"], line["failures"]) in {("failed", 1), ("not_modified", 0)}
    assert reason in {line["reason"], "http_304"}
    assert len(life.rows(f"SELECT 1 FROM episodes WHERE guid = '{life.old.guid}'")) == 1
    life.publisher.faults.clear()
    life.run(2100 if reason == "http_410" else 14)
    life.assert_kept()


def test_a_feed_that_keeps_failing_is_a_problem_and_recovers(life):
    life.publisher.faults.always(status(503))
    life.run(12)
    (opened,) = [f for _, f in life.told("problem.opened")]
    assert (opened["problem"], opened["reason"]) == ("feed_failing", "http_503")
    life.publisher.faults.clear()
    life.run(80)
    assert [f["reason"] for _, f in life.told("problem.recovered")] == ["http_503"]
    life.assert_kept()


def test_what_explains_a_failure_is_in_the_polls_line_and_in_the_problem(life):
    life.publisher.faults.always(html_page())
    life.run(12)
    assert {line["detail"] for line in life.polled if line["outcome"] == "failed"} == {
        "Just a moment"
    }
    (opened,) = [f for _, f in life.told("problem.opened")]
    assert (opened["reason"], opened["detail"]) == ("html_page", "Just a moment")


def test_what_happens_to_a_back_catalogue_is_nothing(life):
    life.live_on()
    assert life.request(life.old) == ("held", "baseline")
    assert {post.path for post in life.replica.posts if "an-old-episode" in post.path} == set()


def test_a_bulk_import_is_held_and_can_be_let_go_one_by_one(life):
    for n in range(20):
        life.publisher.publish(new_item(300 + n, f"Imported {n}", START - timedelta(days=n)))
    life.run(4)
    imported = new_item(305, "Imported 5", START)
    assert life.request(imported) == ("held", "bulk")
    assert life.replica.effects == []
    assert life.do(verbs.release, imported)
    life.run(6)
    assert [effect.guid for effect in life.replica.effects] == [imported.guid]


def test_a_changed_title_and_audio_are_recorded_and_ask_for_nothing(life):
    life.live_on()
    life.publisher.edit_title(life.new[0].guid, "Edited")
    life.publisher.replace_audio(
        life.new[0].guid, "https://api.substack.com/feed/podcast/200/ab.mp3"
    )
    life.run(3)
    ((_, change),) = life.told("episode.changed")
    assert change["fields"] == "title,audio_url"
    assert len(life.replica.effects) == 1


# --- what happens meanwhile ---------------------------------------------------------------


def test_a_poll_that_lost_its_lease_writes_nothing_and_says_nothing(life):
    said = len(life.polled)
    life.run(1, Meanwhile("answer to GET", life.void_leases))
    assert len(life.polled) == said
    assert life.rows("SELECT count(*) FROM episodes") == [(1,)]
    life.live_on()
    life.assert_kept()


def test_a_person_who_skips_between_the_get_and_the_post_wins(life):
    skip = Meanwhile("answer to GET", lambda: life.do(verbs.skip), nth=2)
    life.run(3, skip)
    assert life.request() == ("skipped", "operator")
    assert life.replica.posts == []


def test_a_person_who_skips_while_the_post_is_under_way_cannot_unask(life):
    life.run(1, Meanwhile("answer to POST", lambda: life.do(verbs.skip)))
    assert life.request() == ("skipped", "operator")
    assert len(life.replica.effects) == 1
    assert life.rows("SELECT outcome FROM posts") == [("http_202",)]
    life.run(4)
    assert len(life.replica.posts) == 1


def test_a_delivery_that_lost_its_lease_before_the_post_sends_nothing(life):
    life.run(1, Meanwhile("answer to GET", life.void_leases, nth=2))
    assert life.replica.posts == []
    life.live_on()
    life.assert_kept()


# --- what an operator changes -------------------------------------------------------------


def test_another_base_url_while_an_outcome_is_unknown_posts_to_the_new_one(life):
    life.replica.post_faults.next(reset())
    life.run(1)
    assert life.rows("SELECT outcome_unknown FROM requests WHERE generation = 1") != [(0,), (0,)]
    life.base_url = life.base_url.replace("127.0.0.1", "localhost")
    life.live_on()
    life.assert_kept()


def test_a_start_tries_the_closed_door_at_once(life):
    life.replica.post_faults.always(status(401))
    life.run(12)
    assert life.request() == ("pending", "frozen")
    life.replica.post_faults.clear()
    life.run(1)
    assert life.request() == ("accepted", None)


def test_a_freeze_ends_with_a_look_that_settles_without_a_post(life):
    life.replica.get_faults.next(status(403))
    life.run(1)
    life.replica.entry(life.new[0].guid).state = "processed"
    life.run(2)
    assert life.request() == ("processed", "already_processed")
    assert [f["problem"] for _, f in life.told("problem.recovered")] == ["stenobird_frozen"]
    assert life.rows("SELECT count(*) FROM freezes") == [(0,)]


def test_a_podcast_that_is_removed_leaves_no_problem_behind(life):
    life.publisher.faults.always(status(503))
    life.run(12)
    assert life.told("problem.opened")
    life.remove()
    assert life.rows("SELECT count(*) FROM problems") == [(0,)]
    assert life.told("problem.recovered")


def test_a_requeue_of_what_is_processed_is_no_step_backwards(life):
    life.live_on()
    assert life.do(verbs.requeue)
    life.run(8)
    assert life.request() == ("processed", "processed")
    assert len(life.replica.effects) == 2
    assert life.told("problem.opened") == []


# --- what was read last is a cache --------------------------------------------------------


@pytest.mark.parametrize(
    "spoiled",
    [
        "DELETE FROM editions",
        "UPDATE editions SET reading = x'00'",
        "UPDATE editions SET reading = NULL",
        "UPDATE editions SET marks = x'00'",
        "UPDATE editions SET rules = rules - 1",
    ],
)
def test_a_lost_or_spoiled_edition_costs_one_reading_and_nothing_else(spoiled):
    with Life(new=0) as life:
        life.spoil(spoiled)
        life.publisher.publish(new_item(300, "Another", life.clock()))
        life.run(3)
        assert [line["outcome"] for line in life.polled[1:]] == ["ok", "not_modified"]
        assert len(life.told("episode.discovered")) == 2
        assert life.rows("SELECT count(*) FROM editions WHERE reading IS NOT NULL") == [(1,)]


def test_a_fault_of_ours_is_recorded_backs_off_and_is_over_when_it_is_mended():
    with Life(new=0) as life:
        life.spoil("UPDATE episodes SET next_track_at = '2027-01-01 00:00:00.000000'")
        life.spoil("UPDATE episodes SET audio_url = x'00'")  # no program wrote this
        life.publisher.publish(new_item(300, "Another", life.clock()))
        life.run(4)
        failed = life.polled[1:]
        assert [(f["outcome"], f["reason"], f["failures"]) for f in failed] == [
            ("failed", "internal_error", 1),
            ("failed", "internal_error", 2),
        ]
        life.spoil("UPDATE episodes SET audio_url = 'https://cdn.example/1.mp3'")
        life.run(6)
        assert life.polled[-1]["failures"] == 0
        assert len(life.told("episode.discovered")) == 2
