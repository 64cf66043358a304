"""The configuration in the terms of the core's rules and the jobs' limits."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta

from monitor.config import Config, PodcastConfig
from monitor.core.rules import PollRules, RequestRules
from monitor.core.schedule import Bounds
from monitor.jobs.context import Limits, Podcast

LEASE_MARGIN = timedelta(minutes=4)  # on top of the network's deadline: parsing, a locked database


def podcasts(config: Config) -> Mapping[str, Podcast]:
    """Return the configured podcasts by name."""
    return {p.name: _podcast(config, p) for p in config.podcasts}


def limits(config: Config) -> Limits:
    """Return what bounds the work."""
    return Limits(
        max_body_bytes=config.network.max_body,
        per_minute=config.requests.per_minute,
        audio_minutes_per_day=config.requests.audio_minutes_per_day,
        retry=Bounds(config.requests.retry.min, config.requests.retry.max),
        lease_for=config.network.deadline + LEASE_MARGIN,
    )


def shortest_interval(config: Config) -> timedelta:
    """Return the least interval of all, which the ticks must be much shorter than."""
    return min(
        config.requests.retry.min,
        config.requests.not_listed.min,
        *(bounds.min for p in config.podcasts for bounds in (p.poll, p.track)),
    )


def _podcast(config: Config, podcast: PodcastConfig) -> Podcast:
    return Podcast(
        name=podcast.name,
        feed=podcast.feed,
        slug=podcast.stenobird,
        headers=_headers(podcast),
        polling=_polling(config, podcast),
        requests=_requests(config, podcast),
    )


def _headers(podcast: PodcastConfig) -> dict[str, str]:
    headers = {name: value.get_secret_value() for name, value in podcast.headers.items()}
    if podcast.user:
        pair = f"{podcast.user}:{podcast.password.get_secret_value()}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"  # RFC 7617
    return headers


def _polling(config: Config, podcast: PodcastConfig) -> PollRules:
    return PollRules(
        poll=Bounds(podcast.poll.min, podcast.poll.max),
        per_day=podcast.poll.per_day,
        backfill=podcast.backfill,
        bulk_over=config.requests.bulk_over,
        backdated_over=config.requests.backdated_over,
        shadow=config.mode == "shadow",
    )


def _requests(config: Config, podcast: PodcastConfig) -> RequestRules:
    requests = config.requests
    return RequestRules(
        base_url=config.stenobird.base_url,
        retry=Bounds(requests.retry.min, requests.retry.max),
        not_listed=Bounds(requests.not_listed.min, requests.not_listed.max),
        track=Bounds(podcast.track.min, podcast.track.max),
        stalled_after=requests.stalled_after,
        processed_states=frozenset(map(str.casefold, config.stenobird.processed_states)),
        failed_states=frozenset(map(str.casefold, config.stenobird.failed_states)),
        shadow=config.mode == "shadow",
    )
