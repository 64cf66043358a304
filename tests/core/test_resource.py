"""What Stenobird publishes, in every spelling and form we are prepared for."""

import json
import string
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import spelling, values
from monitor.core.model import Chapter, ParseError, Resource
from monitor.core.resource import (
    MAX_DEPTH,
    digest,
    from_published,
    published,
    read_json,
    read_markdown,
)
from monitor.core.slug import proves
from monitor.core.substack import post_id_of

AUDIO = "https://api.substack.com/feed/podcast/192356063/415e7523439ae30c5bb12cb913de9ee9.mp3"
LINK = "https://www.latent.space/p/voxtral"
SITE = "https://stenobird.com"
SLUG = (
    "mistral-voxtral-tts-forge-leanstral-what-s-next-for-mistral-4"
    "-w-pavan-kumar-reddy-guillaume-lample"
)
PAGE = f"{SITE}/podcast/latent-space-ai-engineer/{SLUG}"
JSON = f"{SITE}/v1/public/podcasts/latent-space-ai-engineer/episodes/{SLUG}"
MINIMAL = {"title": "Voxtral", "audio_url": AUDIO, "processing_state": "queued"}

FULL = {
    "title": "Voxtral",
    "published_at": "2026-03-30T19:25:21+00:00",
    "episode_url": LINK,
    "audio_url": AUDIO,
    "processing_state": "processed",
    "duration_seconds": 2928,
    "summary": "Mistral introduces Voxtral TTS.",
    "highlights": ["Main idea: flow matching"],
    "topics": ["Mistral AI", "Voxtral TTS"],
    "chapters": [{"start_seconds": 60, "title": "Announcing", "summary": "An introduction"}],
    "page_url": PAGE,
    "markdown_url": f"{PAGE}.md",
    "json_url": JSON,
    "actions": [
        {"name": "read_markdown", "method": "GET", "href": f"{PAGE}.md"},
        {"name": "request_transcript", "method": "POST", "href": f"{JSON}/transcription-requests"},
    ],
}
FULL_RESOURCE = Resource(
    "processed",
    title="Voxtral",
    published_at=datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC),
    link=LINK,
    audio_url=AUDIO,
    duration_s=2928,
    summary="Mistral introduces Voxtral TTS.",
    highlights=("Main idea: flow matching",),
    topics=("Mistral AI", "Voxtral TTS"),
    chapters=(Chapter(60, "Announcing", "An introduction"),),
    page_url=PAGE,
    markdown_url=f"{PAGE}.md",
    json_url=JSON,
    request_url=f"{JSON}/transcription-requests",
)


def read(document: object) -> Resource:
    return read_json(json.dumps(document).encode())


def reason(reader, body: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        reader(body)
    return caught.value.reason


def with_field(name: str, value: object) -> Resource:
    return read({**MINIMAL, name: value})


# --- the JSON: envelopes and spellings ---------------------------------------------------


@pytest.mark.parametrize("envelope", ["data", "episode", "Item", "result", "attributes"])
def test_an_episode_is_read_flat_and_in_an_envelope(envelope):
    assert read(FULL) == FULL_RESOURCE
    assert read({envelope: FULL}) == FULL_RESOURCE
    assert read({"data": {envelope: FULL}, "request_id": "x", "status": "ok"}) == FULL_RESOURCE


def test_names_are_read_in_snake_camel_and_kebab_case():
    def camel(name: str) -> str:
        head, *rest = name.split("_")
        return head + "".join(map(str.title, rest))

    for spell in (camel, str.upper, lambda name: name.replace("_", "-")):
        assert read({spell(name): value for name, value in FULL.items()}) == FULL_RESOURCE


@pytest.mark.parametrize(
    "state",
    [
        {"processing_state": "processed"},
        {"processing_state": {"value": "processed"}},
        {"processingState": {"state": "processed"}},
        {"processing_state": {"name": "processed"}},
        {"processing_state": {"status": "processed"}},
        {"processing": {"state": "processed"}},
        {"processing": {"status": "processed"}},
        {"transcription": {"status": "processed"}},
        {"transcript_status": "processed"},
        {"state": "processed"},
        {"status": "processed"},
        {"status": "processed", "processing": {"name": "whisper", "duration": 9}},
        {"status": "published", "processing_state": "processed"},
        {"processing_state": None, "status": "processed"},
    ],
)
def test_the_state_is_found_in(state):
    assert read({"title": "Voxtral", "link": LINK, **state}).state == "processed"
    assert read({"data": {"title": "Voxtral", "link": LINK, **state}}).state == "processed"


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"processing_state": 3},
        {"processing_state": ""},
        {"processing_state": ["processed"]},
        {"processing_state": "Processed\nand more"},
        {"processing_state": "x" * 101},
        {"processing": {"name": "whisper"}},
        {"transcript": "Full transcripts are not published."},
        {"status": None},
    ],
)
def test_the_state_is_none_where_there_is_no_word(state):
    assert read({"title": "Voxtral", "link": LINK, **state}).state is None


def test_an_answers_own_status_is_not_the_episodes_state():
    assert read({"status": "ok", "data": {"title": "Voxtral", "link": LINK}}).state is None
    assert read({"status": "ok", "data": {**MINIMAL, "status": "x"}}).state == "queued"


def test_a_state_of_null_is_an_answer():
    resource = with_field("processing_state", None)
    assert resource.state == "null"
    assert resource.unknown == {}
    assert read({"data": MINIMAL | {"processing_state": None}}).state == "null"
    assert with_field("processing_state", {"value": None, "label": "None"}).state == "null"
    assert with_field("processing_state", {"label": "None"}).state is None


def test_a_state_alone_is_enough_for_an_episode_that_is_already_proved():
    assert read({"processing_state": "queued"}).state == "queued"


def test_a_podcasts_title_is_not_the_episodes():
    resource = read({"podcast": {"title": "Latent Space"}, "link": LINK, "processing_state": "x"})
    assert resource.title is None
    assert resource.unknown == {"podcast": {"title": "Latent Space"}}


def test_facts_are_read_from_objects_within_and_beside_the_episode():
    resource = read(
        {
            "title": "Stenobird",
            "links": {"self": {"href": JSON}, "page": PAGE, "markdown": f"{PAGE}.md"},
            "data": {
                "title": "Voxtral",
                "processing": {"state": "processed", "duration_seconds": 9},
                "audio": {"url": AUDIO, "duration": 2928.7, "bytes": 5},
                "resource": {"summary": "Short.", "title": "A resource", "quotes": ["Q"]},
                "page": {"kind": "none"},
            },
        }
    )
    assert resource == Resource(
        "processed",
        title="Voxtral",
        audio_url=AUDIO,
        duration_s=2928,
        summary="Short.",
        page_url=PAGE,
        markdown_url=f"{PAGE}.md",
        json_url=JSON,
        unknown={
            "processing.duration_seconds": 9,
            "audio.bytes": 5,
            "resource.title": "A resource",
            "resource.quotes": ["Q"],
            "page": {"kind": "none"},
        },
    )


def test_a_url_of_unsaid_meaning_is_tried_as_link_and_kept_as_page():
    resource = read({"title": "Voxtral", "url": LINK})
    assert (resource.link, resource.page_url, resource.unknown) == (LINK, LINK, {})


def test_of_two_objects_as_much_like_an_episode_the_inner_one_is_it():
    resource = read({"title": "API", "link": PAGE, "data": {"title": "Voxtral", "link": LINK}})
    assert (resource.title, resource.link) == ("Voxtral", LINK)


def test_a_part_is_never_taken_for_the_episode():
    resource = read({"status": "queued", "audio": {"url": AUDIO, "status": "hosted"}, "views": 1})
    assert (resource.state, resource.audio_url) == ("queued", AUDIO)
    assert resource.unknown == {"views": 1, "audio.status": "hosted"}


def test_fields_of_no_known_name_and_of_a_wrong_type_are_kept_verbatim():
    odd = {
        "topics": [1, 2],
        "speakers": [{"name": "Pavan"}],
        "rights": None,
        "duration": True,
        "summary": 5,
    }
    assert read({**MINIMAL, **odd, "chapters": []}).unknown == odd


def test_objects_beyond_a_sane_number_are_not_looked_into():
    nested: dict[str, object] = MINIMAL
    for _ in range(spelling.MAX_LAYERS):
        nested = {"data": nested}
    assert reason(read_json, json.dumps(nested).encode()) == "not_an_episode"


# --- the JSON: what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty_body"),
        (b" \r\n ", "empty_body"),
        (b"\xef\xbb\xbf", "empty_body"),
        (b"<!DOCTYPE html><title>Not found</title>", "html_page"),
        (b"\xef\xbb\xbf\n<html>", "html_page"),
        (b" " * 5000 + b"<html>", "html_page"),
        (b"not found", "not_json"),
        (b'{"title": "Vox', "not_json"),
        (b'{"title": "\xff"}', "not_json"),
        (b"[]", "not_an_object"),
        (b'"processed"', "not_an_object"),
        (b"NaN", "not_an_object"),
        (b"1" * 5000, "not_an_object"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b"{}", "not_an_episode"),
        (b'{"error": {"code": "not_found"}}', "not_an_episode"),
        (b'{"type": "about:blank", "title": "Not Found", "status": 404}', "not_an_episode"),
        (b'{"episodes": [{"title": "Voxtral"}]}', "not_an_episode"),
    ],
)
def test_a_body_that_tells_of_no_episode_is_refused(body, expected):
    assert reason(read_json, body) == expected


def test_a_status_alone_cannot_be_told_from_a_state_but_proves_no_slug():
    resource = read({"status": "error", "message": "no such episode"})
    assert proves(resource, post_id="192356063", link=LINK) is None


def test_a_document_is_refused_where_it_becomes_too_deep():
    def nested(depth: int) -> bytes:
        arrays = "[" * depth + "]" * depth
        return f'{{"processing_state": "queued", "x": {arrays}}}'.encode()

    assert read_json(nested(MAX_DEPTH - 2)).state == "queued"
    assert reason(read_json, nested(MAX_DEPTH)) == "too_deep"


def test_a_byte_order_mark_and_utf_16_are_read():
    for encoding in ("utf-8-sig", "utf-16"):
        assert read_json(json.dumps(MINIMAL).encode(encoding)).state == "queued"


def test_numbers_no_database_takes_cost_their_field_only():
    body = (
        b'{"processing_state": "queued", "score": NaN, "far": -Infinity, "big": 1e999,'
        b' "half": 0.5, "id": 1234567890123456789, "long": ' + b"9" * 5000 + b', "duration": 1e400}'
    )
    resource = read_json(body)
    assert resource.duration_s is None
    assert resource.unknown == {
        "score": None,
        "far": None,
        "big": None,
        "half": 0.5,
        "id": 1234567890123456789,
        "long": "(5002 characters left out)",
        "duration": None,
    }


def test_text_no_database_takes_is_cleaned():
    resource = read_json(
        b'{"processing_state": "queued", "title": "a\\u0000b\\ud800c", "\\udfff": {"x": ["\\ud800"]}}'
    )
    assert resource.title == "ab?c"
    assert resource.unknown == {"?": {"x": ["?"]}}


# --- the JSON: single fields -------------------------------------------------------------


@pytest.mark.parametrize("title", [5, 1.5, True, None, "", "  ", ["Voxtral"], {"text": "Voxtral"}])
def test_a_title_that_is_no_text_is_no_title(title):
    assert with_field("title", title).title is None


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (2928, 2928),
        (2928.9, 2928),
        ("2928", 2928),
        (" 2928.5 ", 2928),
        ("48:48", 2928),
        ("0:48:48", 2928),
        ("75:20", 4520),
        ("1:15:20", 4520),
        (0, None),
        (-1, None),
        (10**8, None),
        (True, None),
        ("", None),
        ("48 minutes", None),
        ("1:75", None),
        ("-5", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
        ([2928], None),
    ],
)
def test_a_duration_is_a_number_its_digits_or_a_clock(duration, expected):
    assert with_field("duration_seconds", duration).duration_s == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-30T19:25:21+00:00", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("2026-03-30T19:25:21Z", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("2026-03-30T21:25:21+02:00", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("2026-03-30T19:25:21", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("2026-03-30", datetime(2026, 3, 30, tzinfo=UTC)),
        ("Mon, 30 Mar 2026 19:25:21 GMT", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("Mon, 30 Mar 2026 19:25:21 -0000", datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("Mon, 99 Mar 2026 99:25:21 GMT", None),
        ("yesterday", None),
        ("", None),
        (1774898721, None),
    ],
)
def test_an_instant_is_iso_8601_or_rfc_822_and_utc(written, expected):
    assert with_field("published_at", written).published_at == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (LINK, LINK),
        (f" {LINK}\n", LINK),
        ({"url": LINK}, LINK),
        ({"href": {"url": LINK}}, LINK),
        ("HTTP://example.com/é", "HTTP://example.com/é"),
        ("/p/voxtral", None),
        ("javascript:alert(1)", None),
        ("https://latent.space/a b", None),
        ("https://latent.space\\@evil.example/", None),
        ("https://latent.space/" + "x" * 3000, None),
        (7, None),
        ({}, None),
    ],
)
def test_an_address_is_absolute_and_of_the_web(address, expected):
    assert with_field("link", address).link == expected


@pytest.mark.parametrize(
    ("highlights", "expected"),
    [
        (["One", " Two ", 3, ""], ("One", "Two")),
        ([{"text": "One"}, {"title": "Two"}], ("One", "Two")),
        ([{"label": "Main idea", "text": "One"}], ("Main idea: One",)),
        ([{"odd": "One"}, "Two"], ("Two",)),
        ([], ()),
        ("One", ()),
        ([1, 2], ()),
    ],
)
def test_highlights_are_texts_or_objects(highlights, expected):
    assert with_field("highlights", highlights).highlights == expected


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (["Mistral AI", "TTS"], ("Mistral AI", "TTS")),
        ([{"name": "Mistral AI", "slug": "mistral"}, {"id": 4}], ("Mistral AI",)),
        ("Mistral AI, TTS,, ", ("Mistral AI", "TTS")),
        (" ", ()),
        (5, ()),
    ],
)
def test_topics_are_names_objects_or_a_line_divided_by_commas(topics, expected):
    assert with_field("topics", topics).topics == expected


@pytest.mark.parametrize(
    "chapter",
    [
        {"start_s": 60, "title": "Intro", "text": "What it is"},
        {"start": 60.9, "title": "Intro", "summary": "What it is"},
        {"startSeconds": "60", "name": "Intro", "description": "What it is"},
        {"timestamp": "1:00", "title": "Intro", "content": "What it is"},
        {"start_time": "0:01:00", "title": "Intro", "text": "What it is"},
        "1:00 — Intro: What it is",
        "0:01:00 - Intro: What it is",
        " 1:00  \N{EN DASH}  Intro: What it is ",
    ],
)
def test_a_chapter_is_an_object_or_a_line(chapter):
    assert with_field("chapters", [chapter]).chapters == (Chapter(60, "Intro", "What it is"),)


def test_a_chapter_may_lack_title_or_text_but_not_its_start():
    chapters = [
        "0:00 — Intro",
        {"start": 5, "text": "Text"},
        {"start": 6},
        {"title": "No start"},
        {"start": "soon", "title": "No start"},
        "Intro",
        7,
    ]
    assert with_field("chapters", chapters).chapters == (
        Chapter(0, "Intro"),
        Chapter(5, "", "Text"),
    )


REQUEST = f"{JSON}/transcription-requests"


@pytest.mark.parametrize(
    "actions",
    [
        [{"name": "request_transcript", "method": "POST", "href": REQUEST}],
        [{"rel": "requestTranscript", "url": REQUEST}],
        [{"id": 7, "type": "request-transcript", "method": "post", "url": REQUEST}],
        [{"request_transcript": {"href": REQUEST}}],
        [
            5,
            "none",
            {"name": "read_markdown", "url": PAGE},
            {"id": "request_transcript", "url": REQUEST},
        ],
        {"request_transcript": {"method": "POST", "href": REQUEST}},
        {"requestTranscript": REQUEST},
        {"read_markdown": {"href": PAGE}, "request_transcript": {"url": REQUEST}},
        {"method": "POST", "href": REQUEST},
        REQUEST,
        [f"request_transcript: `POST {REQUEST}` — Idempotently request it."],
        [f"request_transcript: POST {REQUEST}"],
    ],
)
def test_the_request_address_is_the_action_request_transcript(actions):
    assert with_field("actions", actions).request_url == REQUEST


@pytest.mark.parametrize(
    "actions",
    [
        [{"name": "request_transcript", "method": "GET", "href": REQUEST}],
        {"request_transcript": {"method": "PUT", "href": REQUEST}},
        [f"request_transcript: `GET {REQUEST}`"],
        [f"read_markdown: `POST {PAGE}.md`"],
        [{"name": "request_transcript"}],
        [{"name": "request_transcript", "href": "//evil.example/"}],
        [{"name": "request_transcript", "href": 5}],
        {},
        [],
        5,
    ],
)
def test_an_action_that_is_not_that_or_no_post_gives_no_address(actions):
    assert with_field("actions", actions).request_url is None


def test_a_rooted_request_address_is_kept_as_it_came():
    assert with_field("request_url", "/v2/requests").request_url == "/v2/requests"


# --- the JSON: bounds --------------------------------------------------------------------


def test_ten_megabytes_of_json_keep_a_bounded_amount():
    resource = read(
        {
            **MINIMAL,
            "title": "t" * 1_000_000,
            "summary": "s" * 1_000_000,
            "highlights": ["h" * 2_000] * 1_000,
            "topics": ["t"] * 100_000,
            "chapters": [{"start": 1, "title": "c" * 2_000}] * 1_000,
            "transcript_text": "x" * 2_000_000,
            **{f"field_{number}": number for number in range(10_000)},
        }
    )
    assert len(resource.title) == values.MAX_LINE
    assert len(resource.summary) == values.MAX_TEXT
    assert {len(resource.highlights), len(resource.topics), len(resource.chapters)} == {500}
    assert len(resource.unknown) == spelling.MAX_UNKNOWN
    assert resource.unknown["transcript_text"] == "(2000002 characters left out)"
    assert len(json.dumps(published(resource))) < 1_200_000


def test_what_follows_the_first_items_of_a_list_is_not_looked_at():
    chapters = [{"odd": 1}] * values.MAX_ITEMS + [{"start": 1, "title": "Late"}]
    assert with_field("chapters", chapters).chapters == ()


# --- the Markdown ------------------------------------------------------------------------


def broken(page: str) -> str:
    """The captured page with the line breaks that it lost, put back by hand."""
    for label in ("Page", "Text version", "Podcast", "Published", "Episode link", "Audio file"):
        page = page.replace(f" {label}: ", f"\n{label}: ", 1)
    for label in ("Processing state", "JSON", "Duration seconds"):
        page = page.replace(f" {label}: ", f"\n{label}: ", 1)
    for heading in ("Resource", "Highlights", "Topics", "Chapters", "Actions", "Transcript"):
        page = page.replace(f" ## {heading} ", f"\n\n## {heading}\n\n", 1)
    page = page.replace(" A page view", "\n\nA page view").replace("\nPage:", "\n\nPage:")
    return page.replace(" - ", "\n- ").replace("\n\n- ", "\n\n- ")


@pytest.fixture(scope="module")
def captured(shared: Path) -> str:
    return (shared / "stenobird_episode.md").read_text()


@pytest.mark.shared
@pytest.mark.parametrize("form", ["flat", "broken", "crlf"])
def test_the_captured_page_gives_every_field(captured, form):
    page = captured if form == "flat" else broken(captured)
    page = page.replace("\n", "\r\n") if form == "crlf" else page
    resource = read_markdown(page.encode())
    assert resource.state == "processed"
    assert resource.title.startswith("Mistral: Voxtral TTS, Forge, Leanstral, & what's next")
    assert resource.title.endswith("Guillaume Lample")
    assert resource.published_at == datetime(2026, 3, 30, 19, 25, 21, tzinfo=UTC)
    assert (resource.link, resource.audio_url, resource.duration_s) == (LINK, AUDIO, 2928)
    assert post_id_of(resource.audio_url) == "192356063"
    assert resource.summary.startswith("Mistral introduces Voxtral TTS")
    assert resource.summary.endswith("strategy for enterprise deployment.")
    assert [highlight.partition(":")[0] for highlight in resource.highlights] == [
        "Main idea",
        "Technical breakthrough",
        "Practical takeaway",
        "Failure mode",
        "Strategic vision",
    ]
    assert resource.highlights[-1].endswith("informs base model training")
    assert len(resource.topics) == 8
    assert (resource.topics[0], resource.topics[-1]) == ("Mistral AI", "Open Weights")
    assert [chapter.start_s for chapter in resource.chapters] == [
        60,
        275,
        510,
        720,
        945,
        1165,
        1375,
    ]
    assert resource.chapters[-1] == Chapter(
        1375,
        "Fine Tuning and Personalization",
        "The importance of voice adaptation for brand identity and domain-specific applications.",
    )
    assert (resource.page_url, resource.markdown_url) == (PAGE, f"{PAGE}.md")
    assert (resource.json_url, resource.request_url) == (JSON, REQUEST)
    assert set(resource.unknown) == {"Podcast", "Transcript"}
    assert resource.form == "markdown"


@pytest.mark.shared
def test_the_captured_page_reads_the_same_with_and_without_line_breaks(captured):
    flat, lined = read_markdown(captured.encode()), read_markdown(broken(captured).encode())
    assert flat == lined
    assert digest(flat) == digest(lined)


@pytest.mark.shared
@pytest.mark.parametrize(
    "title",
    ["Emergency Podcast: JSON: the Page: 3", "Processing state: failed", "A Page: https://a.b"],
)
def test_a_title_that_looks_like_labels_misleads_neither_form(captured, title):
    _, _, rest = captured.partition(" Page: ")
    page = f"# {title} Page: {rest}"
    for written in (page, broken(captured).replace(broken(captured).split("\n")[0], f"# {title}")):
        resource = read_markdown(written.encode())
        assert (resource.title, resource.state, resource.page_url) == (title, "processed", PAGE)


def test_a_page_of_an_episode_that_is_not_processed_is_read():
    page = f"# Voxtral\n\nPage: {PAGE}\nProcessing state: not started\nGuests: Pavan\n## Quotes\n\n- A\n"
    resource = read_markdown(page.encode())
    assert (resource.state, resource.highlights, resource.chapters) == ("not started", (), ())
    assert resource.unknown == {"Guests": "Pavan", "Quotes": ["A"]}


def test_a_flat_page_keeps_unknown_sections_apart():
    page = f"# Voxtral Page: {PAGE} Processing state: queued ## Topics A, B ## Guests Pavan - x"
    resource = read_markdown(page.encode())
    assert (resource.state, resource.topics) == ("queued", ("A", "B"))
    assert resource.unknown == {"Guests": "Pavan - x"}


def test_an_item_goes_on_until_a_blank_line_or_the_next_item():
    page = (
        f"# Voxtral\n\nPage: {PAGE}\nProcessing state: x\n\n## Highlights\n\n- One\n  goes on\n"
        "* Two\n\nNot an item.\n\n## Topics\n\n## Resource\n\nFirst line.\n- not a list\n"
    )
    resource = read_markdown(page.encode())
    assert resource.highlights == ("One goes on", "Two")
    assert resource.summary == "First line.\n- not a list"
    assert resource.unknown == {}


def test_a_summary_keeps_its_paragraphs_whatever_ends_its_lines():
    page = f"# Voxtral\nPage: {PAGE}\nProcessing state: x\n## Resource\n\nOne.\n\nTwo.\n"
    for written in (page, page.replace("\n", "\r\n")):
        assert read_markdown(written.encode()).summary == "One.\n\nTwo."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty_body"),
        (b"\n\n", "empty_body"),
        (b"\n<!doctype html><html><h1>Voxtral</h1>", "html_page"),
        (b"Not found", "not_an_episode"),
        (b"# Not found", "not_an_episode"),
        (b"## Resource", "not_an_episode"),
        (json.dumps(MINIMAL).encode(), "not_an_episode"),
        (b"\xff\xfe\x00", "not_an_episode"),
    ],
)
def test_a_page_that_tells_of_no_episode_is_refused(body, expected):
    assert reason(read_markdown, body) == expected


# --- kept in the database ----------------------------------------------------------------


def test_what_is_published_comes_back_from_json():
    resource = replace(FULL_RESOURCE, unknown={"speakers": [{"name": "Pavan"}]}, form="markdown")
    stored = json.loads(json.dumps(published(resource)))
    assert "state" not in stored
    assert from_published(stored, state="processed") == resource
    assert from_published(
        json.loads(json.dumps(published(Resource(None)))), state=None
    ) == Resource(None)


def test_what_another_version_stored_is_read_as_far_as_it_goes():
    assert from_published({"title": "Voxtral", "of_the_future": 1}, state="x") == Resource(
        "x", title="Voxtral"
    )


def test_the_digest_tells_of_published_facts_and_not_of_the_state():
    same = digest(FULL_RESOURCE)
    assert len(same) == 64
    assert digest(replace(FULL_RESOURCE, state="queued", form="markdown")) == same
    for change in (
        {"title": "Voxtral!"},
        {"published_at": None},
        {"highlights": ()},
        {"chapters": (Chapter(61, "Announcing", "An introduction"),)},
        {"unknown": {"speakers": []}},
    ):
        assert digest(replace(FULL_RESOURCE, **change)) != same


def test_the_digest_ignores_the_value_of_a_field_of_no_known_name():
    first, later = (with_field("views", count) for count in (1, 2))
    assert digest(first) == digest(later)


# --- any answer --------------------------------------------------------------------------

NAMES = st.sampled_from(sorted({name for names in spelling.SPELLINGS.values() for name in names}))
ENVELOPES = st.sampled_from(["data", "episode", "processing", "audio", "links", "start", "url"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([LINK, "1:00 — A: b", "2026-03-30", "processed", "1" * 30, "POST"])
)
KEYS = NAMES | ENVELOPES | st.text(max_size=5)
ANY_JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=25
)


def storable_and_stable(resource: Resource) -> None:
    stored = json.dumps(published(resource), allow_nan=False, ensure_ascii=False).encode()
    assert values.storable(json.loads(stored)) == json.loads(stored)
    assert from_published(json.loads(stored), state=resource.state) == resource
    digest(resource)


@given(st.dictionaries(KEYS, ANY_JSON) | ANY_JSON)
def test_any_json_gives_a_resource_or_a_parse_error(document):
    try:
        resource = read(document)
    except ParseError:
        return
    storable_and_stable(resource)


@given(st.binary() | st.text(alphabet=string.printable).map(str.encode))
def test_any_bytes_give_a_resource_or_a_parse_error(body):
    for reader in (read_json, read_markdown):
        try:
            storable_and_stable(reader(body))
        except ParseError:
            continue


MARKS = (" ", "\n", "\r", "# ", "## ", "- ", "Page: ", "Page: http", "Processing state: ", "queued")
PARTS = ("## Chapters ", "- 1:00 — A: b", "## Actions ", f"- request_transcript: `POST {LINK}`")
PIECES = st.sampled_from([*MARKS, *PARTS])


@given(st.lists(PIECES | st.text(max_size=8)).map("".join))
def test_any_text_gives_a_resource_or_a_parse_error(page):
    try:
        resource = read_markdown(page.encode("utf-8", "surrogatepass"))
    except ParseError:
        return
    storable_and_stable(resource)
