"""What an operator writes, and what the operator is told."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor import __version__, config
from monitor.config import Config, values
from monitor.config.settings import keys
from monitor.core.baseline import Everything, Latest, Within
from monitor.core.model import ConfigError

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "config" / "podcast-monitor.toml"
SLUG = "latent-space-ai-engineer"
PODCAST = f"""
[[podcasts]]
name = "latent-space"
feed = "https://example.com/feed.xml"
stenobird = "{SLUG}"
"""
SECRET = "s3cr3t"  # whatever a message must never hold

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a configuration of this text, with these variables."""

    def _load(text: str, environ: Mapping[str, str] | None = None) -> Config:
        (tmp_path / "monitor.toml").write_text(text)
        return config.load(Path("monitor.toml"), environ or {}, tmp_path)

    return _load


@pytest.fixture
def mistakes(load: Load, tmp_path: Path) -> Callable[..., list[str]]:
    """Return the lines of the refusal, without the directory."""

    def _mistakes(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as refused:
            load(text, environ)
        assert SECRET not in str(refused.value)
        return str(refused.value).replace(f"{tmp_path}/", "").splitlines()

    return _mistakes


def podcast(**changed: Any) -> str:
    """Return PODCAST_MONITOR_PODCASTS with one podcast."""
    plain = {"name": "latent-space", "feed": "https://example.com/feed.xml", "stenobird": SLUG}
    return json.dumps([plain | changed])


# --- the shipped file, the models and the page say the same --------------------------------


def test_the_shipped_file_spells_out_the_defaults():
    shipped = tomllib.loads(SHIPPED.read_text())
    bare = {key: shipped["podcasts"][0][key] for key in ("name", "feed", "stenobird")}

    assert config.load(SHIPPED, {}) == Config.model_validate({"podcasts": [bare]})


def test_the_shipped_file_holds_every_key_that_an_ordinary_installation_needs():
    shipped = tomllib.loads(SHIPPED.read_text())
    shipped["podcasts"] = shipped["podcasts"][0]

    assert set(_leaves()) - set(_flat(shipped)) == {
        "log.level",
        "stenobird.token_file",
        "podcasts.headers",
        "podcasts.user",
        "podcasts.password",
        "podcasts.password_file",
    }


def test_the_page_lists_every_key_in_the_models_order():
    assert list(_page()) == _leaves()


def test_the_page_tells_every_default():
    required = {"name": "n", "feed": "https://example.com/", "stenobird": "s"}
    told: dict[str, Any] = {"podcasts": [required]}
    for key, default in _page().items():
        *above, last = key.split(".")
        table = told
        for part in above:
            table = table.setdefault(part, {})
            table = table[0] if isinstance(table, list) else table
        if last not in required:
            table[last] = json.loads(default.strip("`"))
        else:
            assert default == "required"

    assert Config.model_validate(told) == Config.model_validate({"podcasts": [required]})


def _page() -> dict[str, str]:
    """Return what docs/configuration.md says: key → default."""
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z_.\[\]]+)` \| (.+?) \| ", page, re.MULTILINE)
    return {key.replace("[]", ""): default for key, default in rows}


def _leaves() -> list[str]:
    """Return every key that is no table."""
    return [".".join(path) for path, is_table in keys() if not is_table]


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{above}{key}.") if inner else {above + key: value}
    return flat


# --- values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, duration):
    assert TypeAdapter(values.Duration).validate_python(text) == duration


@given(st.integers(1, 10**9).map(lambda ms: timedelta(milliseconds=ms)))
def test_a_duration_that_is_written_reads_as_itself(duration):
    assert TypeAdapter(values.Duration).validate_python(values.written(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("2KiB", 2048),
        ("64MiB", 67_108_864),
        ("1.5GiB", 1_610_612_736),
        ("3kB", 3000),
        ("64MB", 64_000_000),
        ("1GB", 1_000_000_000),
    ],
)
def test_a_size_is_a_number_and_a_unit_in_bytes(text, size):
    assert TypeAdapter(values.Size).validate_python(text) == size


@pytest.mark.parametrize(
    "value", ["15", "m", "-1s", "1e3s", "\u0661s", "0s", "0.0000001s", "99999w"]
)
def test_no_other_text_is_a_duration(value):
    with pytest.raises(ValidationError):
        TypeAdapter(values.Duration).validate_python(value)


@pytest.mark.parametrize("value", [15, 1.5, True, None, [], "64 mb", "64M", "0B", "2000GiB"])
def test_nothing_else_is_a_size(value):
    with pytest.raises(ValidationError):
        TypeAdapter(values.Size).validate_python(value)


@pytest.mark.parametrize(
    ("text", "backfill"),
    [
        ("7d", Within(timedelta(days=7))),
        ("none", Latest(0)),
        ("latest:5", Latest(5)),
        ("all", Everything()),
    ],
)
def test_backfill_is_an_age_or_none_or_the_latest_or_all(load, text, backfill):
    loaded = load("", {"PODCAST_MONITOR_PODCASTS": podcast(backfill=text)})

    assert loaded.podcasts[0].backfill == backfill


@pytest.mark.parametrize("value", [7, "7", "latest", "latest:0", "latest:-1", "ALL", "", True])
def test_no_other_value_is_a_backfill(mistakes, value):
    (line,) = mistakes("", {"PODCAST_MONITOR_PODCASTS": podcast(backfill=value)})

    assert line.startswith("PODCAST_MONITOR_PODCASTS: podcasts[0].backfill: ")
    assert line.endswith(
        'is no backfill; write a duration such as "7d", "none", "latest:N" such as "latest:5", or "all"'
    )


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///monitor.db",
        "sqlite:////var/lib/podcast-monitor/monitor.db",
        "postgresql+psycopg://monitor:pw@db.example.com:5433/monitor",
        "postgresql+psycopg:///monitor?host=/run/postgresql",
    ],
)
def test_a_database_is_a_sqlite_file_or_postgresql(load, url):
    assert load(PODCAST, {"PODCAST_MONITOR_DATABASE": url}).database == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"postgres://u:{SECRET}@h/d", "write postgresql+psycopg:// instead and leave the rest"),
        (f"postgresql://u:{SECRET}@h/d", "write postgresql+psycopg:// instead and leave the rest"),
        (f"postgresql+psycopg://u:{SECRET}@h:x/d", "not a database address that can be used"),
        (f"mysql://u:{SECRET}@h/d", 'write "sqlite:///PATH" or "postgresql+psycopg://USER'),
        ("monitor.db", 'write "sqlite:///PATH"'),
        ("", 'write "sqlite:///PATH"'),
        ("sqlite://", "forgets every request"),
        ("sqlite:///:memory:", "forgets every request"),
        ("sqlite:///file:x?mode=memory&uri=true", "forgets every request"),
        ("sqlite://monitor.db", "has two slashes; write three"),
        ("sqlite:///monitor.db?timeout=3", "write the path alone"),
        ("sqlite:///file:monitor.db", "write the path alone"),
        ("sqlite:///file::memory:", "forgets every request"),
    ],
)
def test_any_other_database_is_refused_with_how_to_write_it(mistakes, url, told):
    (line,) = mistakes(PODCAST, {"PODCAST_MONITOR_DATABASE": url})

    assert line.startswith("PODCAST_MONITOR_DATABASE: database: ")
    assert told in line


# --- tables -------------------------------------------------------------------------------


def test_a_partial_table_keeps_its_other_defaults(load):
    loaded = load(PODCAST + 'poll = { min = "1m" }\n[requests]\nretry = { max = "1h" }\n')

    assert loaded.podcasts[0].poll == config.settings.Poll(min="1m", max="6h", per_day=48)
    assert loaded.requests.retry == config.settings.Retry(min="1m", max="1h")


def test_a_configuration_cannot_be_changed(load):
    loaded = load(PODCAST)

    with pytest.raises(ValidationError):
        loaded.mode = "shadow"
    with pytest.raises(ValidationError):
        loaded.podcasts[0].poll.per_day = 1


def test_every_mistake_is_told_at_once_with_its_place_and_a_remedy(mistakes):
    text = f"""
        databse = "sqlite:///x.db"
        mode = "shadwo"
        per_minute = 3
        [log]
        status_every = 15
        [network]
        allow_private = "maybe"
        contact = "a(b)"
        proxy = "socks5://u:{SECRET}@proxy"
        [stenobird]
        base_url = "https://u:{SECRET}@stenobird.com"
        token = "{SECRET} {SECRET}"
        failed_states = "failed"
        [requests]
        per_minute = true
        retry = {{ min = "7h" }}
        [[podcasts]]
        name = "Latent Space"
        feed = "feed://example.com/{SECRET}"
        poll = {{ min = "1x", per_day = 0 }}
        headers = {{ "X Y" = "{SECRET}", A = "{SECRET}\\n", Host = "{SECRET}" }}
        password = "{SECRET}"
        [[podcasts]]
        name = "Latent Space"
        feed = 3
        stenobird = "a/b"
    """
    lines = mistakes(text, {"PODCAST_MONITOR_LOG__FORMAT": "jsn", "PODCAST_MONITOR_LOGS": "x"})

    assert lines == [
        "PODCAST_MONITOR_LOGS: there is no such variable; docs/configuration.md says how they are named",
        'monitor.toml: mode: "shadwo" is not one of "live", "shadow"; did you mean "shadow"?',
        'PODCAST_MONITOR_LOG__FORMAT: log.format: "jsn" is not one of "auto", "console", "json", "logfmt"; did you mean "json"?',
        'monitor.toml: log.status_every: 15 has no unit; write a number and ms, s, m, h, d or w, such as "15s"',
        'monitor.toml: network.contact: "a(b)" cannot stand in a User-Agent; write ASCII without ( ) and \\, such as "mailto:podcasts@example.com"',
        'monitor.toml: network.allow_private: "maybe" is neither true nor false; write one of them',
        'monitor.toml: network.proxy: is not an http:// or https:// address with a host (not shown: it may hold a secret); such as "http://proxy.example.com:3128", or "" for none',
        'monitor.toml: stenobird.base_url: has a user, a query or a fragment (not shown: it may hold a secret); write scheme and host, such as "https://stenobird.com"',
        "monitor.toml: stenobird.token: holds a blank, a line break or a character outside ASCII (not shown); write the bearer token alone",
        'monitor.toml: stenobird.failed_states: is text, not an array; write […], such as ["…"]',
        "monitor.toml: requests.per_minute: true is not a whole number from 1 to 1000000; write it in digits, such as 10",
        'monitor.toml: requests.retry: min "7h" is longer than max "6h" (the default); lower min or raise max',
        'monitor.toml: podcasts[0].name: "Latent Space" is no name; write small letters a to z, digits and hyphens, such as "latent-space"',
        'monitor.toml: podcasts[0].feed: is not an http:// or https:// address with a host and without blanks (not shown: it may hold a secret); such as "https://example.com/feed.xml"',
        'monitor.toml: podcasts[0].stenobird: is missing and cannot be derived from the title; write the segment that follows /podcast/ in Stenobird\'s address of the podcast, such as "latent-space-ai-engineer"',
        'monitor.toml: podcasts[0].poll.min: "1x" is not a duration; write a number and ms, s, m, h, d or w, such as "15m"',
        "monitor.toml: podcasts[0].poll.per_day: 0 is not a whole number from 1 to 1000000; write it in digits, such as 10",
        'monitor.toml: podcasts[0].headers.X Y: "X Y" is no header name; write letters, digits and hyphens, such as "Authorization"',
        "monitor.toml: podcasts[0].headers.A: is no header value (not shown): it is empty, has blanks around it, a line break or a character outside ASCII",
        "monitor.toml: podcasts[0].headers.Host: is a header that each fetch sets for itself; remove it",
        'monitor.toml: podcasts[0].password: is set without a user; add user = "…" beside it',
        'monitor.toml: podcasts[1].name: "Latent Space" is no name; write small letters a to z, digits and hyphens, such as "latent-space"',
        'monitor.toml: podcasts[1].feed: is a number, not text; write text in double quotes, such as "…"',
        'monitor.toml: podcasts[1].stenobird: "a/b" is no slug; write the one path segment that follows /podcast/ in Stenobird\'s address of the podcast, such as "latent-space-ai-engineer"',
        'monitor.toml: databse: there is no such key; did you mean "database"?',
        "monitor.toml: per_minute: there is no such key here; it belongs in [requests]",
        'monitor.toml: podcasts[1].name: "Latent Space" is taken by podcasts[0]; each podcast needs its own',
    ]


def test_the_refusal_holds_its_mistakes_one_by_one(load):
    with pytest.raises(config.ConfigRejectedError) as refused:
        load(PODCAST + 'track = { min = "2d" }')

    (mistake,) = refused.value.mistakes
    assert mistake.origin.endswith("/monitor.toml")
    assert mistake.key == "podcasts[0].track"
    assert mistake.what.startswith('min "2d" is longer than max "1d" (the default)')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stenobird = 1.5", "stenobird: is a number, not a table; write {…} with keys and values"),
        ("log = 2026-10-10", "log: is a date or time, not a table; write {…} with keys and values"),
        ("log = true", "log: is a boolean, not a table; write {…} with keys and values"),
        ("mode = [1]", 'mode: an array is not one of "live", "shadow"; write "live" or "shadow"'),
        ("network.max_body = 64", "network.max_body: 64 has no unit; write a number and B,"),
        ("network.deadline = {}", "network.deadline: a table is not a duration; write a number"),
        ("stenobird.processed_states = []", "stenobird.processed_states: is empty, so that no"),
        ("stenobird.processed_states = [' x']", 'stenobird.processed_states[0]: " x" is no proc'),
        ('"a\\nb" = 1', "a\\nb: there is no such key; possible are database, log, mode"),
        ("min = 1", "min: there is no such key here; it belongs in [requests.retry] or"),
    ],
)
def test_what_is_of_another_kind_is_told_in_one_line(mistakes, tmp_path, text, line):
    (told,) = mistakes(text + PODCAST, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert told.startswith(f"monitor.toml: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "there is no podcast; add a [[podcasts]] table with name, feed and stenobird"),
        ("podcasts = []", "is empty; add a [[podcasts]] table with name, feed and stenobird"),
        ("[podcasts]", "is a table; write [[podcasts]], in two brackets, above each podcast"),
    ],
)
def test_there_must_be_a_podcast(mistakes, text, line):
    assert mistakes(text) == [f"monitor.toml: podcasts: {line}"]


def test_a_podcast_that_is_wrong_is_not_called_missing(mistakes):
    assert mistakes("podcasts = [3]") == [
        "monitor.toml: podcasts[0]: is a number, not a table; write {…} with keys and values"
    ]


@pytest.mark.parametrize(
    ("second", "line"),
    [
        (
            {"name": "latent-space"},
            'podcasts[1].name: "latent-space" is taken by podcasts[0]; each podcast needs its own',
        ),
        (
            {"feed": f"http://EXAMPLE.com:80/{SECRET}#top"},
            "podcasts[1].feed: the address (at example.com) is taken by podcasts[0]; each podcast needs its own",
        ),
        (
            {"stenobird": SLUG.upper()},
            f'podcasts[1].stenobird: "{SLUG.upper()}" is taken by podcasts[0]; each podcast needs its own',
        ),
    ],
)
def test_two_podcasts_share_nothing(mistakes, second, line):
    first = json.loads(podcast(feed=f"https://example.com/{SECRET}"))
    other = {"name": "other", "feed": "https://example.com/other", "stenobird": "other"}
    both = json.dumps([*first, other | second])

    assert mistakes("", {"PODCAST_MONITOR_PODCASTS": both}) == [f"PODCAST_MONITOR_PODCASTS: {line}"]


def test_a_state_is_processed_or_failed_whatever_its_case(mistakes):
    (line,) = mistakes(PODCAST + '[stenobird]\nprocessed_states = ["Done", "FAILED"]')

    assert line.startswith(
        'monitor.toml: stenobird.failed_states: "failed" stands in processed_states too'
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"user": "me:you"}, "podcasts[0].user: holds a colon"),
        ({"user": "me", "password": f"{SECRET}\n"}, "podcasts[0].password: holds a line break"),
        (
            {"user": "me", "headers": {"authorization": SECRET}},
            "podcasts[0].user: is set beside headers.Authorization",
        ),
        ({"headers": {"X-A": SECRET, "x-a": SECRET}}, "podcasts[0].headers: x-a is given twice"),
        ({"headers": {"X-A": ""}}, "podcasts[0].headers.X-A: is no header value"),
        ({"headers": {"X-A": f"{SECRET}ü"}}, "podcasts[0].headers.X-A: is no header value"),
        ({"headers": SECRET}, "podcasts[0].headers: is text, not a table"),
        ({"feed": f"https:///{SECRET}"}, "podcasts[0].feed: is not an http:// or https://"),
        ({"feed": f"https://a:{SECRET}/b@c"}, "podcasts[0].feed: is not an http:// or https://"),
        ({"feed": f"https://a/{SECRET} b"}, "podcasts[0].feed: is not an http:// or https://"),
    ],
)
def test_what_cannot_go_into_a_request_is_refused(mistakes, changed, told):
    (line,) = mistakes("", {"PODCAST_MONITOR_PODCASTS": podcast(**changed)})

    assert told in line


# --- the file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[log]\nformat = json",
            'line 2, column 10: not TOML: Invalid value; text stands in double quotes, such as "json"',
        ),
        ('mode = "live', "line 1, column 13: not TOML: Unterminated string"),
    ],
)
def test_a_syntax_error_is_one_line_with_its_place(mistakes, text, told):
    assert mistakes(text) == [f"monitor.toml: {told}"]


def test_a_file_that_is_not_utf8_is_told_by_its_byte(tmp_path):
    (tmp_path / "x.toml").write_bytes(b'mode = "\xff"')

    with pytest.raises(ConfigError, match="byte 8 is not UTF-8"):
        config.load(Path("x.toml"), {}, tmp_path)


def test_a_directory_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path, {})


def test_a_byte_order_mark_does_no_harm(load):
    assert load("\ufeff" + PODCAST).mode == "live"


def test_the_chosen_file_comes_before_the_working_directorys(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "podcast-monitor.toml").write_text('mode = "shadow"' + PODCAST)
    (tmp_path / "chosen.toml").write_text(PODCAST)

    assert config.load(None, {}, tmp_path).mode == "shadow"
    assert config.load(None, {"PODCAST_MONITOR_CONFIG": ""}, tmp_path).mode == "shadow"
    assert config.load(None, {"PODCAST_MONITOR_CONFIG": "chosen.toml"}, tmp_path).mode == "live"
    assert config.load(Path("chosen.toml"), {"PODCAST_MONITOR_CONFIG": "x"}, tmp_path)


def test_without_any_file_the_places_are_told_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(config.sources, "SYSTEM_WIDE", tmp_path / "etc" / "podcast-monitor.toml")

    with pytest.raises(ConfigError) as refused:
        config.load(None, {}, tmp_path)

    assert str(refused.value) == (
        f"no configuration was found: neither {tmp_path}/config/podcast-monitor.toml"
        f" nor {tmp_path}/etc/podcast-monitor.toml exists and PODCAST_MONITOR_CONFIG is not set;"
        " copy the shipped config/podcast-monitor.toml to one of them,"
        " or say where it is with --config PATH"
    )


def test_a_file_that_was_asked_for_has_no_substitute(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "podcast-monitor.toml").write_text(PODCAST)

    with pytest.raises(ConfigError, match=r"PODCAST_MONITOR_CONFIG: there is no file gone\.toml"):
        config.load(None, {"PODCAST_MONITOR_CONFIG": "gone.toml"}, tmp_path)
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file"):
        config.load(Path("gone.toml"), {}, tmp_path)


def test_a_place_that_cannot_be_looked_at_is_told_too(load, tmp_path):
    too_long = "x" * 300

    with pytest.raises(ConfigError, match=r"x: cannot be read \(File name too long\)"):
        config.load(None, {"PODCAST_MONITOR_CONFIG": too_long}, tmp_path)
    with pytest.raises(ConfigError, match=r"database: cannot be read \(File name too long\)"):
        load(PODCAST, {"CREDENTIALS_DIRECTORY": too_long})


# --- the environment ----------------------------------------------------------------------


def test_the_environment_beats_the_file_key_by_key(load):
    loaded = load(
        PODCAST + '[log]\nformat = "json"\nstatus_every = "1h"\n[requests]\nretry = {min = "2m"}',
        {
            "PODCAST_MONITOR_LOG__FORMAT": "logfmt",
            "PODCAST_MONITOR_REQUESTS__RETRY__MAX": "3h",
            "PODCAST_MONITOR_REQUESTS__PER_MINUTE": "12",
            "PODCAST_MONITOR_NETWORK__ALLOW_PRIVATE": "true",
            "PODCAST_MONITOR_STENOBIRD__PROCESSED_STATES": '["processed", "done"]',
            "PODCAST_MONITOR_CONFIG": "not asked for",
            "HOME": "/nobody",
        },
    )

    assert loaded.log.format == "logfmt"
    assert loaded.log.status_every == timedelta(hours=1)
    assert loaded.requests.retry == config.settings.Retry(min="2m", max="3h")
    assert loaded.requests.per_minute == 12
    assert loaded.network.allow_private is True
    assert loaded.stenobird.processed_states == ("processed", "done")


def test_the_processes_own_environment_is_never_read_behind_the_callers_back(load, monkeypatch):
    monkeypatch.setenv("PODCAST_MONITOR_MODE", "shadow")

    assert load(PODCAST).mode == "live"


def test_podcasts_in_the_environment_replace_the_files(load):
    loaded = load(
        PODCAST + 'password_file = "gone"',
        {"PODCAST_MONITOR_PODCASTS": podcast(name="other", poll={"per_day": 4})},
    )

    assert [p.name for p in loaded.podcasts] == ["other"]
    assert loaded.podcasts[0].poll.per_day == 4


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            f'[{{"name": "{SECRET}",}}]',
            "is not JSON (Expecting property name enclosed in double quotes at line 1, column 20)",
        ),
        (f'{{"name": "{SECRET}"}}', "is a table, not an array"),
        (f'"{SECRET}"', "is not an array"),
    ],
)
def test_podcasts_that_are_no_json_array_are_refused(mistakes, value, told):
    (line,) = mistakes(PODCAST, {"PODCAST_MONITOR_PODCASTS": value})

    assert line.startswith("PODCAST_MONITOR_PODCASTS: podcasts: ")
    assert told in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PODCAST_MONITOR_LOG", "did you mean PODCAST_MONITOR_LOG__FORMAT?"),
        ("PODCAST_MONITOR_LOG_FORMAT", "did you mean PODCAST_MONITOR_LOG__FORMAT?"),
        ("podcast_monitor_mode", "did you mean PODCAST_MONITOR_MODE?"),
        ("PODCAST_MONITOR_PODCASTS__0__NAME", "the podcasts are one JSON array"),
    ],
)
def test_an_unknown_variable_is_a_mistake(mistakes, name, told):
    (line,) = mistakes(PODCAST, {name: SECRET})

    assert line.startswith(f"{name}: there is no such variable; {told}")


def test_min_and_max_from_two_sources_are_blamed_on_the_variable(mistakes):
    (line,) = mistakes(PODCAST, {"PODCAST_MONITOR_REQUESTS__RETRY__MIN": "7h"})

    assert line.startswith("PODCAST_MONITOR_REQUESTS__RETRY__MIN: requests.retry: ")


# --- secrets ------------------------------------------------------------------------------


def test_a_secret_can_come_from_a_file(load, tmp_path):
    (tmp_path / "token").write_text(f"{SECRET}\n")
    (tmp_path / "password").write_text("pass word\r\n")
    loaded = load(
        PODCAST + 'user = "me"\npassword_file = "password"\n[stenobird]\ntoken = "other"',
        {"PODCAST_MONITOR_STENOBIRD__TOKEN_FILE": str(tmp_path / "token")},
    )

    assert loaded.stenobird.token.get_secret_value() == SECRET
    assert loaded.podcasts[0].password.get_secret_value() == "pass word"


def test_a_credential_beats_environment_and_file(load, tmp_path):
    (tmp_path / "stenobird-token").write_text(SECRET)
    (tmp_path / "latent-space-password").write_text(SECRET)
    (tmp_path / "database").write_text(f"postgresql+psycopg://u:{SECRET}@h/d\n")
    loaded = load(
        PODCAST + 'user = "me"',
        {
            "CREDENTIALS_DIRECTORY": str(tmp_path),
            "PODCAST_MONITOR_STENOBIRD__TOKEN": "from-the-environment",
            "PODCAST_MONITOR_DATABASE": "sqlite:///other.db",
        },
    )

    assert loaded.stenobird.token.get_secret_value() == SECRET
    assert loaded.podcasts[0].password.get_secret_value() == SECRET
    assert loaded.database == f"postgresql+psycopg://u:{SECRET}@h/d"


def test_without_their_files_credentials_change_nothing(load, tmp_path):
    loaded = load(PODCAST, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert not loaded.stenobird.token
    assert loaded.database == "sqlite:///podcast-monitor.db"


def test_a_bad_secret_is_told_by_the_file_that_holds_it(mistakes, tmp_path):
    (tmp_path / "stenobird-token").write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "database").write_text(f"postgres://u:{SECRET}@h/d")
    (tmp_path / "latent-space-password").write_text("\n")
    lines = mistakes(PODCAST + 'user = "me"', {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert [line.split(": ")[:2] for line in lines] == [
        ["latent-space-password", "podcasts[0].password"],
        ["database", "database"],
        ["stenobird-token", "stenobird.token"],
    ]
    assert "is empty" in lines[0]


def test_a_secret_file_that_cannot_be_read_is_a_mistake(mistakes):
    assert mistakes(PODCAST + 'user = "me"\npassword_file = "gone"') == [
        "monitor.toml: podcasts[0].password_file: gone cannot be read (No such file or directory); give a file that this user may read"
    ]


def test_a_secret_file_that_is_not_utf8_is_a_mistake(mistakes, tmp_path):
    (tmp_path / "token").write_bytes(b"\xff")

    assert mistakes(PODCAST + '[stenobird]\ntoken_file = "token"') == [
        "monitor.toml: stenobird.token_file: token is not UTF-8; save it as UTF-8"
    ]


def test_a_secret_and_its_file_exclude_each_other(mistakes):
    assert mistakes(PODCAST + f'[stenobird]\ntoken = "{SECRET}"\ntoken_file = "x"') == [
        "monitor.toml: stenobird.token_file: is set beside token; keep one of the two"
    ]


def test_no_representation_shows_a_secret(load):
    loaded = load(
        f'database = "postgresql+psycopg://u:{SECRET}@h/d"\n'
        f'[stenobird]\ntoken = "{SECRET}"\n[network]\nproxy = "http://u:{SECRET}@proxy"',
        {
            "PODCAST_MONITOR_PODCASTS": podcast(
                feed=f"https://u:{SECRET}@example.com/{SECRET}?{SECRET}",
                user="me",
                password=SECRET,
                headers={"X-Token": SECRET},
            )
        },
    )

    assert SECRET in loaded.podcasts[0].feed
    assert SECRET not in f"{loaded!r} {loaded} {loaded.podcasts[0]!r}"


def test_a_models_own_error_hides_its_input_too():
    with pytest.raises(ValidationError) as refused:
        Config.model_validate({"podcasts": [{"name": "x", "feed": f"ftp://{SECRET}"}]})

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("key", ["feed", "password", "headers", "poll", "track"])
@pytest.mark.parametrize("wrong", [SECRET, [SECRET], {"a b": SECRET}, 5], ids=str)
def test_no_mistake_shows_what_stands_where_a_secret_may_stand(mistakes, key, wrong):
    assert mistakes("", {"PODCAST_MONITOR_PODCASTS": podcast(**{key: wrong})})


# --- the User-Agent -----------------------------------------------------------------------


def test_the_user_agent_names_the_contact(load):
    contact = '[network]\ncontact = "mailto:me@example.com"'

    assert config.user_agent(load(PODCAST)) == f"podcast-monitor/{__version__}"
    assert (
        config.user_agent(load(PODCAST + contact))
        == f"podcast-monitor/{__version__} (+mailto:me@example.com)"
    )


def test_every_table_refuses_unknown_keys_and_is_frozen():
    def tables(model: type[BaseModel]) -> set[type[BaseModel]]:
        return {model}.union(*(tables(inner) for inner in model.__subclasses__()))

    for table in tables(config.settings.Table):
        assert table.model_config["extra"] == "forbid", table
        assert table.model_config["frozen"], table
