"""What is read of a feed, and what is refused.

``golden/`` holds small feeds (``x.xml``) beside what must be read of them (``x.json``, without
what is None); the guids and titles in them say which rule each item shows.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core import item
from monitor.core.model import Document, ParseError
from monitor.core.parse import TAIL_BYTES, check_whole, parse_feed, read, reading_of

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.xml"))
WELLFORMED = [path for path in GOLDEN if path.stem not in {"illformed", "titles"}]
REASONS = {"empty_body", "html_page", "not_a_feed", "truncated", "unreadable"}

golden = pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)


def shown(document: Document) -> dict[str, Any]:
    """Return a document as the golden files have it."""
    plain = asdict(document)
    plain["episodes"] = [
        {name: _shown(value) for name, value in episode.items() if value is not None}
        for episode in plain["episodes"]
    ]
    plain["ttl"] = document.ttl and str(document.ttl)
    return plain


def _shown(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def refusal(body: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_feed(body)
    return caught.value


def rss(*items: str) -> bytes:
    channel = "<title>A show</title><link>https://show.example/</link>" + "".join(items)
    return f'<rss version="2.0"><channel>{channel}</channel></rss>'.encode()


def entry(inside: str, audio: str = "https://cdn.example/1.mp3") -> str:
    return f'<item>{inside}<enclosure url="{audio}" type="audio/mpeg"/></item>'


AN_ITEM = entry("<guid>1</guid>")


# --- the golden pairs, and what must not change what is read of them ---------------------


@golden
def test_a_feed_is_read_as_its_golden_file_says(path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert shown(parse_feed(path.read_bytes())) == expected


def test_every_golden_feed_has_its_pair():
    assert len(GOLDEN) >= 12
    assert {p.stem for p in GOLDEN} == {p.stem for p in GOLDEN[0].parent.glob("*.json")}


@golden
def test_illformed_xml_elsewhere_changes_nothing_that_is_read(path):
    body = path.read_bytes()
    end = max(found.start() for found in re.finditer(rb"</(rss|feed|rdf:RDF)>", body))
    broken = body[:end] + b"<x>this & that</x>" + body[end:]
    assert read(broken).bozo
    assert parse_feed(broken) == parse_feed(body)


@pytest.mark.parametrize("path", WELLFORMED, ids=lambda path: path.stem)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_the_encoding_changes_nothing_that_is_read(path, encoding):
    text = path.read_text(encoding="iso-8859-1" if path.stem == "latin1" else "utf-8")
    text = re.sub(r' encoding="[^"]*"', "", text, count=1)
    assert parse_feed(text.encode(encoding)) == parse_feed(path.read_bytes())


@golden
def test_no_part_of_a_feed_passes_for_the_whole(path):
    body = path.read_bytes()
    end = max(found.end() for found in re.finditer(rb"</(rss|feed|rdf:RDF)>", body))
    check_whole(body[:end])
    for size in range(end):
        with pytest.raises(ParseError):
            check_whole(body[:size])


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b" \r\n\t", b"\0" * 9, b"\xef\xbb\xbf", b"\xff\xfe\n\0", b"\xef\xbb\xbf \n"]
)
def test_a_body_without_content_is_empty(body):
    assert refusal(body).reason == "empty_body"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"<html><title>Just a moment...</title></html>", "Just a moment..."),
        (b"<!DOCTYPE html><head><title lang='en'>301\n Moved</title></head>", "301 Moved"),
        (b"<!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'><p>Busy", ""),
        (b"<?xml version='1.0'?><h:html xmlns:h='x'><h:title>X</h:title></h:html>", ""),
        ("<html><title>Tom &amp; Jérôme</title>".encode(), "Tom & Jérôme"),
        (b"<html><title>A\x1b[31m red&#27; title\0</title>", "A[31m red title"),
        (b"<html><title>Go to https://portal.example/?token=secret</title>", "Go to …"),
        (b"<html><title>" + b"long " * 100 + b"</title>", ("long " * 20)),
        (b"<html><title>about feeds</title><pre><rss></rss></pre></html>", "about feeds"),
        ("<html><title>UTF-16</title></html>".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_page_instead_of_a_feed_is_refused_by_its_title(body, detail):
    error = refusal(body)
    assert (error.reason, error.detail) == ("html_page", detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error": "too many requests"}', "no element"),
        (b"Rate limited. Try again later.", "no element"),
        (b"\x1f\x8b\x08\x00 still compressed", "no element"),
        (b"<?xml version='1.0'?><opml><head/><body/></opml>", "first element: opml"),
        (b"<urlset xmlns='x'></urlset>", "first element: urlset"),
        (b"<rssfeed></rssfeed>", "first element: rssfeed"),
        (b"<!-- <rss></rss> --><a/>", "first element: rss"),
        (b"<!-- <rss></rss>", "first element: rss"),
    ],
)
def test_what_is_no_feed_is_refused_by_its_first_element(body, detail):
    error = refusal(body)
    assert (error.reason, error.detail) == ("not_a_feed", detail)


@pytest.mark.parametrize(
    "body",
    [
        rss(AN_ITEM)[:-1],
        rss(AN_ITEM)[:-6],
        b"<rss><channel>" + AN_ITEM.encode() + b"</channel>",
        b"<rss><channel><item><description><![CDATA[It ends with </rss> and then",
        b"<rss><channel><item><description><![CDATA[It ends with </rss>",
        b"<feed><entry></entry></rss>",
        rss() + b" " * TAIL_BYTES,
        rss().decode().encode("utf-16")[:-4],
    ],
)
def test_a_body_without_the_end_of_its_root_element_is_truncated(body):
    assert refusal(body).reason == "truncated"


@pytest.mark.parametrize(
    "tail",
    [b"\n", b"\0" * 512, b"<!-- cached -->\n<!-- twice -->", b"<?php ?>", b"<script>x</script>"],
)
def test_anything_may_follow_the_end_of_the_root_element(tail):
    assert parse_feed(rss(AN_ITEM) + tail).episodes == parse_feed(rss(AN_ITEM)).episodes


@pytest.mark.parametrize(
    "body",
    [b"<rss/>", b'<rss version="2.0" />', b"<a:feed xmlns:a='http://www.w3.org/2005/Atom'/>"],
)
def test_a_feed_without_content_is_a_document_without_items(body):
    assert parse_feed(body) == Document(episodes=(), items=0)


def test_a_document_that_makes_feedparser_raise_is_unreadable():
    # In UTF-16 the reference to a surrogate is not found, and feedparser cannot encode it.
    body = rss("<item><title>&#xD83D;</title></item>").decode().encode("utf-16")
    error = refusal(body)
    assert (error.reason, error.detail) == ("unreadable", "UnicodeEncodeError")


def test_a_body_that_is_the_path_of_a_file_does_not_open_it(tmp_path, monkeypatch):
    body = b"<rss></rss>"
    file = tmp_path / body.decode()
    file.parent.mkdir()
    file.write_bytes(rss(AN_ITEM))
    monkeypatch.chdir(tmp_path)
    assert Path(body.decode()).is_file()
    assert parse_feed(body).items == 0


# --- single rules ------------------------------------------------------------------------


def test_a_guid_too_long_to_be_a_key_counts_as_missing():
    long = "é" * (item.MAX_KEY_BYTES // 2)
    kept = parse_feed(rss(entry(f"<guid isPermaLink='false'>{long}</guid>")))
    assert kept.episodes[0].guid == long
    link = "<link>https://show.example/1</link>"
    fallen = parse_feed(rss(entry(f"<guid isPermaLink='false'>{long}x</guid>{link}")))
    assert fallen.episodes[0].guid == "https://show.example/1"


def test_a_link_too_long_to_be_a_key_counts_as_missing():
    link = f"<link>https://show.example/{'x' * item.MAX_KEY_BYTES}</link>"
    episode = parse_feed(rss(entry("<guid>1</guid>" + link))).episodes[0]
    assert episode.link is None


def test_titles_and_raw_dates_are_bounded():
    inside = f"<guid>1</guid><title>{'ab ' * 400}</title><pubDate>{'x' * 999}</pubDate>"
    episode = parse_feed(rss(entry(inside))).episodes[0]
    assert episode.title == ("ab " * 400)[: item.MAX_TITLE].rstrip()
    assert episode.published_raw == "x" * item.MAX_RAW_DATE


def test_nothing_a_database_refuses_comes_out_of_a_feed():
    body = rss(entry("<guid>a\0b</guid><title>c\0d &#0; &#x0000; &#1; & </title>"))
    episode = parse_feed(body).episodes[0]
    assert (episode.guid, episode.title) == ("ab", "cd &")


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        ("<ttl>60</ttl>", timedelta(hours=1)),
        ("<ttl> 60 </ttl>", timedelta(hours=1)),
        ("<ttl>999999999999999</ttl>", timedelta(days=365)),
        ("<ttl>0</ttl>", None),
        ("<ttl>-1</ttl>", None),
        ("<ttl>an hour</ttl>", None),
        ("<ttl/>", None),
        ("", None),
    ],
)
def test_ttl_counts_minutes(ttl, expected):
    assert parse_feed(rss(ttl)).ttl == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "endless", [", " * 200_000, "1" * 400_000, "<b " * 200_000, "&#" * 200_000]
)
def test_an_endless_value_costs_no_more_than_its_length(endless):
    assert item.duration_s(endless) is None
    assert item.published_at(endless) is None
    entry = {"title": endless, "title_detail": {"type": "text/html"}, "id": "1"}
    link = {"rel": "enclosure", "href": "https://cdn.example/1.mp3", "length": endless}
    parsed = SimpleNamespace(entries=[entry | {"links": [link]}], feed={})
    (episode,) = reading_of(parsed).items
    assert len(episode.title) <= item.MAX_TITLE
    assert episode.audio_bytes is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "endless", [b"<!--", b"<rss ", b"</rss ", b"<html", b"<title", b"&#", b"<a"]
)
def test_an_endless_body_costs_no_more_than_its_length(endless):
    with pytest.raises(ParseError):
        check_whole(endless * 500_000)


def test_feedparser_is_imported_only_when_something_is_read():
    code = (
        "import sys; from monitor.core.parse import read; "
        "assert 'feedparser' not in sys.modules; read(b'<rss/>'); assert 'feedparser' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- any input ---------------------------------------------------------------------------

PIECES = [
    *("<rss>", "</rss>", "<channel>", "</channel>", "<item>", "</item>", "<feed>", "</feed>"),
    *("<entry>", "<guid>", "</guid>", "<guid isPermaLink='false'>", "<link>", "</link>", "<link/>"),
    *("<title>", "</title>", "<title type='html'>", "<pubDate>", "</pubDate>", "<updated>"),
    *("<itunes:duration>", "</itunes:duration>", "<enclosure url='a.mp3'/>", "<enclosure/>"),
    *(
        "<enclosure url='https://x/a.mp3' type='audio/mpeg' length='1'>",
        "<links>",
        "<id>",
        "<x y='",
    ),
    *("<![CDATA[", "]]>", "<!--", "-->", "&amp;", "&#", "&#xD800;", "&#1114112;", "&nbsp;", "&"),
    *("<?xml version='1.0' encoding='", "utf-7", "'?>", "<!DOCTYPE x [<!ENTITY a '&a;'>]>", "&a;"),
    *("https://[", "//", "10:00:00", "---15", "9" * 5000, "\0", "\ud7ff", "<svg>", "<image>"),
]


def _is_read_or_refused(body: bytes) -> None:
    try:
        document = parse_feed(body)
    except ParseError as error:
        reason = error.reason
    else:
        reason = None
        assert len(document.episodes) <= document.items
    assert reason is None or reason in REASONS


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
@example(b"<rss>\xff\xfe</rss>")
def test_any_bytes_are_read_or_refused(body):
    _is_read_or_refused(body)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=9)), max_size=40))
def test_any_mixture_of_a_feeds_pieces_is_read_or_refused(pieces):
    inside = "".join(pieces).encode("utf-8", "replace")
    _is_read_or_refused(b"<rss><channel>" + inside + b"</channel></rss>")
