"""Slugs against every real title we have, and what proves one."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.model import Resource
from monitor.core.slug import candidates, markdown_url, proves, request_url, resource_url, to_try
from monitor.core.substack import post_id_of

TITLE = (
    "Mistral: Voxtral TTS, Forge, Leanstral, & what's next for Mistral 4 — w/ Pavan Kumar Reddy"
    " & Guillaume Lample"
)
SLUG = (
    "mistral-voxtral-tts-forge-leanstral-what-s-next-for-mistral-4"
    "-w-pavan-kumar-reddy-guillaume-lample"
)
AUDIO = "https://api.substack.com/feed/podcast/192356063/415e7523439ae30c5bb12cb913de9ee9.mp3"
LINK = "https://www.latent.space/p/voxtral"
BASE = "https://stenobird.com"


NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)


# --- candidates --------------------------------------------------------------------------


def test_the_one_slug_that_is_known_is_the_only_candidate():
    assert len(SLUG) == 98
    assert candidates([TITLE]) == (SLUG,)


@pytest.mark.shared
def test_every_real_title_gives_its_slug_first_and_few_give_more(shared: Path):
    with (shared / "feeds" / "latent_space_episodes.csv").open(newline="") as file:
        episodes = list(csv.DictReader(file))
    assert len(episodes) == 92
    slugs = [candidates([episode["title"]]) for episode in episodes]
    assert [found[0] for found in slugs] == [episode["slug_candidate"] for episode in episodes]
    assert sum(len(found) > 1 for found in slugs) == 5


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Hugo Laurençon", ("hugo-lauren-on", "hugo-laurencon")),
        ("Simon Hørup", ("simon-h-rup", "simon-hrup", "simon-horup")),
        ("AI \N{MULTIPLICATION SIGN} UX", ("ai-ux", "ai-x-ux")),
        ("10\N{EN DASH}20 Hours", ("10-20-hours", "1020-hours")),
        ("Runway\N{RIGHT SINGLE QUOTATION MARK}s World", ("runway-s-world", "runways-world")),
        ("🔬", ()),
        ("", ()),
        ("日本", ("ri-ben",)),
    ],
)
def test_rules_that_disagree_give_one_candidate_each(title, expected):
    assert candidates([title]) == expected


def test_the_newest_title_comes_first_and_no_slug_twice():
    assert candidates(["New: Hørup", "Old", "new hørup"]) == (
        *("new-h-rup", "new-hrup", "new-horup"),
        "old",
    )
    assert candidates([]) == ()


@given(st.lists(st.text(), max_size=3))
def test_any_titles_give_slugs_that_are_safe_in_a_path(titles):
    for slug in candidates(titles):
        assert slug.strip("-") == slug != ""
        assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("title", ["&#99999999999999;", "&#x110000;", "a &amp; b", "\ud800 x"])
def test_entities_and_half_characters_in_a_title_do_no_harm(title):
    assert candidates([title])


# --- the post id -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (AUDIO, "192356063"),
        (AUDIO.replace("https://", "https://pscrb.fm/rss/p/"), "192356063"),
        (AUDIO.replace("https://", "https://a.example/x/https://"), "192356063"),
        (f"{AUDIO}?token=8cab57d7", "192356063"),
        ("https://api.substack.com/feed/podcast/1084089.rss", None),
        ("https://assets.flightcast.com/track-v2/01K1BSYBP65CFVBK9HJP7RGW95.mp3", None),
        (f"https://evil.example/?u={AUDIO}", None),
        (f"https://evil.example/#{AUDIO}", None),
        ("https:" + "/" * 100_000, None),  # must not take quadratic time
        ("", None),
        (None, None),
    ],
)
def test_a_post_id_is_read_from_substacks_audio_only(address, expected):
    assert post_id_of(address) == expected


# --- the proof ---------------------------------------------------------------------------


def test_the_same_audio_post_id_proves():
    other_hash = AUDIO.replace("415e", "0000")
    assert proves(Resource("x", audio_url=other_hash), post_id="192356063", link=None) == "post_id"


@pytest.mark.parametrize(
    "published",
    [
        LINK,
        "http://latent.space/p/voxtral/",
        "HTTPS://WWW.Latent.Space/p/voxtral#details",
        "https://www.latent.space:443/p/voxtral?utm_source=x&UTM_medium=y",
    ],
)
def test_the_same_link_proves_however_it_is_written(published):
    assert proves(Resource("x", link=published), post_id=None, link=LINK) == "link"
    assert proves(Resource("x", link=LINK), post_id=None, link=f" {published} ") == "link"


@pytest.mark.parametrize(
    "published",
    [
        "https://www.latent.space/p/voxtral-2",
        "https://www.latent.space/P/voxtral",
        "https://www.latent.space:8443/p/voxtral",
        "https://example.com/p/voxtral",
        "https://www.latent.space/p/voxtral?page=2",
        "https://[/p/voxtral",
        "https://latent.space:x/p/voxtral",
        None,
    ],
)
def test_another_link_proves_nothing(published):
    assert proves(Resource("x", link=published), post_id=None, link=LINK) is None


@pytest.mark.parametrize(
    "link", ["https://www.latent.space/", "https://latent.space", "/", "", "x["]
)
def test_a_front_page_or_no_address_proves_nothing(link):
    assert proves(Resource("x", link=link), post_id=None, link=link) is None


def test_a_query_can_be_what_names_the_episode():
    link = "https://example.com/?p=7"
    assert proves(Resource("x", link=f"{link}&utm_source=rss"), post_id=None, link=link) == "link"


def test_another_post_id_leaves_it_to_the_link():
    resource = Resource("x", audio_url=AUDIO, link=LINK)
    assert proves(resource, post_id="7", link=LINK) == "link"
    assert proves(resource, post_id="7", link=f"{LINK}-2") is None
    assert proves(resource, post_id=None, link=None) is None
    assert proves(Resource("x", title="the same title"), post_id="192356063", link=LINK) is None


def test_no_post_id_on_either_side_is_no_match():
    assert (
        proves(Resource("x", audio_url="https://example.com/a.mp3"), post_id=None, link=None)
        is None
    )


# --- addresses ---------------------------------------------------------------------------


def test_addresses_are_built_as_the_captured_page_has_them():
    place = {"base_url": f"{BASE}/", "podcast": "latent-space-ai-engineer", "slug": SLUG}
    json_url = f"{BASE}/v1/public/podcasts/latent-space-ai-engineer/episodes/{SLUG}"
    assert resource_url(**place) == json_url
    assert markdown_url(**place) == f"{BASE}/podcast/latent-space-ai-engineer/{SLUG}.md"
    assert request_url(Resource("x"), **place) == f"{json_url}/transcription-requests"


def test_parts_of_a_path_are_quoted():
    place = {"base_url": BASE, "podcast": "a/b", "slug": "c?/#é"}
    assert (
        urlsplit(resource_url(**place)).path
        == "/v1/public/podcasts/a%2Fb/episodes/c%3F%2F%23%C3%A9"
    )
    assert markdown_url(**place) == f"{BASE}/podcast/a%2Fb/c%3F%2F%23%C3%A9.md"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (f"{BASE}/v2/requests?x=1", f"{BASE}/v2/requests?x=1"),
        ("https://STENOBIRD.com:443/v2/requests", "https://STENOBIRD.com:443/v2/requests"),
        ("/v2/requests", f"{BASE}/v2/requests"),
    ],
)
def test_the_actions_address_is_used_on_our_origin(action, expected):
    resource = Resource("x", request_url=action)
    assert request_url(resource, base_url=BASE, podcast="p", slug="s") == expected


@pytest.mark.parametrize(
    "action",
    [
        None,
        "https://evil.example/v1/requests",
        "https://stenobird.com.evil.example/v1/requests",
        "http://stenobird.com/v1/requests",
        "http://stenobird.com:443/v1/requests",
        "https://stenobird.com:8443/v1/requests",
        "https://stenobird.com:0/v1/requests",
        "https://me@stenobird.com/v1/requests",
        "https://stenobird.com@evil.example/v1/requests",
        "https://stenobird.com\\@evil.example/",
        "//evil.example/v1/requests",
        "https://stenobird.com:port/",
        "https://[stenobird.com/",
    ],
)
def test_the_actions_address_elsewhere_is_never_used(action):
    built = request_url(Resource("x", request_url=action), base_url=BASE, podcast="p", slug="s")
    assert built == f"{BASE}/v1/public/podcasts/p/episodes/s/transcription-requests"


def test_another_episodes_action_is_not_followed():
    for action in ("/v1/public/podcasts/p/episodes/other/transcription-requests", "/episodes/o?x"):
        built = request_url(Resource("x", request_url=action), base_url=BASE, podcast="p", slug="s")
        assert built == f"{BASE}/v1/public/podcasts/p/episodes/s/transcription-requests"
    own = f"{BASE}/v2/episodes/caf%C3%A9/ask"
    assert (
        request_url(Resource("x", request_url=own), base_url=BASE, podcast="p", slug="café") == own
    )


def test_a_rehearsals_origin_has_its_port():
    base = "http://127.0.0.1:8080"
    near, far = (Resource("x", request_url=f"http://127.0.0.1:{port}/r") for port in (8080, 8081))
    assert request_url(near, base_url=base, podcast="p", slug="s") == f"{base}/r"
    assert request_url(far, base_url=base, podcast="p", slug="s").startswith(f"{base}/v1/")


# --- which to try --------------------------------------------------------------------------


def test_the_proved_slug_comes_first_then_the_likeliest_then_the_others_in_turns():
    titles = ["one", "two", "three", "four"]
    tried = [to_try("proved", titles, NOW + timedelta(hours=n)) for n in range(3)]
    assert all(slugs[:2] == ("proved", "one") for slugs in tried)
    assert {slugs[2] for slugs in tried} == {"two", "three", "four"}
    assert {frozenset(slugs) for slugs in tried} == {frozenset({"proved", *titles})}
    assert to_try(None, ["one"], NOW) == ("one",)
    assert to_try(None, ["—"], NOW) == ()


def test_the_same_audio_file_proves_whatever_follows_its_path():
    resource = Resource("x", audio_url="https://cdn.example/7.mp3?updated=2")
    assert proves(resource, audio_url="https://cdn.example/7.mp3?updated=1") == "audio_url"
    assert proves(resource, audio_url="https://cdn.example/8.mp3") is None
