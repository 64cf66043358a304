"""What addresses and whatever goes into an HTTP header may look like.

As in ``values``, but no message quotes a value: private feeds carry tokens in path and query,
a database's address its password.
"""

import re
from typing import Annotated

import httpx
import sqlalchemy as sa
from pydantic import AfterValidator, SecretStr

from monitor.config.values import shown

_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FIELD_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")  # section 5.5, without obs-text
_TOKEN = re.compile(r"[!-~]*")
_COMMENT = re.compile(r"[ -'*-\[\]-~]*")  # RFC 9110, section 5.6.5: without ( ) and \
# What every fetch sets for itself: another value would break conditional GETs or framing.
_OUR_FIELDS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "range", "transfer-encoding"}
    | {"if-modified-since", "if-none-match"}
)


def parsed_url(value: str) -> httpx.URL | None:
    """Return *value* as httpx reads it, None where it is no http(s) address with a host."""
    if _BLANK_OR_CONTROL.search(value):
        return None
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:  # its text quotes parts of the URL: not to be passed on
        return None
    return url if url.scheme in {"http", "https"} and url.host else None


def _web_address(value: str) -> str:
    if parsed_url(value) is None:
        raise ValueError(
            "is not an http:// or https:// address with a host and without blanks"
            ' (not shown: it may hold a secret); such as "https://example.com/feed.xml"'
        )
    return value


def _origin(value: str) -> str:
    url = parsed_url(_web_address(value))
    if url is None or url.userinfo or url.query or url.fragment:
        raise ValueError(
            "has a user, a query or a fragment (not shown: it may hold a secret);"
            ' write scheme and host, such as "https://stenobird.com"'
        )
    return value.rstrip("/")


def _proxy(value: str) -> str:
    if value and parsed_url(value) is None:
        raise ValueError(
            "is not an http:// or https:// address with a host (not shown: it may hold a"
            ' secret); such as "http://proxy.example.com:3128", or "" for none'
        )
    return value


def _database(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if scheme in {"postgres", "postgresql"}:
        raise ValueError(
            f"begins with {scheme}://; write postgresql+psycopg:// instead and leave the rest as it is"
        )
    if scheme == "sqlite":
        return _sqlite(value, rest)
    try:
        known = scheme == "postgresql+psycopg" and sa.make_url(value)
    except (sa.exc.ArgumentError, ValueError):  # the texts quote the URL, password included
        known = False
    if not known:
        raise ValueError(
            "is not a database address that can be used (not shown: it may hold a password);"
            ' write "sqlite:///PATH" or "postgresql+psycopg://USER:PASSWORD@HOST/NAME",'
            " with special characters of the password percent-encoded"
        )
    return value


def _sqlite(value: str, rest: str) -> str:
    path, _, options = rest.removeprefix("/").partition("?")
    if path in {"", ":memory:", "file::memory:"} or "mode=memory" in options:
        raise ValueError(
            "is a SQLite database in memory, which forgets every request with the process;"
            ' write a file, such as "sqlite:///podcast-monitor.db"'
        )
    if not rest.startswith("/"):
        raise ValueError(
            'has two slashes; write three and then the path, such as "sqlite:///podcast-monitor.db",'
            ' or four for an absolute one, such as "sqlite:////var/lib/podcast-monitor/monitor.db"'
        )
    if options or path.startswith("file:"):
        raise ValueError(
            "has file: or options in it; write the path alone: all that is needed is set already"
        )
    return value


def _contact(value: str) -> str:
    if not _COMMENT.fullmatch(value):
        raise ValueError(
            f"{shown(value)} cannot stand in a User-Agent; write ASCII without ( ) and \\,"
            ' such as "mailto:podcasts@example.com"'
        )
    return value


def _token(value: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(value.get_secret_value()):
        raise ValueError(
            "holds a blank, a line break or a character outside ASCII (not shown);"
            " write the bearer token alone"
        )
    return value


def _user(value: str) -> str:
    if ":" in value or _CONTROL.search(value):  # RFC 7617, section 2
        raise ValueError("holds a colon or a control character; HTTP allows neither in a user")
    return value


def _password(value: SecretStr) -> SecretStr:
    if _CONTROL.search(value.get_secret_value()):  # RFC 7617, section 2
        raise ValueError("holds a line break or another control character (not shown)")
    return value


def _field_name(value: str) -> str:
    if not _FIELD_NAME.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is no header name; write letters, digits and hyphens,"
            ' such as "Authorization"'
        )
    if value.lower() in _OUR_FIELDS:
        raise ValueError("is a header that each fetch sets for itself; remove it")
    return value


def _field_value(value: SecretStr) -> SecretStr:
    if not _FIELD_VALUE.fullmatch(value.get_secret_value()):
        raise ValueError(
            "is no header value (not shown): it is empty, has blanks around it, a line break"
            " or a character outside ASCII"
        )
    return value


FeedUrl = Annotated[str, AfterValidator(_web_address)]
BaseUrl = Annotated[str, AfterValidator(_origin)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
Contact = Annotated[str, AfterValidator(_contact)]
Token = Annotated[SecretStr, AfterValidator(_token)]
User = Annotated[str, AfterValidator(_user)]
Password = Annotated[SecretStr, AfterValidator(_password)]
FieldName = Annotated[str, AfterValidator(_field_name)]
FieldValue = Annotated[SecretStr, AfterValidator(_field_value)]
