"""From the configuration's words to the core's."""

from base64 import b64decode
from datetime import timedelta
from typing import Any

from monitor.config import Config
from monitor.core.schedule import Bounds
from monitor.rules import limits, podcasts, shortest_interval

PODCAST = {"name": "show", "feed": "https://example.com/feed.rss", "stenobird": "the-show"}


def config(podcast: dict[str, Any] | None = None, **tables: Any) -> Config:
    return Config.model_validate({"podcasts": [PODCAST | (podcast or {})], **tables})


def test_a_podcast_keeps_its_name_feed_and_slug():
    (name, podcast), *more = podcasts(config()).items()
    assert not more
    assert name == podcast.name == "show"
    assert (podcast.feed, podcast.slug) == ("https://example.com/feed.rss", "the-show")
    assert podcast.headers == {}


def test_user_and_password_become_basic_authorization_in_utf8():
    podcast = podcasts(config({"user": "zoë", "password": "pä:ss"}))["show"]
    scheme, _, pair = podcast.headers["Authorization"].partition(" ")
    assert (scheme, b64decode(pair).decode()) == ("Basic", "zoë:pä:ss")


def test_headers_are_sent_as_configured():
    assert podcasts(config({"headers": {"X-Api-Key": "k"}}))["show"].headers == {"X-Api-Key": "k"}


def test_a_podcasts_own_intervals_go_to_its_own_rules():
    own = {"poll": {"min": "7m", "max": "2h", "per_day": 9}, "track": {"min": "3m", "max": "4d"}}
    podcast = podcasts(config(own))["show"]
    assert podcast.polling.poll == Bounds(timedelta(minutes=7), timedelta(hours=2))
    assert podcast.polling.per_day == 9
    assert podcast.requests.track == Bounds(timedelta(minutes=3), timedelta(days=4))


def test_what_holds_for_all_goes_to_each():
    requests = {"bulk_over": 3, "backdated_over": "9d", "stalled_after": "5d"}
    podcast = podcasts(config(requests=requests))["show"]
    assert podcast.polling.bulk_over == 3
    assert podcast.polling.backdated_over == timedelta(days=9)
    assert podcast.requests.stalled_after == timedelta(days=5)
    assert podcast.requests.base_url == "https://stenobird.com"


def test_the_mode_is_known_to_polls_and_requests():
    for mode, shadow in (("live", False), ("shadow", True)):
        podcast = podcasts(config(mode=mode))["show"]
        assert (podcast.polling.shadow, podcast.requests.shadow) == (shadow, shadow)


def test_the_words_for_final_states_are_compared_without_case():
    words = {"processed_states": ["Done"], "failed_states": ["BROKEN"]}
    requests = podcasts(config(stenobird=words))["show"].requests
    assert requests.is_processed("dONE")
    assert requests.is_failed("broken")
    assert not requests.is_processed(None)


def test_a_lease_outlasts_the_longest_fetch():
    bounds = limits(config(network={"deadline": "10m", "max_body": "1MiB"}))
    assert bounds.lease_for > timedelta(minutes=10)
    assert bounds.max_body_bytes == 2**20


def test_pace_and_budget_are_as_configured():
    bounds = limits(config(requests={"per_minute": 2, "audio_minutes_per_day": 77}))
    assert (bounds.per_minute, bounds.audio_minutes_per_day) == (2, 77)
    assert bounds.retry == Bounds(timedelta(minutes=1), timedelta(hours=6))


def test_the_ticks_are_measured_by_the_shortest_interval_of_all():
    assert shortest_interval(config()) == timedelta(minutes=1)  # requests.retry.min
    assert shortest_interval(config({"track": {"min": "9s"}})) == timedelta(seconds=9)
    assert shortest_interval(config({"poll": {"min": "8s"}})) == timedelta(seconds=8)
    wait = {"not_listed": {"min": "7s"}}
    assert shortest_interval(config(requests=wait)) == timedelta(seconds=7)
