"""The operator's verbs: what each does in every status, and that a second one does nothing."""

import pytest

from monitor.core import operator
from monitor.core.lifecycle import IllegalTransition, Status
from tests.core.scenarios import HOUR, NOW, work

BY = "a guest asked for it"


def done(verb, before):
    """Return the status that a verb leads to, or what it says instead."""
    try:
        settlement = operator.VERBS[verb](before, BY, now=NOW)
    except IllegalTransition:
        return "illegal"
    return settlement.request.status.value if settlement else "nothing"


@pytest.mark.parametrize(
    ("verb", "status", "result"),
    [
        ("request", "pending", "nothing"),
        ("request", "accepted", "nothing"),
        ("request", "processed", "nothing"),
        ("request", "failed", "nothing"),
        ("request", "skipped", "pending"),
        ("request", "held", "pending"),
        ("release", "pending", "nothing"),
        ("release", "accepted", "nothing"),
        ("release", "processed", "nothing"),
        ("release", "failed", "nothing"),
        ("release", "skipped", "nothing"),
        ("release", "held", "pending"),
        ("skip", "pending", "skipped"),
        ("skip", "accepted", "illegal"),
        ("skip", "processed", "nothing"),
        ("skip", "failed", "nothing"),
        ("skip", "skipped", "nothing"),
        ("skip", "held", "skipped"),
    ],
)
def test_a_verb_does_in_each_status(verb, status, result):
    assert done(verb, work(Status(status), reason="bulk")) == result


@pytest.mark.parametrize("verb", operator.VERBS)
def test_a_verb_repeated_does_nothing(verb):
    once = operator.VERBS[verb](work(Status.HELD), BY, now=NOW).request
    assert done(verb, work(once.status)) == "nothing"


@pytest.mark.parametrize(
    ("verb", "event"),
    [
        ("request", "request.released"),
        ("release", "request.released"),
        ("skip", "request.skipped"),
    ],
)
def test_a_verb_tells_what_held_it_back_and_why_a_person_let_it_go(verb, event):
    settlement = operator.VERBS[verb](work(Status.HELD, reason="bulk"), BY, now=NOW)
    (told,) = settlement.events
    said = {"generation": 1, "reason": "bulk", "was": "held", "by": BY}
    assert (told.name, {key: told.fields[key] for key in said}) == (event, said)
    reason = "operator" if verb == "skip" else None
    assert (settlement.request.reason, settlement.request.next_attempt_at) == (reason, NOW)


def test_what_is_let_go_keeps_what_is_known_of_its_posts():
    held = work(Status.HELD, outcome_unknown=True, first_posted_at=NOW - HOUR, attempts=2, epoch=1)
    after = operator.release(held, BY, now=NOW).request
    assert after.outcome_unknown
    assert (after.first_posted_at, after.attempts, after.epoch) == (NOW - HOUR, 2, 1)


# --- requeue -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PROCESSED, Status.FAILED, Status.SKIPPED])
def test_requeue_raises_the_generation_of_what_is_settled(status):
    before = work(
        status, generation=2, epoch=3, attempts=9, episode={"processing_state": "processed"}
    )
    (settlement,) = operator.requeue(before, BY, now=NOW)
    anew = settlement.request
    assert (anew.id, anew.generation, anew.epoch, anew.attempts) == (0, 3, 0, 0)
    assert (anew.status, anew.reason) == (Status.PENDING, None)
    assert (anew.created_at, anew.next_attempt_at) == (NOW, NOW)
    assert anew.state_before_post == "processed"
    (told,) = settlement.events
    assert (told.name, told.fields) == (
        "request.requeued",
        {"generation": 3, "was": status.value, "by": BY},
    )


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(work(Status.PENDING), id="pending"),
        pytest.param(work(Status.HELD), id="held"),
        pytest.param(work(Status.ACCEPTED), id="accepted and not yet stalled"),
    ],
)
def test_requeue_does_nothing_while_the_newest_has_yet_to_be_sent_or_to_stall(before):
    assert operator.requeue(before, BY, now=NOW) == ()


def test_requeue_takes_the_place_of_what_stalled_though_it_was_asked_again():
    old, anew = operator.requeue(work(Status.ACCEPTED, reasks=1), BY, now=NOW)
    assert (old.request.status, old.request.reason) == (Status.SKIPPED, "superseded")
    assert old.events == ()
    assert (anew.request.generation, anew.request.status) == (2, Status.PENDING)


def test_requeue_repeated_does_nothing():
    (settlement,) = operator.requeue(work(Status.FAILED), BY, now=NOW)
    again = work(settlement.request.status, generation=settlement.request.generation)
    assert operator.requeue(again, BY, now=NOW) == ()
