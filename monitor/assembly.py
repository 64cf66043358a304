"""Builds what the jobs work with, from the configuration."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from monitor.adapters.evidence import Evidence
from monitor.adapters.http import Http
from monitor.adapters.reach import reaches
from monitor.adapters.sandbox import Sandbox
from monitor.adapters.stenobird import Stenobird
from monitor.adapters.store.database import Database
from monitor.config import Config, user_agent
from monitor.core.model import LogEvent
from monitor.jobs.context import Context
from monitor.jobs.outcomes import Outcomes
from monitor.jobs.uplink import Uplink
from monitor.rules import limits, podcasts

PARSERS = 4  # threads: one new item need not wait for a back catalogue to be read


def open_http(config: Config) -> Http:
    """Return the one connection layer, as configured; to be entered before use."""
    network = config.network
    return Http(
        user_agent=user_agent(config),
        deadline=network.deadline,
        per_host_interval=network.per_host_interval,
        allow_private=network.allow_private,
        proxy=network.proxy,
        patience=limits(config).lease_for / 2,  # the other half is for the request and the rest
    )


def open_stenobird(config: Config, http: Http, readers: Executor | None = None) -> Stenobird:
    """Return Stenobird, as configured; *readers* as there."""
    token = config.stenobird.token.get_secret_value()
    return Stenobird(http, base_url=config.stenobird.base_url, token=token, readers=readers)


async def open_context(
    stack: AsyncExitStack,
    config: Config,
    database: Database,
    *,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    chance: Callable[[], float],
    token: Callable[[], str],
    emit: Callable[[LogEvent, datetime], object],
    wake: Callable[[str], None],
) -> Context:
    """Return what every job is given; the end of *stack* closes it."""
    http = await stack.enter_async_context(open_http(config))
    database_thread = _threads(stack, "database", 1)
    parsers = _threads(stack, "parser", PARSERS)
    return Context(
        podcasts=podcasts(config),
        limits=limits(config),
        database=database,
        http=http,
        stenobird=open_stenobird(config, http, parsers),
        database_thread=database_thread,
        sandbox=Sandbox(),
        evidence=_evidence(database, environ),
        parsers=parsers,
        now=now,
        chance=chance,
        token=token,
        emit=emit,
        wake=wake,
        outcomes=Outcomes(database, database_thread),
        uplink=_uplink(config),
    )


def _uplink(config: Config) -> Uplink:
    """Return what knows of our own outages. Behind a proxy that cannot be told: it answers for all."""
    network = config.network
    urls = [config.stenobird.base_url, *(podcast.feed for podcast in config.podcasts)]
    return Uplink(
        () if network.proxy else urls, partial(reaches, allow_private=network.allow_private)
    )


def _evidence(database: Database, environ: Mapping[str, str]) -> Evidence | None:
    """Return where refused bodies are kept: beside a SQLite file, else where systemd gives a place."""
    if database.path is not None:
        return Evidence(database.path.with_name(f"{database.path.name}.evidence"))
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Evidence(Path(state) / "evidence") if state else None


def _threads(stack: AsyncExitStack, name: str, count: int) -> ThreadPoolExecutor:
    """Return threads that the end of *stack* does not wait for."""
    threads = ThreadPoolExecutor(count, name)
    stack.callback(threads.shutdown, wait=False, cancel_futures=True)
    return threads
