"""The one transition table: every pair of status and event, and the page drawn from it."""

import runpy
from pathlib import Path

import pytest

from monitor.core.lifecycle import SETTLED, TRANSITIONS, Event, IllegalTransition, Status, advance

ROOT = Path(__file__).parents[2]

LEGAL = {
    ("pending", "deferred"): "pending",
    ("pending", "accepted"): "accepted",
    ("pending", "processed"): "processed",
    ("pending", "failed"): "failed",
    ("pending", "held"): "held",
    ("pending", "skipped"): "skipped",
    ("accepted", "processed"): "processed",
    ("accepted", "failed"): "failed",
    ("accepted", "reasked"): "pending",
    ("accepted", "superseded"): "skipped",
    ("held", "released"): "pending",
    ("held", "requested"): "pending",
    ("held", "processed"): "processed",
    ("held", "skipped"): "skipped",
    ("skipped", "requested"): "pending",
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("event", Event)
def test_every_pair_of_status_and_event_leads_where_the_design_says_or_raises(status, event):
    if (status, event) in LEGAL:
        assert advance(status, event) is Status(LEGAL[status, event])
    else:
        with pytest.raises(IllegalTransition, match=f"{event} .* {status}"):
            advance(status, event)


def test_every_status_has_its_place_in_the_table():
    assert set(TRANSITIONS) == set(Status)


def test_every_event_is_legal_somewhere():
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


@pytest.mark.parametrize("status", sorted(set(Status) - SETTLED))
def test_from_every_unsettled_status_each_settled_one_can_be_reached(status):
    reached = {status}
    for _ in Status:
        reached |= {after for before in reached for after in TRANSITIONS[before].values()}
    assert reached >= SETTLED


@pytest.mark.parametrize("status", sorted(SETTLED))
def test_only_a_person_moves_what_is_settled(status):
    assert set(TRANSITIONS[status]) <= {Event.REQUESTED}


def test_the_page_in_the_docs_is_what_the_table_draws(capsys):
    runpy.run_path(str(ROOT / "docs" / "draw_lifecycle.py"), run_name="__main__")
    drawn = capsys.readouterr().out
    assert (ROOT / "docs" / "lifecycle.md").read_text() == drawn, "run make docs"


def test_the_page_draws_every_transition(capsys):
    runpy.run_path(str(ROOT / "docs" / "draw_lifecycle.py"), run_name="__main__")
    drawn = capsys.readouterr().out.splitlines()
    for (before, event), after in LEGAL.items():
        assert f"    {before} --> {after}: {event}" in drawn
        assert f"| {before} | {event} | {after} |" in drawn
