"""A document compared with the last one while it comes in: the same reading for less."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.cut import UncutError
from monitor.core.model import Edition, Fetched, ParseError, Reading, Validators
from monitor.core.parse import read_whole
from monitor.core.sweep import CALM, Sweep
from tests.core.scenarios import NOW

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.xml"))
PIECE = 500
LONG = "x" * 2_000  # notes that nobody reads


def item(n: int, title: str = "", *, at: datetime | None = None, guid: str = "") -> str:
    date = (at or NOW + timedelta(days=n)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return (
        f"<item>{guid or f'<guid>{n}</guid>'}<title>{title or f'Episode {n}'}</title>"
        f"<description>{LONG}</description><pubDate>{date}</pubDate>"
        f'<enclosure url="https://cdn.example/{n}.mp3" type="audio/mpeg" length="9"/></item>'
    )


def document(*items: str, built: int = 0) -> bytes:
    head = f"<rss><channel><title>T</title><lastBuildDate>{built}</lastBuildDate>"
    return (head + "".join(items) + "</channel></rss>").encode()


def swept(body: bytes, last: Edition | None = None, *, head: bool = False) -> tuple[Sweep, int]:
    """Return a sweep of *body*, and how many of its bytes it took."""
    sweep = Sweep(last, may_stop=head)
    for at in range(0, len(body), PIECE):
        if not sweep.take(body[at : at + PIECE]):
            return sweep, at + PIECE
    sweep.finish()
    return sweep, len(body)


class Shelf:
    """What is remembered of a feed, from document to document."""

    def __init__(self) -> None:
        self.edition: Edition | None = None
        self.reading: Reading | None = None

    def see(self, body: bytes, *, head: bool = False) -> Sweep:
        """Take a document as a poll does."""
        sweep, taken = swept(body, self.edition, head=head)
        fetched = Fetched(Validators(), taken, taken, complete=sweep.complete)
        if sweep.repeats:
            self.edition = sweep.edition(fetched, None)
            return sweep
        try:
            reading = sweep.read(self.reading)
        except UncutError:
            assert sweep.complete
            reading = read_whole(body)
        self.edition, self.reading = sweep.edition(fetched, reading), reading
        return sweep


def shelf(*bodies: bytes) -> Shelf:
    kept = Shelf()
    for body in bodies:
        kept.see(body)
    return kept


SHOW = [item(n) for n in range(60, 0, -1)]


def test_the_same_items_under_another_header_are_a_repetition():
    kept = shelf(document(*SHOW))
    assert kept.see(document(*SHOW, built=1)).repeats


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([item(61), *SHOW], id="a new one"),
        pytest.param([item(60, "Edited"), *SHOW[1:]], id="an edited one"),
        pytest.param(SHOW[:30] + SHOW[31:], id="one is gone"),
        pytest.param([SHOW[1], SHOW[0], *SHOW[2:]], id="two changed places"),
        pytest.param(SHOW[:59], id="the last is gone"),
        pytest.param([*SHOW, SHOW[0]], id="one comes twice"),
        pytest.param([], id="all are gone"),
    ],
)
def test_anything_else_is_read_and_says_what_the_whole_document_says(items):
    kept = shelf(document(*SHOW))
    assert not kept.see(document(*items)).repeats
    assert kept.reading == read_whole(document(*items))


def test_a_document_of_which_nothing_is_remembered_is_no_repetition():
    assert not swept(document())[0].repeats


# --- heads --------------------------------------------------------------------------------


def test_of_a_calm_feed_the_head_is_enough():
    kept = shelf(document(*SHOW), document(*SHOW, built=1))
    assert kept.edition.calm == CALM
    sweep = kept.see(document(*SHOW, built=2), head=True)
    assert (sweep.complete, sweep.repeats, len(sweep.items)) == (False, True, 3)


def test_short_items_must_be_twenty():
    short = [text.replace(LONG, "") for text in SHOW * 1]
    many = [item(n).replace(LONG, "") for n in range(2000, 0, -1)]
    kept = shelf(document(*many), document(*many, built=1))
    sweep = kept.see(document(*many, built=2), head=True)
    assert not sweep.complete
    assert len(sweep.items) >= 20 or sum(map(len, many[: len(sweep.items)])) >= 1000
    assert len(short) == 60


def test_new_items_at_the_top_are_found_by_the_head():
    kept = shelf(document(*SHOW))
    now = document(item(62), item(61), *SHOW)
    sweep = kept.see(now, head=True)
    assert (sweep.complete, sweep.repeats) == (False, False)
    assert kept.reading.items == read_whole(now).items
    assert kept.see(now).repeats


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([SHOW[1], SHOW[0], *SHOW[2:]], id="another order"),
        pytest.param([item(60, "Edited"), *SHOW[1:]], id="an edited item"),
        pytest.param(SHOW[1:], id="one is gone"),
        pytest.param([SHOW[30], *SHOW], id="an old one on top"),
    ],
)
def test_where_the_head_is_not_the_last_one_all_is_read(items):
    kept = shelf(document(*SHOW))
    assert kept.see(document(*items), head=True).complete
    assert kept.reading == read_whole(document(*items))


CHANGES = st.lists(
    st.sampled_from(["new", "new", "two", "edit", "gone", "back", "swap", "none"]), max_size=8
)


@settings(max_examples=60)
@given(CHANGES, st.data())
def test_whatever_becomes_of_a_feed_what_is_remembered_is_what_it_says(changes, data):
    shown = [item(n) for n in range(30, 0, -1)]
    kept, newest, gone = shelf(document(*shown)), 30, [item(1000)]
    for built, change in enumerate(changes):
        at = data.draw(st.integers(0, len(shown) - 1))
        if change in ("new", "two"):
            for _ in range(1 + (change == "two")):
                newest += 1
                shown.insert(0, item(newest))
        elif change == "edit":
            shown[at] = shown[at].replace("Episode", "An edited episode")
        elif change == "gone":
            gone.append(shown.pop(at))
        elif change == "back":
            shown.insert(at, gone.pop())
            gone = gone or [item(2000 + built)]
        elif change == "swap":
            shown[0], shown[at] = shown[at], shown[0]
        body = document(*shown, built=built)
        sweep = kept.see(body, head=data.draw(st.booleans()))
        if sweep.complete:
            assert kept.reading == read_whole(body)
        elif change in ("new", "two", "none"):  # only the head was read, and only it changed
            assert len(kept.reading.items) >= len(sweep.items)
    kept.see(document(*shown, built=99))
    assert kept.reading == read_whole(document(*shown))


# --- what is remembered -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "calm"),
    [
        pytest.param(SHOW, 2, id="the same"),
        pytest.param([item(61), *SHOW], 2, id="a new one"),
        pytest.param(SHOW[::-1], 0, id="oldest first"),
        pytest.param(SHOW[:50], 0, id="a sixth is gone"),
    ],
)
def test_a_feed_is_calm_that_is_newest_first_and_keeps_its_items(items, calm):
    assert shelf(document(*SHOW), document(*items)).edition.calm == calm


def test_an_item_without_a_guid_makes_its_document_be_read_whole():
    bare = item(1, guid=" ")
    kept = shelf(document(*SHOW, bare))
    assert not kept.edition.alone
    assert kept.see(document(*SHOW, bare, built=1)).repeats
    changed = document(item(61), *SHOW, bare)
    with pytest.raises(UncutError):
        swept(changed, kept.edition)[0].read(kept.reading)
    kept.see(changed)
    assert kept.reading == read_whole(changed)


def test_what_is_not_well_formed_is_read_whole_and_remembered_all_the_same():
    broken = document(item(61, "You & I"), *SHOW)
    kept = shelf(broken)
    assert kept.reading == read_whole(broken)
    assert kept.see(broken.replace(b">0<", b">1<")).repeats
    more = document(item(62), item(61, "You & I"), *SHOW)
    kept.see(more)
    assert kept.reading == read_whole(more)


def test_what_cannot_be_cut_is_remembered_by_nothing():
    nested = document(item(61).replace("<guid>", "<item></item><guid>"))
    kept = shelf(nested)
    assert (kept.edition.marks, kept.edition.digests) == (b"", b"")
    assert not kept.see(nested).repeats


def test_what_was_said_by_another_document_is_not_believed():
    kept = shelf(document(*SHOW))
    other = replace(kept.reading, items=kept.reading.items[1:])
    with pytest.raises(UncutError):
        swept(document(item(61), *SHOW), kept.edition)[0].read(other)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty_body"),
        (b"<!DOCTYPE html><html><item></item>", "html_page"),
        (b"<opml></opml>", "not_a_feed"),
        (document(*SHOW)[:-9], "truncated"),
        (b"<!DOCTYPE rss [<!ENTITY a 'b'>]>" + document(*SHOW), "entities"),
    ],
)
def test_what_is_no_whole_feed_is_refused(body, reason):
    with pytest.raises(ParseError) as refused:
        swept(body)[0].read(None)
    assert refused.value.reason == reason


def test_who_asks_for_all_of_a_refused_document_is_told_that_it_is_enough():
    sweep, taken = swept(b"<!DOCTYPE rss [<!ENTITY a 'b'>]>" + document(*SHOW))
    assert taken < 10 * PIECE
    assert sweep.refusal.reason == "entities"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_document_says_the_same_cut_as_whole(path):
    body = path.read_bytes()
    try:
        reading = swept(body)[0].read(None)
    except (UncutError, ParseError):
        return
    assert reading == read_whole(body)
