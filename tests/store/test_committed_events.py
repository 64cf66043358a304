"""Committed events, the log's cursor, and problems. See test_one_writer for their order."""

from dataclasses import replace

from recorded import DAY, HOUR, MINUTE, NAME, NOON, event, names

from monitor.adapters.store import events, schema
from monitor.core import problems
from monitor.core.problems import Kind


def append(database, *told, at=NOON):
    database.write(events.append, told, at)


def seqs(database, after, **limit):
    return [e.seq for e in database.read(events.after, after, **limit)]


def test_events_are_numbered_from_one_in_their_order(database):
    append(database, event(7), event(8))
    append(database)
    append(database, event(9), at=NOON - DAY)
    committed = database.read(events.after, 0)
    assert [(e.seq, e.event.fields["n"]) for e in committed] == [(1, 7), (2, 8), (3, 9)]
    assert database.read(events.counter, schema.SEQ) == 3


def test_a_cursor_gets_what_follows_it(database):
    append(database, *(event(n) for n in range(5)))
    assert seqs(database, 3) == [4, 5]
    assert seqs(database, 1, limit=2) == [2, 3]
    assert seqs(database, 5) == []


def test_an_episodes_story_is_its_own(database):
    other = event(1, podcast="another")
    append(database, event(1), event(2), other, event(1, name="request.enqueued"), event(guid=None))
    story = database.read(events.of_episode, NAME, "substack:post:1")
    assert [(e.seq, e.event.name) for e in story] == [
        (1, "episode.discovered"),
        (4, "request.enqueued"),
    ]


def test_the_logs_cursor_never_goes_back(database):
    for seq, stands in ((5, 5), (3, 5), (8, 8)):
        database.write(events.set_logged, seq)
        assert database.read(events.counter, schema.LOGGED) == stands


# --- problems ----------------------------------------------------------------------------


def test_a_problem_is_a_row_from_its_first_strike_until_it_is_over(database):
    key = (Kind.FEED_FAILING, NAME)
    assert database.read(events.problem, *key) is None
    problem = None
    for turn in range(3):
        update = problems.strike(
            problem, key[0], reason="dns", now=NOON + turn * 10 * MINUTE, podcast=NAME
        )
        database.write(events.write_problems, [update], NOON + turn * 10 * MINUTE)
        problem = database.read(events.problem, *key)
        assert problem == update.after
        assert database.read(events.problems) == [problem] * (turn == 2)
    over = problems.recover(problem, now=NOON + DAY)
    database.write(events.write_problems, [None, over], NOON + DAY)
    assert database.read(events.problem, *key) is None
    assert names(database) == ["problem.opened", "problem.recovered"]


def test_problems_of_one_kind_are_told_apart(database):
    kind = Kind.REQUEST_STALLED
    updates = [
        problems.strike(None, kind, reason=guid, now=NOON, podcast=NAME, guid=guid)
        for guid in ("a", "b")
    ]
    source = problems.strike(None, Kind.STENOBIRD_FROZEN, reason="http_401", now=NOON - HOUR)
    database.write(events.write_problems, [*updates, source], NOON)
    assert database.read(events.problem, kind, NAME, "b").reason == "b"
    standing = database.read(events.problems)
    assert standing[0] == source.after
    assert (standing[0].podcast, standing[0].guid) == (None, None)
    assert {p.guid for p in standing} == {"a", "b", None}
    gone = replace(updates[0], after=None, events=())
    database.write(events.write_problems, [gone], NOON)
    assert {p.guid for p in database.read(events.problems)} == {"b", None}
