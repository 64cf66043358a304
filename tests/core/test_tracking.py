"""What a look at Stenobird teaches, and what it makes of a request."""

from dataclasses import replace

import pytest

from monitor.core.lifecycle import SETTLED, Status
from monitor.core.model import LookupFailed, NotListed
from monitor.core.resource import digest
from monitor.core.tracking import look, next_look, observe, regressed
from tests.core.scenarios import DAY, DELIVERY, HOUR, MINUTE, NOW, SECOND, found, work

WORDS = frozenset({"processed", "failed", "canceled", "queued"})
ACCEPTED = {"accepted_at": NOW - HOUR, "first_posted_at": NOW - HOUR, "state_before_post": "new"}


def looked(work, lookup, at=NOW):
    return look(work, lookup, now=at, jitter=0, rules=DELIVERY)


def accepted(state="queued", **facts):
    """Return an accepted request of an episode last seen in *state*."""
    return work(Status.ACCEPTED, episode={"processing_state": state}, **{**ACCEPTED, **facts})


def status(look):
    return look.settlement.request.status if look.settlement else None


# --- what is observed --------------------------------------------------------------------


def seen(before, now):
    return observe(work(episode={"processing_state": before}).episode, found(now), words=WORDS)


def test_every_change_of_the_state_is_an_event_with_its_words_verbatim():
    observation = seen("queued", "Processed")
    (told,) = observation.events
    assert observation.state_changed
    assert (observation.slug, observation.state) == ("voxtral", "Processed")
    assert (told.name, told.level, told.guid) == (
        "state.changed",
        "info",
        "substack:post:192356063",
    )
    assert told.fields == {"from": "queued", "to": "Processed"}


def test_a_state_that_did_not_change_is_no_event():
    observation = seen("queued", "queued")
    assert (observation.state_changed, observation.events) == (False, ())


def test_a_word_that_nobody_has_seen_is_said_to_be_new():
    (told,) = seen("queued", "Diarising").events
    assert (told.level, told.fields["note"]) == ("warning", "new word")


def test_a_word_is_the_same_word_in_any_case():
    assert "note" not in seen(None, "QUEUED").events[0].fields


def test_a_state_that_is_not_there_is_an_empty_word():
    assert seen("queued", None).state == ""


def test_the_published_facts_are_kept_where_they_changed():
    lookup = found("queued", summary="Of voices")
    fresh = work().episode
    observation = observe(fresh, lookup, words=WORDS)
    assert observation.resource == lookup.resource
    known = replace(fresh, resource_digest=digest(lookup.resource))
    assert observe(known, lookup, words=WORDS).resource is None


@pytest.mark.parametrize(
    ("before", "now", "backwards"),
    [
        ("processed", "queued", True),
        ("Processed", "failed", True),
        ("processed", "PROCESSED", False),
        ("queued", "new", False),
        (None, "queued", False),
    ],
)
def test_a_state_goes_backwards_where_what_was_processed_is_not_any_more(before, now, backwards):
    assert regressed(work(episode={"processing_state": before}).episode, now, DELIVERY) == backwards


# --- what it makes of the request --------------------------------------------------------


@pytest.mark.parametrize("status_", [Status.PENDING, Status.HELD])
def test_a_processed_state_settles_what_was_never_sent(status_):
    look = looked(work(status_, reason="bulk"), found("Processed"))
    assert status(look) is Status.PROCESSED
    assert look.settlement.request.reason == "already_processed"


def test_a_processed_state_settles_what_was_accepted():
    look = looked(accepted(), found("processed", page_url="https://stenobird.com/p"))
    (told,) = look.settlement.events
    assert (told.name, told.fields["reason"]) == ("request.processed", "processed")
    assert told.fields["page_url"] == "https://stenobird.com/p"


@pytest.mark.parametrize("settled", sorted(SETTLED))
@pytest.mark.parametrize("state", ["processed", "failed", "queued"])
def test_nothing_moves_what_is_settled(settled, state):
    assert looked(work(settled), found(state)).settlement is None


@pytest.mark.parametrize("state", ["failed", "Canceled"])
def test_a_failed_state_after_our_post_settles_the_request(state):
    look = looked(accepted(), found(state))
    assert status(look) is Status.FAILED
    assert look.settlement.events[0].fields["reason"] == state


@pytest.mark.parametrize("status_", [Status.PENDING, Status.HELD])
def test_a_failed_state_before_our_post_settles_nothing(status_):
    assert looked(work(status_), found("failed")).settlement is None


def test_a_failed_state_from_before_our_post_settles_nothing_after_it():
    before = accepted("failed", state_before_post="failed")
    assert looked(before, found("failed")).settlement is None


def test_failed_queued_and_failed_again_is_failed():
    before = accepted("queued", state_before_post="failed")
    assert status(looked(before, found("failed"))) is Status.FAILED


def test_an_unknown_outcome_is_resolved_by_a_look_too():
    lost = work(outcome_unknown=True, first_posted_at=NOW - HOUR, state_before_post="new")
    assert status(looked(lost, found("new"))) is None
    assert status(looked(lost, found("queued"))) is Status.ACCEPTED
    assert status(looked(lost, found("failed"))) is Status.FAILED
    assert status(looked(lost, found("processed"))) is Status.PROCESSED


def test_a_state_that_moves_by_itself_accepts_nothing():
    held = work(Status.HELD, outcome_unknown=True, state_before_post="new")
    assert looked(work(), found("queued")).settlement is None
    assert looked(held, found("queued")).settlement is None


def test_what_a_person_asked_for_anew_is_not_done_by_what_was_processed_before():
    anew = work(generation=2, state_before_post="processed")
    assert looked(anew, found("processed")).settlement is None
    taken = accepted("processed", generation=2, state_before_post="processed")
    assert status(looked(taken, found("processed"))) is Status.PROCESSED


def test_what_a_person_asked_for_anew_is_done_by_what_was_processed_since():
    anew = work(generation=2, state_before_post="failed")
    assert status(looked(anew, found("processed"))) is Status.PROCESSED


def test_a_word_that_nobody_knows_is_not_final():
    assert looked(accepted(), found("published")).settlement is None


# --- stalled -----------------------------------------------------------------------------

STALLED = {"accepted_at": NOW - 3 * DAY, "first_posted_at": NOW - 3 * DAY}


def test_what_does_not_move_for_long_is_asked_again_once():
    look = looked(accepted(**STALLED, attempts=2), found("queued"))
    after = look.settlement.request
    assert (after.status, after.reasks, after.reason) == (Status.PENDING, 1, "stalled")
    assert (after.generation, after.epoch, after.attempts) == (1, 0, 2)
    assert after.next_attempt_at == NOW
    assert (after.outcome_unknown, after.state_before_post) == (True, "queued")
    assert not look.stalled
    (told,) = look.settlement.events
    assert (told.name, told.level, told.fields["reason"]) == (
        "request.deferred",
        "warning",
        "stalled",
    )


def test_asked_twice_and_still_not_moving_is_a_persons_problem():
    look = looked(accepted(**STALLED, reasks=1), found("queued"))
    assert (look.stalled, look.settlement) == (True, None)
    assert look.next_track_at > NOW


def test_a_failure_that_stands_though_it_was_asked_anew_and_once_more_is_the_answer():
    """A server that fails again between two looks shows the very word of the failure before."""
    episode = {"processing_state": "failed", "state_changed_at": NOW - 9 * DAY}
    facts = {**ACCEPTED, **STALLED, "generation": 2, "state_before_post": "failed"}
    first = looked(work(Status.ACCEPTED, episode=episode, **facts), found("failed"))
    assert status(first) is Status.PENDING
    second = looked(work(Status.ACCEPTED, episode=episode, **facts, reasks=1), found("failed"))
    assert (status(second), second.stalled) == (Status.FAILED, False)


def test_what_moves_between_the_asking_and_the_second_post_needs_no_second_post():
    asked = looked(accepted(**STALLED), found("queued")).settlement.request
    again = replace(accepted(**STALLED), request=asked)
    assert status(looked(again, found("transcribing"))) is Status.ACCEPTED
    assert status(looked(again, found("failed"))) is Status.FAILED
    assert looked(again, found("queued")).settlement is None


@pytest.mark.parametrize(
    ("facts", "lookup"),
    [
        pytest.param({"accepted_at": NOW - 3 * DAY + SECOND}, found("queued"), id="a second less"),
        pytest.param({}, found("transcribing"), id="it moves just now"),
        pytest.param({}, LookupFailed("timeout"), id="nobody could see"),
        pytest.param({"accepted_at": NOW + DAY}, found("queued"), id="the clock was set back"),
        pytest.param({"accepted_at": None}, found("queued"), id="nobody knows since when"),
    ],
)
def test_it_is_not_stalled_where(facts, lookup):
    look = looked(accepted(**{**STALLED, **facts}), lookup)
    assert (look.settlement, look.stalled) == (None, False)


def test_it_is_not_stalled_where_it_moved_since():
    episode = {"processing_state": "queued", "state_changed_at": NOW - DAY}
    moved = work(Status.ACCEPTED, episode=episode, **{**ACCEPTED, **STALLED})
    assert looked(moved, found("queued")).settlement is None


def test_what_stenobird_lists_no_more_is_stalled_too():
    assert status(looked(accepted(**STALLED), NotListed("not_listed_yet"))) is Status.PENDING


def test_only_what_was_accepted_stalls():
    assert looked(work(created_at=NOW - 90 * DAY), found("new")).settlement is None


# --- when to look again ------------------------------------------------------------------


def again(work, at=NOW):
    return next_look(work, now=at, jitter=0, rules=DELIVERY) - at


@pytest.mark.parametrize("status_", [Status.HELD, *sorted(SETTLED)])
def test_held_and_settled_episodes_are_looked_at_every_30_days(status_):
    assert again(work(status_)) == 30 * DAY
    assert looked(work(status_), found("queued")).next_track_at == NOW + 30 * DAY


@pytest.mark.parametrize("status_", [Status.HELD, *sorted(SETTLED)])
def test_a_look_that_taught_nothing_is_not_the_one_of_30_days(status_):
    look = looked(work(status_), LookupFailed("timeout"))
    assert NOW < look.next_track_at <= NOW + DAY


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(MINUTE, 6 * MINUTE), (HOUR, HOUR), (9 * DAY, 6 * HOUR)]
)
def test_a_look_that_failed_waits_as_long_as_it_was_asked_to_up_to_the_cap(retry_after, wait):
    look = looked(work(), LookupFailed("http_429", 429, retry_after))
    assert look.next_track_at == NOW + wait


@pytest.mark.parametrize(
    ("age", "wait"), [(MINUTE, 5 * MINUTE), (10 * HOUR, HOUR), (400 * DAY, DAY)]
)
def test_unsettled_episodes_are_looked_at_by_age(age, wait):
    assert again(work(created_at=NOW - age)) == wait


def test_what_was_accepted_or_moved_lately_is_fresh():
    old = {"created_at": NOW - 400 * DAY}
    assert again(work(Status.ACCEPTED, **old, accepted_at=NOW)) == 5 * MINUTE
    assert again(work(**old, episode={"state_changed_at": NOW})) == 5 * MINUTE


def test_what_is_settled_by_a_look_is_looked_at_seldom_from_then_on():
    assert looked(accepted(), found("processed")).next_track_at == NOW + 30 * DAY
