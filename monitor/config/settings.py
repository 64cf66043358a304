"""Every key of the configuration with its default, and what keys ask of each other.

Frozen, and readable by anybody: no ``repr`` shows a secret, a feed's or a database's address.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from monitor.config import addresses, values
from monitor.core.baseline import Within


class Table(BaseModel):
    # hide_input_in_errors: pydantic's own message would quote tokens and feeds
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Range(Table):
    """Least and greatest delay."""

    min: values.Duration
    max: values.Duration

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(
                f"{self._spelled('min')} is longer than {self._spelled('max')};"
                " lower min or raise max"
            )
        return self

    def _spelled(self, key: Literal["min", "max"]) -> str:
        default = "" if key in self.model_fields_set else " (the default)"
        return f'{key} "{values.written(getattr(self, key))}"{default}'


class Poll(Range):
    min: values.Duration = timedelta(minutes=5)
    max: values.Duration = timedelta(hours=6)
    per_day: values.Count = 48


class Track(Range):
    min: values.Duration = timedelta(minutes=5)
    max: values.Duration = timedelta(days=1)


class Retry(Range):
    min: values.Duration = timedelta(minutes=1)
    max: values.Duration = timedelta(hours=6)  # Retry-After's cap, too


class NotListed(Range):
    min: values.Duration = timedelta(minutes=10)
    max: values.Duration = timedelta(days=1)


class LogConfig(Table):
    format: Literal["auto", "console", "json", "logfmt"] = "auto"
    status_every: values.Duration = timedelta(minutes=15)
    level: Literal["info", "warning", "error"] = "info"


class NetworkConfig(Table):
    contact: addresses.Contact = ""
    deadline: values.Duration = timedelta(seconds=60)  # of a whole fetch
    max_body: values.Size = 64 * 2**20  # bytes, after decompression
    per_host_interval: values.Duration = timedelta(seconds=1)
    allow_private: bool = False
    proxy: addresses.ProxyUrl = Field(default="", repr=False)  # empty: none; may hold a password


def _at_least_one(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise ValueError('is empty, so that no episode would ever be done; write ["processed"]')
    return words


class StenobirdConfig(Table):
    base_url: addresses.BaseUrl = "https://stenobird.com"  # without a slash at its end
    token: addresses.Token = SecretStr("")  # empty: none
    token_file: str = ""  # has been read into token
    processed_states: Annotated[tuple[values.Word, ...], AfterValidator(_at_least_one)] = (
        "processed",
    )
    failed_states: tuple[values.Word, ...] = Field(
        default=("failed", "canceled", "cancelled", "rejected"), validate_default=True
    )

    @field_validator("failed_states")
    @classmethod
    def _mean_one_thing(cls, failed: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        processed = {word.casefold() for word in info.data.get("processed_states", ())}
        if both := [word for word in failed if word.casefold() in processed]:
            words = ", ".join(map(values.shown, both))
            raise ValueError(
                f"{words} stands in processed_states too (case does not count);"
                " a state is one or the other: remove it from one of the two"
            )
        return failed


class RequestsConfig(Table):
    per_minute: values.Count = 6  # POSTs
    audio_minutes_per_day: values.Count = 600
    retry: Retry = Retry()
    not_listed: NotListed = NotListed()
    stalled_after: values.Duration = timedelta(days=3)
    bulk_over: values.CountOrNone = 10
    backdated_over: values.Duration = timedelta(days=30)


def _each_once(headers: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    names = [name.lower() for name in headers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is given twice (case does not count); keep one")
    return headers


class PodcastConfig(Table):
    name: values.Name
    feed: addresses.FeedUrl = Field(repr=False)  # private feeds carry tokens in path and query
    stenobird: values.Slug
    poll: Poll = Poll()
    track: Track = Track()
    backfill: values.HowFarBack = Within(timedelta(days=7))
    headers: Annotated[
        Mapping[addresses.FieldName, addresses.FieldValue], AfterValidator(_each_once)
    ] = Field(default_factory=dict)
    user: addresses.User = ""
    password: addresses.Password = SecretStr("")
    password_file: str = ""  # has been read into password

    @field_validator("password")
    @classmethod
    def _has_a_user(cls, password: SecretStr, info: ValidationInfo) -> SecretStr:
        if password and info.data.get("user") == "":
            raise ValueError('is set without a user; add user = "…" beside it')
        return password

    @field_validator("user")
    @classmethod
    def _is_the_only_authorization(cls, user: str, info: ValidationInfo) -> str:
        headers = info.data.get("headers", {})
        if user and "authorization" in {name.lower() for name in headers}:
            raise ValueError("is set beside headers.Authorization; keep one of the two")
        return user


def _some(podcasts: tuple[PodcastConfig, ...]) -> tuple[PodcastConfig, ...]:
    if not podcasts:
        raise ValueError("is empty; add a [[podcasts]] table with name, feed and stenobird")
    return podcasts


class Config(Table):
    """What the operator decided. Made by ``load``, which checks what podcasts ask of each other."""

    database: addresses.DatabaseUrl = Field(default="sqlite:///podcast-monitor.db", repr=False)
    mode: Literal["live", "shadow"] = "live"
    log: LogConfig = LogConfig()
    network: NetworkConfig = NetworkConfig()
    stenobird: StenobirdConfig = StenobirdConfig()
    requests: RequestsConfig = RequestsConfig()
    podcasts: Annotated[tuple[PodcastConfig, ...], AfterValidator(_some)]


def keys(table: type[BaseModel] = Config) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the path of every key, with whether it holds further keys; a table before its keys."""
    for name, field in table.model_fields.items():
        inner = _table(field.annotation)
        yield (name,), inner is not None
        if inner is not None:
            yield from (((name, *path), more) for path, more in keys(inner))


def _table(annotation: object) -> type[BaseModel] | None:
    """Return the table that an annotation names, alone or as the members of a tuple."""
    inner = next(iter(get_args(annotation)), annotation)
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
