"""The checker finds each kind of broken promise in a small history, and nothing in a clean one."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa

from monitor.adapters.store import schema
from monitor.adapters.store.database import connect
from tests.campaigns.checker import check
from tests.campaigns.history import Effect, Exchange, History, Podcast

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
NEVER = NOON + timedelta(days=30)
SLUG = "the-show"
PATH = f"/v1/public/podcasts/{SLUG}/episodes/new"
POST_PATH = f"{PATH}/transcription-requests"


def key(guid="new", generation=1, epoch=0):
    return sha256(f"{SLUG}\n{guid}\n{generation}\n{epoch}".encode()).hexdigest()


def at(minutes, seconds=0):
    return NOON + timedelta(minutes=minutes, seconds=seconds)


# --- one clean history: an old episode is held, a new one is POSTed twice with one effect ------

STORY = (
    (0, "episode.discovered", "old", {"request": "held", "reason": "baseline"}),
    (5, "episode.discovered", "new", {"request": "pending", "reason": None}),
    (5, "request.enqueued", "new", {"generation": 1}),
    (6, "state.changed", "new", {"from": None, "to": "idle"}),
    (6, "request.posted", "new", {"generation": 1, "attempt": 1, "epoch": 0}),
    (7, "request.deferred", "new", {"generation": 1, "reason": "timeout"}),
    (9, "request.posted", "new", {"generation": 1, "attempt": 2, "epoch": 0}),
    (9, "request.accepted", "new", {"generation": 1, "http": 202}),
    (9, "problem.opened", "new", {"problem": "request_unlisted", "reason": "odd"}),
    (30, "state.changed", "new", {"from": "idle", "to": "processed"}),
    (30, "request.processed", "new", {"generation": 1, "reason": "processed"}),
    (30, "problem.recovered", "new", {"problem": "request_unlisted", "reason": "odd"}),
)


def events():
    return [
        {
            "seq": seq,
            "at": at(minutes),
            "name": name,
            "level": "info",
            "podcast": "show",
            "guid": guid,
            "fields": fields,
        }
        for seq, (minutes, name, guid, fields) in enumerate(STORY, 1)
    ]


def episode(number, guid, state):
    return {
        "id": number,
        "podcast_id": 1,
        "guid": guid,
        "title": f"The {guid} one",
        "former_titles": [],
        "audio_url": f"https://cdn.example/{guid}.mp3",
        "first_seen_at": NOON,
        "present": True,
        "processing_state": state,
        "next_track_at": NEVER,
    }


def request(number, status, reason=None):
    return {
        "id": number,
        "episode_id": number,
        "generation": 1,
        "newest": True,
        "epoch": 0,
        "status": status,
        "reason": reason,
        "attempts": 0,
        "next_attempt_at": NEVER,
        "created_at": NOON,
        "outcome_unknown": False,
        "reasks": 0,
        "same_count": 0,
    }


def post(number, minutes, outcome):
    return {
        "id": number,
        "request_id": 2,
        "at": at(minutes),
        "key": key(),
        "url": POST_PATH,
        "audio_minutes": 60,
        "outcome": outcome,
        "in_vain": False,
    }


def write(url):
    podcast = {"id": 1, "name": "show", "slug": SLUG, "url": "http://feed", "configured": True}
    aliases = [
        {"podcast_id": 1, "kind": "guid", "value": guid, "episode_id": number, "added_at": NOON}
        for number, guid in ((1, "old"), (2, "new"))
    ]
    rows = {
        "podcasts": [podcast | {"next_poll_at": NEVER}],
        "episodes": [episode(1, "old", None), episode(2, "new", "processed")],
        "aliases": aliases,
        "requests": [request(1, "held", "baseline"), request(2, "processed", "processed")],
        "posts": [post(1, 6, "timeout"), post(2, 9, "http_202")],
        "events": events(),
        "counters": [{"name": "seq", "value": len(STORY)}, {"name": "logged", "value": 0}],
    }
    with closing(connect(url)) as database, database.engine.begin() as conn:
        schema.metadata.create_all(conn)
        for name, each in rows.items():
            conn.execute(sa.insert(schema.metadata.tables[name]), each)


def log():
    return [
        {
            "seq": event["seq"],
            "at": f"{event['at']:%FT%T}.000Z",
            **{name: event[name] for name in ("level", "podcast", "guid")},
            "event": event["name"],
            **event["fields"],
        }
        for event in events()
    ]


def get(minutes):
    return Exchange(at(minutes), "GET", PATH, status=200)


def posted(minutes, status=202, body="empty"):
    return Exchange(at(minutes), "POST", POST_PATH, key(), status, body)


def history(url):
    return History(
        database=url,
        log=[log()],
        podcasts=[
            Podcast(
                name="show",
                listed=frozenset({"old", "new"}),
                ever=frozenset({"old", "new"}),
                wanted=frozenset({"new"}),
                unwanted=frozenset({"old"}),
                polls=[Exchange(at(n), "GET", "/feed") for n in (0, 5, 10)],
                min_gap_s=300,
            )
        ],
        effects=[Effect(at(6), "show", "new", key())],
        stenobird=[get(6), posted(6, None), get(9), posted(9)],
        remembers=True,
        per_minute=2,
        audio_minutes_per_day=100,
        quiet=True,
        ends={("show", "new"): "processed"},
        origins=frozenset({"http://feed", "http://stenobird"}),
        dialled=frozenset({"http://feed"}),
    )


def test_nothing_is_found_in_a_clean_history(empty_url):
    write(empty_url)
    assert check(history(empty_url)) == []


# --- and what is found in others ---------------------------------------------------------------


@pytest.fixture
def url(tmp_path):
    address = f"sqlite:///{tmp_path / 'history.db'}"
    write(address)
    return address


def spoil(url, statement):
    """Change a row behind everybody's back, as no constraint would let it."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as conn:
        conn.execute(statement)
        conn.commit()


ROWS = {  # what is done to the rows → what is said of it
    "DELETE FROM events WHERE seq = 3": "event 4 (state.changed): expected number 3",
    "UPDATE counters SET value = 99 WHERE name = 'seq'": "the counter seq is 99: expected 12",
    "UPDATE counters SET value = 99 WHERE name = 'logged'": "logged up to 99: expected at most 12",
    "UPDATE aliases SET value = 'x' WHERE value = 'new'": "show x: known, but it was never publis",
    "UPDATE episodes SET guid = 'x' WHERE id = 1": "show x: known, but it was never published",
    "UPDATE aliases SET episode_id = 1": "show new: its guid leads to episode 1, expected 2",
    "UPDATE episodes SET title = 't', audio_url = 'u'": "one episode, of one title and file",
    "UPDATE posts SET key = 'random' WHERE id = 2": f"expected key {key()}, found random",
    "UPDATE posts SET url = '/else' WHERE id = 2": f"expected address {POST_PATH}, found /else",
    "DELETE FROM posts WHERE id = 2": "expected 2 POSTs as told by its events, found 1",
    "UPDATE posts SET request_id = 9": "a POST of request 9, which does not exist",
    "UPDATE requests SET status = 'failed' WHERE id = 2": "its events lead to {1: 'processed'}",
    "UPDATE events SET name = 'request.accepted' WHERE seq = 11": "which is accepted",
    "UPDATE events SET name = 'request.skipped' WHERE seq = 11": "which is accepted",
    "UPDATE events SET guid = 'gone' WHERE seq = 1": "events tell of it, but there is no such",
    "UPDATE events SET name = 'episode.discovered', fields = '{\"request\": \"pending\"}'"
    " WHERE seq = 3": "discovered a second time",
    "UPDATE events SET name = 'request.requeued', fields = '{\"generation\": 3}'"
    " WHERE seq = 11": "expected generation 2, found 3",
    'UPDATE events SET fields = \'{"from": "x", "to": "processed"}\' WHERE seq = 10': (
        "expected from 'idle', found 'x'"
    ),
    "UPDATE episodes SET processing_state = 'queued' WHERE id = 2": "lead to the state 'processed'",
    "UPDATE events SET name = 'problem.reminded' WHERE seq = 9": "request_unlisted is not open",
    "UPDATE events SET name = 'problem.reminded' WHERE seq = 12": "by its events True, in the table",
    "UPDATE requests SET status = 'pending', next_attempt_at = '2026-10-01 12:00:00.000000'"
    " WHERE id = 2": "request 2: due since 2026-10-01 12:00:00+00:00, and nothing happened",
    "UPDATE requests SET status = 'accepted' WHERE id = 2": "expected processed or failed, found",
    "UPDATE episodes SET lease = 't', leased_until = '2026-10-02 00:00:00.000000'": "nobody is there",
    "UPDATE podcasts SET lease = 't', leased_until = '2026-10-02 00:00:00.000000'": (
        "feed of podcast 1: leased until"
    ),
    "INSERT INTO problems VALUES ('feed_failing', 'show', '', 'dns', '2026-10-01 12:00:00.000000',"
    " 3, '2026-10-01 12:00:00.000000', NULL)": "problem feed_failing (dns) of show  stands",
    "UPDATE posts SET audio_minutes = 60, request_id = id": "120 minutes of audio written down",
    "UPDATE posts SET request_id = 1 WHERE id = 1": "show old: not wanted, but a POST was begun",
    "UPDATE events SET level = 'error' WHERE seq = 2": "level is 'info', expected 'error'",
}


@pytest.mark.parametrize(("statement", "said"), ROWS.items(), ids=list(ROWS.values()))
def test_a_broken_row_is_found(url, statement, said):
    spoil(url, statement)
    found = check(history(url))
    assert any(said in what for what in found), found


def _podcast(before, **changes):
    return replace(before, podcasts=[replace(before.podcasts[0], **changes)])


LINES = log()
ELSEWHERE = {  # what else is different → what is said of it
    "log 1: line 1 after line 2": lambda h: replace(h, log=[[LINES[1], LINES[0], *LINES[2:]]]),
    "1 committed events never reached the log, such as [12]": lambda h: replace(
        h, log=[LINES[:-1]]
    ),
    "line 13 (None) was never committed": lambda h: replace(h, log=[[*LINES, {"seq": 13}]]),
    "line 5: at is '2026-10-01T12:05:59.999Z', expected '2026-10-01T12:06:00.000Z'": lambda h: (
        replace(h, log=[[*LINES[:4], LINES[4] | {"at": "2026-10-01T12:05:59.999Z"}, *LINES[5:]]])
    ),
    "reason is 'other', expected 'processed'": lambda h: replace(
        h, log=[[*LINES[:10], LINES[10] | {"reason": "other"}, LINES[11]]]
    ),
    "show late: listed, but not known": lambda h: _podcast(
        h, listed=frozenset({"late"}), ever=frozenset({"old", "new", "late"})
    ),
    "polled at 2026-10-01 12:04:00+00:00, 240.000 s after": lambda h: _podcast(
        h, polls=[Exchange(at(n), "GET", "/feed") for n in (0, 4)]
    ),
    "show old: not wanted, but transcribed 1 times": lambda h: replace(
        h, effects=[*h.effects, Effect(at(7), "show", "old", key("old"))]
    ),
    "generation 1: expected one effect, found 2": lambda h: replace(h, effects=h.effects * 2),
    "expected 1 effects, found 0": lambda h: replace(h, effects=[]),
    "expected 2 effects, found 1": lambda h: replace(h, generations={"new": 2}),
    "expected one of its own, found that of None": lambda h: replace(
        h, effects=[Effect(at(6), "show", "new", "random")]
    ),
    "expected a GET since the one before, found none": lambda h: replace(
        h, stenobird=[get(6), posted(6), posted(9)]
    ),
    "3 POSTs arrived, 2 were written down": lambda h: replace(
        h, stenobird=[*h.stenobird, get(12), posted(12)]
    ),
    "expected one body, found 2": lambda h: replace(
        h, stenobird=[get(6), posted(6), get(9), posted(9, body="other")]
    ),
    "POSTs arrived from": lambda h: replace(
        h, stenobird=[each for _ in range(3) for each in (get(6), posted(6))]
    ),
    "show new: at Stenobird it is failed, found processed": lambda h: replace(
        h, ends={("show", "new"): "failed"}
    ),
    "a secret, 'sesame', is in": lambda h: replace(
        h, secrets=frozenset({"sesame"}), log=[[*LINES, {"message": "Open sesame!"}]]
    ),
    f"a secret, '{key()}', is in": lambda h: replace(h, log=[[*LINES, {"text": f"<{key()}>"}]]),
    "http://elsewhere was dialled": lambda h: replace(h, dialled=frozenset({"http://elsewhere"})),
}


@pytest.mark.parametrize(("said", "changed"), ELSEWHERE.items(), ids=list(ELSEWHERE))
def test_what_is_wrong_outside_the_database_is_found(url, said, changed):
    found = check(changed(history(url)))
    assert any(said in what for what in found), found


def test_too_many_posts_a_minute_are_found(url):
    found = check(replace(history(url), per_minute=1))
    assert found == []
    spoil(url, "UPDATE posts SET at = (SELECT min(at) FROM posts)")
    (what,) = check(replace(history(url), per_minute=1))
    assert "2 POSTs written down" in what


def test_a_jump_of_the_clock_excuses_what_lies_on_both_its_sides(url):
    hasty = _podcast(history(url), polls=[Exchange(at(n), "GET", "/feed") for n in (0, 4)])
    assert check(hasty)
    assert not check(replace(hasty, jumps=[at(2)]))


def test_one_episode_larger_than_the_budget_is_no_violation(url):
    assert not check(replace(history(url), audio_minutes_per_day=30))


def test_of_a_server_that_remembers_nothing_two_effects_are_no_violation(url):
    twice = replace(history(url), effects=history(url).effects * 2)
    assert check(twice)
    assert not check(replace(twice, remembers=False))


def test_a_line_repeated_by_the_next_process_is_no_violation(url):
    assert not check(replace(history(url), log=[LINES[:5], LINES[4:]]))


def test_what_is_not_quiet_yet_may_be_unsettled(url):
    waiting = replace(history(url), effects=[], quiet=False, log=[LINES[:3]])
    assert not check(waiting)
