"""Cutting: any document, in any pieces, into the same items."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import cut
from monitor.core.cut import (
    NO_MARK,
    Cutter,
    Item,
    UncutError,
    check_attributes,
    check_depth,
    digest,
)
from monitor.core.model import ParseError

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.xml"))
HEADER = b"<?xml version='1.0'?><rss><channel><title>T</title><description>d</description>"
FOOTER = b"<link>https://x.example/</link></channel></rss>"
# What may stand in an item, and what is left of it.
PARTS = {
    b"<guid>1</guid>": None,
    b"<title><![CDATA[a </item> <b> ]] ]]></title>": None,
    b"<!-- </item> -- > <description> -->": None,
    b"<?php echo '</item>' ?>": None,
    b'<link href="x>y"/>': None,
    b"\n  ": None,
    b"<description>plain &lt;p&gt;</description>": b"",
    b"<description><![CDATA[<p></item></description>]]></description>": b"",
    b"<content:encoded \n><p>x<br/></p></content:encoded >": b"",
    b'<itunes:image href="i.jpg"/>': b"",
    b"<author><name>N</name><!-- </author> --></author>": b"",
    b"<itunes:duration>60</itunes:duration>": None,
    b"<descriptions>kept</descriptions>": None,
}
ITEMS = st.lists(st.lists(st.sampled_from(sorted(PARTS)), max_size=6), max_size=6)


def written(parts: list[bytes]) -> bytes:
    return b"<item>" + b"".join(parts) + b"</item>"


def left(parts: list[bytes]) -> bytes:
    kept = (part if PARTS[part] is None else PARTS[part] for part in parts)
    return b"<item>" + b"".join(kept) + b"</item>"


def cut_up(
    body: bytes, size: int = 1 << 30, known: dict[bytes, bytes] | None = None
) -> tuple[list[Item], tuple[bytes, bytes]]:
    cutter, items = Cutter(known or {}), []
    for at in range(0, len(body), size):
        items += cutter.feed(body[at : at + size])
    items += cutter.finish()
    assert cutter.items == len(items)
    return items, cutter.frame


def bare(frame: tuple[bytes, bytes]) -> bytes:
    """Return a frame without white space: what stands between items of known marks is not kept."""
    return b"".join(b"".join(frame).split())


@given(ITEMS, st.integers(1, 50))
def test_any_items_in_any_pieces_are_cut_out_without_what_nobody_reads(items, size):
    body = HEADER + b"\n".join(map(written, items)) + FOOTER
    cut_out, (header, footer) = cut_up(body, size)
    assert [item.text for item in cut_out] == [left(parts) for parts in items]
    assert bare((header, footer)) == bare((HEADER, FOOTER))


@given(ITEMS, st.integers(1, 50), st.data())
def test_items_of_known_marks_are_the_same_items(items, size, data):
    body = HEADER + b"\n".join(map(written, items)) + FOOTER
    before, frame = cut_up(body)
    marks = {item.mark: item.digest for item in before if item.mark != NO_MARK}
    known = {mark: marks[mark] for mark in marks if data.draw(st.booleans())}
    after, same_frame = cut_up(HEADER.replace(b"d<", b"e<") + body[len(HEADER) :], size, known)
    assert [item[:2] for item in after] == [item[:2] for item in before]
    assert bare(same_frame).replace(b"e<", b"d<") == bare(frame)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_document_is_cut_the_same_in_pieces_of_any_size(path):
    body = path.read_bytes()
    try:
        whole = cut_up(body)
    except (UncutError, ParseError) as error:
        for size in (1, 7, 100):
            with pytest.raises(type(error)):
                cut_up(body, size)
        return
    assert all(cut_up(body, size) == whole for size in (1, 7, 100))


def test_only_a_stretch_that_is_one_item_and_nothing_else_has_a_mark():
    plain = written([b"<guid>1</guid>"])
    body = HEADER + plain + b"<link>between</link>" + plain + b" \n" + plain + FOOTER
    marks = [item.mark for item in cut_up(body)[0]]
    assert [mark == NO_MARK for mark in marks] == [False, True, False]


def test_two_items_before_one_end_tag_have_no_mark():
    body = HEADER + b"<item><guid>1</guid></item >" * 2 + b"<item></item>" + FOOTER
    items, _ = cut_up(body)
    assert [item.mark for item in items] == [NO_MARK] * 3


# --- what is not cut ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(b"<item><item></item></item>", id="an item in an item"),
        pytest.param(b"<item></item></item>", id="an end without a start"),
        pytest.param(b"<item/><item></item>", id="an item that closes itself"),
        pytest.param(b"<item><description>x</item>", id="an unread element without an end"),
        pytest.param(
            b"<item><description><description></description></item>", id="one within another"
        ),
        pytest.param(b"<item><![CDATA[x</item>", id="an open CDATA section"),
        pytest.param(b'<item xml:base="x"></item>', id="a base of its own"),
        pytest.param(
            b'<item><content xml:base="x">y</content></item>', id="a base in what is not read"
        ),
        pytest.param(b"<item><guid>1</guid>", id="an item without an end"),
        pytest.param(b"<a>" * 100_000, id="a long frame"),
    ],
)
def test_what_is_not_certain_is_not_cut(inside):
    with pytest.raises(UncutError):
        cut_up(HEADER + inside + FOOTER, 64)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_wide_characters_are_not_cut(encoding):
    with pytest.raises(UncutError):
        cut_up((HEADER + written([]) + FOOTER).decode().encode(encoding))


@pytest.mark.parametrize("name", ["shift_jis", "gb18030", "utf-7", "iso-2022-jp"])
def test_encodings_in_which_ascii_may_mean_something_else_are_not_cut(name):
    declared = b"<?xml version='1.0' encoding='%b'?>" % name.encode()
    with pytest.raises(UncutError):
        cut_up(declared + HEADER[21:] + written([]) + FOOTER)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<!DOCTYPE rss [<!ENTITY x 'y'>]>" + HEADER, "entities"),
        (HEADER + b"<item></item>" * 20_001, "too_many_items"),
        (HEADER + b"<item><title>%b" % (b"x" * 300_000), "item_too_large"),
    ],
)
def test_what_costs_too_much_is_refused(body, reason):
    with pytest.raises(ParseError) as refused:
        cut_up(body + FOOTER, 65_536)
    assert refused.value.reason == reason


def test_many_attributes_and_deep_nesting_are_refused():
    check_attributes(b"<a %b/>" % b" ".join([b'b="x"'] * 256))
    with pytest.raises(ParseError, match="too_many_attributes"):
        check_attributes(b"<a %b/>" % b" ".join([b"b='x'"] * 257))
    check_depth(b"<a>" * 100 + b"</a>" * 100 + b"<![CDATA[%b]]>" % (b"<a>" * 200))
    with pytest.raises(ParseError, match="too_deep"):
        check_depth(b"<a>" * 101)


# --- time ---------------------------------------------------------------------------------


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"<item><![CDATA[" + b"x" * 7_000_000, id="one CDATA section"),
        pytest.param(b"<item><!--" + b"</item>" * 1_000_000, id="a million ends in a comment"),
        pytest.param(b"<item><description>" + b"</item>" * 1_000_000, id="and in a text"),
        pytest.param(b"<itunes:a>" * 20_000, id="unread tags in the header"),
        pytest.param(b"<item>" + b"<itunes:a>" * 500_000, id="unread tags in an item"),
        pytest.param(b"<item>" + b"<![CDATA[" * 500_000, id="starts of CDATA sections"),
        pytest.param(b"<" * 3_000_000, id="starts of tags"),
        pytest.param(b"<item " * 1_000_000, id="starts of items"),
    ],
)
def test_no_document_costs_more_than_its_length(endless):
    with pytest.raises((UncutError, ParseError)):
        cut_up(HEADER + endless, 65_536)


# --- digests ------------------------------------------------------------------------------

ONE = (
    b"<item>\n <guid>1</guid><title>A title</title>"
    b'<enclosure url="https://cdn.example/1.mp3?a=1" length="5" type="audio/mpeg"/></item>'
)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (b"?a=1", b"?a=2&amp;sig=x"),
        (b"?a=1", b""),
        (b"\n ", b""),
        (b"<guid>", b"\t\n<guid>"),
    ],
)
def test_white_space_between_tags_and_the_query_of_an_address_are_no_change(before, now):
    assert digest(ONE.replace(before, now)) == digest(ONE)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (b">1<", b">2<"),
        (b"A title", b"A  title"),
        (b"A title", b"A title?"),
        (b"A title", b'A "title?x" y'),
        (b"/1.mp3", b"/2.mp3"),
        (b'"5"', b'"6"'),
        (b"audio/mpeg", b"audio/mp4"),
        (b"<guid>", b"<guid isPermaLink='false'>"),
    ],
)
def test_everything_else_is_a_change(before, now):
    assert digest(ONE.replace(before, now)) != digest(ONE)


def test_a_change_of_one_byte_is_another_mark():
    stretches = [ONE, *(ONE[:at] + b"_" + ONE[at + 1 :] for at in range(len(ONE)))]
    marks = sorted(map(cut._mark, stretches))
    assert all(before != after for before, after in pairwise(marks))
