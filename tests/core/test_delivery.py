"""What is done with a due request: every state before the POST, every answer to it, and faults."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core import tracking
from monitor.core.answers import Answer, after_post, classify
from monitor.core.delivery import SAME_500, before_post, idempotency_key
from monitor.core.lifecycle import IllegalTransition, Status
from monitor.core.model import (
    Lookup,
    LookupFailed,
    NotListed,
    Post,
    PostAnswered,
    PostLost,
    PostNotSent,
    PostOutcome,
    Settlement,
    Work,
)
from monitor.core.moves import hold_for_shadow
from tests.core.scenarios import DAY, DELIVERY, HOUR, MINUTE, NOW, SECOND, found, work

URL = (
    "https://stenobird.com/v1/public/podcasts/latent-space-ai-engineer/episodes/voxtral"
    "/transcription-requests"
)


def before(work: Work, lookup: Lookup, at: datetime = NOW) -> Post | Settlement:
    return before_post(work, lookup, now=at, jitter=0, rules=DELIVERY)


def posted(
    work: Work, outcome: PostOutcome, *, state: str = "new", at: datetime = NOW
) -> Settlement:
    """Return what the outcome of a POST makes of a due request."""
    post = before(work, found(state), at)
    assert isinstance(post, Post)
    return after_post(work, post, outcome, now=at, jitter=0, rules=DELIVERY)


def again(settlement: Settlement) -> Work:
    """Return the work as it is leased the next time."""
    return replace(work(), request=settlement.request)


# --- the key -----------------------------------------------------------------------------


def test_the_key_of_a_request_never_changes_between_versions_of_this_program():
    """A key that changes with an upgrade would repeat every request whose outcome is unknown."""
    assert idempotency_key("latent-space-ai-engineer", "substack:post:192356063", 1, 0) == (
        "f2ec68e6caa5adac0cfec24898d274b4982f724bfeb35b1e77728695324acd66"
    )


def test_the_key_is_its_sha256_over_slug_guid_generation_and_epoch():
    from hashlib import sha256

    assert idempotency_key("show", "g", 2, 1) == sha256(b"show\ng\n2\n1").hexdigest()


slugs = st.from_regex(r"[a-z0-9][a-z0-9-]*", fullmatch=True)
requests = st.tuples(slugs, st.text(), st.integers(1, 99), st.integers(0, 99))


@given(requests, requests)
def test_two_requests_have_two_keys(one, other):
    assert (one == other) == (idempotency_key(*one) == idempotency_key(*other))


@given(st.text(min_size=1), st.integers(1, 99), st.integers(0, 99))
def test_a_guid_that_looks_like_the_rest_of_a_key_is_no_other_key(guid, generation, epoch):
    plain = idempotency_key("show", guid, generation, epoch)
    assert plain != idempotency_key("show", f"{guid}\n{generation}", epoch, epoch)
    assert plain != idempotency_key(f"show-{guid}", guid, generation, epoch)


# --- before the POST ---------------------------------------------------------------------


def test_an_address_that_became_another_episodes_is_given_up_and_the_key_kept():
    one = before(work(), found("new"))
    theirs = URL.replace("/episodes/", "/episodes/another-")
    again = before(Work(work().episode, replace(one.request, action_url=theirs)), found("new"))
    assert (again.url, again.key) == (URL, one.key)


def test_a_wanted_episode_is_posted_with_all_that_must_be_on_disk_before():
    post = before(work(attempts=2), found("new"))
    assert isinstance(post, Post)
    assert post.url == post.request.action_url == URL
    assert post.key == idempotency_key("latent-space-ai-engineer", "substack:post:192356063", 1, 0)
    assert post.request.status is Status.PENDING
    assert post.request.outcome_unknown
    assert post.request.first_posted_at == NOW
    assert post.request.state_before_post == "new"
    assert post.event.name == "request.posted"
    assert post.event.fields == {"generation": 1, "attempt": 3, "epoch": 0}


def test_what_is_processed_already_is_settled_without_a_post():
    settlement = before(work(), found("PROCESSED", json_url="https://stenobird.com/v1/x"))
    assert settlement.request.status is Status.PROCESSED
    (told,) = settlement.events
    assert told.name == "request.processed"
    assert told.fields["reason"] == "already_processed"
    assert told.fields["latency_s"] == 3600
    assert told.fields["json_url"] == "https://stenobird.com/v1/x"


def test_a_failed_state_seen_before_our_first_post_is_still_requested_once():
    assert isinstance(before(work(), found("failed")), Post)


@pytest.mark.parametrize("reason", ["not_listed_yet", "slug_unproved"])
def test_what_stenobird_does_not_list_waits_on_its_own_long_schedule(reason):
    fresh = before(work(created_at=NOW), NotListed(reason))
    assert fresh.request == replace(
        work(created_at=NOW).request, reason=reason, next_attempt_at=NOW + 10 * MINUTE
    ), "no attempt is spent"
    old = before(work(created_at=NOW - 90 * DAY), NotListed(reason))
    assert old.request.next_attempt_at == NOW + DAY
    assert [e.name for e in old.events] == ["request.deferred"]


@pytest.mark.parametrize("http", [None, 500, 429, 404])
def test_where_stenobird_cannot_be_asked_nothing_is_spent(http):
    settlement = before(work(attempts=2), LookupFailed("trouble", http))
    assert settlement.request.attempts == 2
    assert settlement.request.reason == "trouble"
    assert settlement.request.next_attempt_at == NOW + 6 * MINUTE  # a tenth of its age
    assert settlement.freeze is None


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(MINUTE, 6 * MINUTE), (HOUR, HOUR), (9 * DAY, 6 * HOUR)]
)
def test_a_look_that_failed_waits_as_long_as_it_was_asked_to_up_to_the_cap(retry_after, wait):
    settlement = before(work(), LookupFailed("http_429", 429, retry_after))
    assert settlement.request.next_attempt_at == NOW + wait


@pytest.mark.parametrize("http", [401, 402, 403])
def test_a_closed_door_freezes_the_source_and_spends_no_attempt(http):
    for settlement in (
        before(work(), LookupFailed(f"http_{http}", http)),
        posted(work(), PostAnswered(http)),
    ):
        assert settlement.freeze == f"http_{http}"
        assert settlement.request.status is Status.PENDING
        assert settlement.request.attempts == 0
        assert not settlement.request.outcome_unknown
        assert settlement.request.next_attempt_at > NOW


# --- every answer ------------------------------------------------------------------------


def meant(http: int) -> Answer:
    """Return what the design says of a status."""
    if 200 <= http <= 299 or http == 303:
        return Answer.ACCEPTED
    if http in {408, 429} or 500 <= http <= 599:
        return Answer.RETRY
    return {
        **dict.fromkeys((404, 425), Answer.NOT_YET),
        **dict.fromkeys((401, 402, 403), Answer.FREEZE),
        **dict.fromkeys((400, 410, 422), Answer.DEAD),
        409: Answer.CONFLICT,
    }.get(http, Answer.UNEXPECTED)


@dataclass(frozen=True)
class After:
    """What an answer of a class makes of a request that was not POSTed before."""

    status: Status
    attempts: int
    outcome_unknown: bool
    event: str


AFTER = {
    Answer.ACCEPTED: After(Status.ACCEPTED, 1, False, "request.accepted"),
    Answer.CONFLICT: After(Status.PENDING, 1, True, "request.deferred"),
    Answer.NOT_YET: After(Status.PENDING, 0, False, "request.deferred"),
    Answer.RETRY: After(Status.PENDING, 1, True, "request.deferred"),
    Answer.FREEZE: After(Status.PENDING, 0, False, "request.deferred"),
    Answer.DEAD: After(Status.FAILED, 1, False, "request.failed"),
    Answer.UNEXPECTED: After(Status.PENDING, 1, True, "request.deferred"),
}


@pytest.mark.parametrize("http", range(100, 600))
def test_every_answer_is_of_its_class_and_leads_where_the_design_says(http):
    assert classify(http) is meant(http)
    settlement = posted(work(), PostAnswered(http))
    after, (told,) = settlement.request, settlement.events
    assert (
        After(after.status, after.attempts, after.outcome_unknown, told.name) == AFTER[meant(http)]
    )
    assert (settlement.freeze is not None) == (meant(http) is Answer.FREEZE)
    assert after.generation == 1
    assert after.epoch == 0
    if after.status is Status.PENDING:
        assert NOW < after.next_attempt_at <= NOW + DAY


@pytest.mark.parametrize(
    ("http", "reason"),
    [(404, "not_listed_yet"), (425, "too_early"), (503, "http_503"), (409, "http_409")],
)
def test_a_wait_has_its_reason(http, reason):
    settlement = posted(work(), PostAnswered(http))
    assert settlement.request.reason == settlement.events[0].fields["reason"] == reason


def test_an_unexpected_answer_is_retried_at_retry_max():
    assert posted(work(), PostAnswered(418)).request.next_attempt_at == NOW + 6 * HOUR


def test_what_is_refused_for_good_is_an_error_with_its_reason():
    settlement = posted(work(), PostAnswered(422))
    (told,) = settlement.events
    assert (told.level, told.fields["reason"], told.fields["http"]) == ("error", "http_422", 422)


@pytest.mark.parametrize(
    ("attempts", "retry_after", "wait"),
    [
        (0, None, MINUTE),
        (3, None, 8 * MINUTE),
        (99, None, 6 * HOUR),
        (0, 2 * HOUR, 2 * HOUR),
        (0, 9 * HOUR, 6 * HOUR),
        (3, MINUTE, 8 * MINUTE),
    ],
)
@pytest.mark.parametrize("http", [408, 409, 429, 500, 503])
def test_a_retry_backs_off_and_keeps_retry_after_up_to_the_cap(http, attempts, retry_after, wait):
    settlement = posted(work(attempts=attempts), PostAnswered(http, retry_after))
    assert settlement.request.next_attempt_at == NOW + wait


def test_a_lost_answer_is_an_unknown_outcome():
    after = posted(work(), PostLost("timeout")).request
    assert (after.status, after.reason, after.attempts) == (Status.PENDING, "timeout", 1)
    assert after.outcome_unknown
    assert after.first_posted_at == NOW


def test_a_post_that_was_not_sent_leaves_nothing_unknown():
    after = posted(work(), PostNotSent("refused")).request
    assert (after.status, after.reason, after.attempts) == (Status.PENDING, "refused", 1)
    assert not after.outcome_unknown
    assert after.first_posted_at is None


@pytest.mark.parametrize(
    "outcome", [PostNotSent("dns"), PostAnswered(404), PostAnswered(425), PostAnswered(403)]
)
def test_a_post_without_effect_does_not_settle_what_an_earlier_one_did(outcome):
    lost = again(posted(work(), PostLost("timeout")))
    after = posted(lost, outcome, at=NOW + HOUR).request
    assert after.outcome_unknown
    assert after.first_posted_at == NOW


# --- an unknown outcome is resolved by the GET -------------------------------------------

MATRIX = [
    # state before, state now, POSTed before, generation → what is done
    ("new", "new", False, 1, "post"),
    ("new", "new", True, 1, "post"),
    ("new", "queued", False, 1, "post"),
    ("new", "queued", True, 1, "accepted"),
    ("new", "processed", False, 1, "processed"),
    ("new", "processed", True, 1, "processed"),
    ("new", "failed", False, 1, "post"),
    ("new", "failed", True, 1, "failed"),
    ("failed", "failed", False, 1, "post"),
    ("failed", "failed", True, 1, "post"),
    ("failed", "queued", True, 1, "accepted"),
    ("failed", "canceled", True, 1, "failed"),
    ("processed", "processed", False, 2, "post"),
    ("processed", "processed", True, 2, "post"),
    ("processed", "queued", True, 2, "accepted"),
    ("processed", "failed", True, 2, "failed"),
    ("failed", "failed", False, 2, "post"),
    ("failed", "failed", True, 2, "post"),
    ("failed", "processed", False, 2, "processed"),
    ("failed", "processed", True, 2, "processed"),
    ("failed", "queued", False, 2, "post"),
    ("failed", "queued", True, 2, "accepted"),
]


@pytest.mark.parametrize(("was", "state", "unknown", "generation", "done"), MATRIX)
def test_a_get_resolves_an_outcome_that_is_not_known(was, state, unknown, generation, done):
    first_posted_at = NOW - HOUR if unknown else None
    due = work(
        generation=generation,
        state_before_post=was,
        outcome_unknown=unknown,
        first_posted_at=first_posted_at,
        action_url=URL if unknown else None,
    )
    decision = before(due, found(state))
    if isinstance(decision, Settlement):
        assert decision.request.status == done
        assert not decision.request.outcome_unknown
        return
    assert done == "post"
    assert decision.request.first_posted_at == (first_posted_at or NOW)
    assert decision.request.state_before_post == (was if unknown else state)
    assert decision.key == idempotency_key(
        "latent-space-ai-engineer", "substack:post:192356063", generation, 0
    )


def test_a_state_that_moved_says_so_as_the_reason_of_the_acceptance():
    lost = again(posted(work(), PostLost("timeout")))
    settlement = before(lost, found("queued"), NOW + HOUR)
    assert settlement.request.accepted_at == NOW + HOUR
    assert settlement.events[0].fields["reason"] == "state_moved"


def test_what_was_posted_and_is_processed_was_not_processed_already():
    lost = again(posted(work(), PostLost("timeout")))
    assert before(lost, found("processed")).events[0].fields["reason"] == "processed"


def test_a_crash_after_the_write_and_before_the_answer_is_a_lost_answer():
    post = before(work(), found("new"))
    crashed = replace(work(), request=post.request)
    repeated = before(crashed, found("new"), NOW + HOUR)
    assert (repeated.key, repeated.url) == (post.key, post.url)
    assert repeated.request.first_posted_at == NOW


def test_the_address_stays_while_the_outcome_is_unknown():
    lost = again(posted(work(), PostLost("timeout")))
    elsewhere = found("new", request_url="/v2/ask")
    assert before(lost, elsewhere).url == URL
    assert before(work(), elsewhere).url == "https://stenobird.com/v2/ask"


def test_an_address_that_was_never_reached_binds_nobody():
    refused = again(posted(work(), PostNotSent("refused")))
    post = before(refused, found("new", request_url="/v2/ask"))
    assert post.url == post.request.action_url == "https://stenobird.com/v2/ask"


def test_an_address_that_is_not_there_any_more_is_not_asked_again():
    lost = again(posted(work(), PostLost("timeout")))
    gone = again(posted(lost, PostAnswered(404)))
    post = before(gone, found("new", request_url="/v2/ask"))
    assert post.url == post.request.action_url == "https://stenobird.com/v2/ask"
    assert post.key == before(lost, found("new")).key


# --- 409 ---------------------------------------------------------------------------------


def test_after_a_409_a_get_decides():
    conflict = again(posted(work(), PostAnswered(409)))
    assert before(conflict, found("queued")).request.status is Status.ACCEPTED
    assert before(conflict, found("processed")).request.status is Status.PROCESSED
    assert before(conflict, found("failed")).request.status is Status.FAILED
    assert isinstance(before(conflict, found("new")), Post)


def test_a_409_again_though_nothing_moved_is_taken_for_what_it_says():
    conflict = again(posted(work(), PostAnswered(409)))
    settlement = posted(conflict, PostAnswered(409), at=NOW + MINUTE)
    assert settlement.request.status is Status.ACCEPTED
    assert settlement.events[0].fields["reason"] == "conflict"
    assert settlement.request.attempts == 2


# --- a 500 that sticks to a key ----------------------------------------------------------


def repeated(*answers, apart=HOUR, due=None):
    """Return the work after one answer after the other, each *apart*, with no change seen."""
    due, at = due or work(), NOW
    for answer in answers:
        due = again(posted(due, answer, at=at))
        at += apart
    return due


def epoch(due, at=NOW + 9 * DAY):
    return before(due, found("new"), at).request.epoch


STORED = PostAnswered(500, digest="a")


def test_the_same_500_three_times_an_hour_apart_raises_the_epoch_once():
    due = repeated(*[STORED] * SAME_500)
    post = before(due, found("new"), NOW + DAY)
    assert post.request.epoch == 1
    assert post.key == idempotency_key("latent-space-ai-engineer", "substack:post:192356063", 1, 1)
    assert (post.request.same_count, post.request.same_digest, post.request.same_at) == (
        0,
        None,
        None,
    )
    assert post.request.first_posted_at == NOW
    assert epoch(repeated(STORED, due=due)) == 1, "the new key begins to count anew"


@pytest.mark.parametrize(
    ("answers", "apart"),
    [
        pytest.param([STORED] * 2, HOUR, id="twice"),
        pytest.param([STORED] * 3, HOUR - SECOND, id="too soon after each other"),
        pytest.param([STORED, PostAnswered(500, digest="b"), STORED], HOUR, id="other bodies"),
        pytest.param([STORED, PostAnswered(502, digest="a"), STORED], HOUR, id="other statuses"),
        pytest.param([PostAnswered(429, digest="a")] * 9, HOUR, id="a 429"),
        pytest.param([PostLost("timeout")] * 9, HOUR, id="lost answers"),
    ],
)
def test_the_epoch_does_not_rise_for(answers, apart):
    assert epoch(repeated(*answers, apart=apart)) == 0


def test_answers_that_come_too_soon_are_not_counted_but_later_ones_are():
    assert epoch(repeated(*[STORED] * 5, apart=HOUR / 2)) == 1


def test_the_epoch_does_not_rise_where_the_state_moved():
    due = repeated(*[STORED] * SAME_500)
    assert before(due, found("queued")).request.status is Status.ACCEPTED


def test_what_was_accepted_once_keeps_its_key_whatever_the_second_asking_brings():
    due = repeated(*[STORED] * SAME_500, due=work(accepted_at=NOW - 4 * DAY, reasks=1))
    assert epoch(due) == 0


# --- shadow, and what cannot be ----------------------------------------------------------


def test_shadow_holds_a_pending_request_for_a_person():
    settlement = hold_for_shadow(work())
    assert (settlement.request.status, settlement.request.reason) == (Status.HELD, "shadow")
    (told,) = settlement.events
    said = {"generation": 1, "reason": "shadow", "was": "pending"}
    assert (told.name, told.fields) == ("request.held", said)


def test_only_what_is_pending_is_delivered():
    with pytest.raises(IllegalTransition):
        hold_for_shadow(work(Status.ACCEPTED))
    with pytest.raises(IllegalTransition):
        before(work(Status.SKIPPED), NotListed("not_listed_yet"))


# --- one effect, whatever fails ----------------------------------------------------------


@dataclass
class Stenobird:
    """The far end: what its episode's state is, and how often it began a transcription."""

    keeps_keys: bool  # answers a key it knows with what it answered before, without effect
    shows_queue: bool  # the state moves when a transcription begins
    faults: list[str]
    state: str = "new"
    effects: int = 0
    stored: dict[str, int] = field(default_factory=dict)

    def post(self, key: str) -> PostOutcome:
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "refused":
            return PostNotSent("refused")
        if fault == "lost on the way":
            return PostLost("timeout")
        if fault in {"404", "429", "403"}:
            return PostAnswered(int(fault))
        if self.keeps_keys and key in self.stored:
            http = self.stored[key]
        else:
            http = 500 if fault == "stores a 500" else 202
            self._begin(http)
            self.stored[key] = http
        return PostLost("connection_lost") if fault == "answer lost" else PostAnswered(http)

    def _begin(self, http: int) -> None:
        if http == 202:
            self.effects += 1
            self.state = "queued" if self.shows_queue else self.state


FAULTS = ("none", "refused", "lost on the way", "answer lost", "404", "429", "403", "crash")


def deliver(far: Stenobird, due: Work, now: datetime) -> Work:
    """Make one attempt, as the job does."""
    crash = far.faults[:1] == ["crash"]
    decision = before_post(due, found(far.state), now=now, jitter=0, rules=DELIVERY)
    if isinstance(decision, Settlement):
        return replace(due, request=decision.request)
    outcome = far.post(decision.key)
    if crash:
        return replace(due, request=decision.request)
    settlement = after_post(due, decision, outcome, now=now, jitter=0, rules=DELIVERY)
    return replace(due, request=settlement.request)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([(True, True), (True, False), (False, True)]),
    st.lists(st.sampled_from([*FAULTS, "stores a 500"]), max_size=12),
)
def test_a_request_has_one_effect_whatever_fails(kind, faults):
    """Either Stenobird keeps keys or it shows what began: with neither, nobody could do it."""
    far = Stenobird(*kind, faults=list(faults))
    due, now = work(), NOW
    for _ in range(80):
        if due.request.status is not Status.PENDING:
            break
        due = deliver(far, due, now)
        now = max(now + SECOND, due.request.next_attempt_at)
    assert due.request.status is Status.ACCEPTED
    assert far.effects == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(FAULTS), max_size=8))
def test_a_stalled_request_that_is_asked_again_has_no_second_effect(faults):
    far = Stenobird(True, True, faults=list(faults))
    due, now = work(), NOW
    for _ in range(120):
        if due.request.status is Status.PENDING:
            due = deliver(far, due, now)
        else:
            seen = replace(due.episode, processing_state=far.state)
            look = tracking.look(
                replace(due, episode=seen), found(far.state), now=now, jitter=0, rules=DELIVERY
            )
            due = replace(due, request=look.settlement.request) if look.settlement else due
        now += timedelta(hours=6)
    assert (due.request.status, due.request.reasks) == (Status.ACCEPTED, 1)
    assert far.effects == 1
