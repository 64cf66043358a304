"""Where the configuration comes from: a credential beats the environment beats the file.

Everything is read and nothing is judged, but for what cannot be read at all.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from monitor.config.mistakes import Mistake, closest
from monitor.config.settings import Config, keys
from monitor.core.model import ConfigError

PREFIX = "PODCAST_MONITOR_"
CONFIG_VARIABLE = "PODCAST_MONITOR_CONFIG"
IN_WORKING_DIRECTORY = Path("config/podcast-monitor.toml")
SYSTEM_WIDE = Path("/etc/podcast-monitor/podcast-monitor.toml")

_TOML_PLACE = re.compile(r" \(at (?:(line \d+), (column \d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that was found, not yet checked."""

    file: Path
    data: dict[str, Any]
    origins: dict[tuple[str | int, ...], str] = field(default_factory=dict)  # path → not the file
    mistakes: list[Mistake] = field(default_factory=list)

    def origin(self, path: tuple[str | int, ...]) -> str:
        """Return the variable, the credential or the file that *path* came from."""
        above = (path[:length] for length in range(len(path), 0, -1))
        return next((self.origins[p] for p in above if p in self.origins), str(self.file))


def gather(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Gathered:
    """Read the file, the variables and the credentials into one.

    Raises:
        ConfigError: there is no file, or it is not TOML.
    """
    file = cwd / path if path else _find(environ, cwd)
    found = Gathered(file, _parsed(file))
    _read_secret_files(found, found.data, cwd)
    found.mistakes.extend(_unknown_variables(environ))
    above = _Variables({n: v for n, v in environ.items() if n in _VARIABLES})()
    found.origins.update({_VARIABLES[name]: name for name in environ if name in _VARIABLES})
    _read_secret_files(found, above, cwd)
    _lay_over(found.data, above)
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        _read_credentials(found, Path(directory))
    return found


# --- the file ----------------------------------------------------------------------------


def _find(environ: Mapping[str, str], cwd: Path) -> Path:
    if chosen := environ.get(CONFIG_VARIABLE):
        if (cwd / chosen).exists():
            return cwd / chosen
        raise ConfigError(
            f"{CONFIG_VARIABLE}: there is no file {chosen}; set it to one that exists, or unset it"
        )
    places = (cwd / IN_WORKING_DIRECTORY, SYSTEM_WIDE)
    for place in places:
        if place.exists():
            return place
    raise ConfigError(
        f"no configuration was found: neither {places[0]} nor {places[1]} exists and"
        f" {CONFIG_VARIABLE} is not set; copy the shipped config/podcast-monitor.toml to one of"
        " them, or say where it is with --config PATH"
    )


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; give --config one that exists") from None
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); let this user read it"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {_syntax(str(error))}") from None


def _syntax(message: str) -> str:
    place = _TOML_PLACE.search(message)
    where = ", ".join(filter(None, place.groups())) if place else ""
    what = _TOML_PLACE.sub("", message)
    hint = '; text stands in double quotes, such as "json"' if what == "Invalid value" else ""
    return f"{where or 'at its end'}: not TOML: {what}{hint}"


# --- the environment ---------------------------------------------------------------------


def _variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    for path, is_table in keys():
        if path == ("podcasts",) or not (is_table or path[0] == "podcasts"):
            yield PREFIX + "__".join(path).upper(), path


_VARIABLES = dict(_variables())  # name → path


class _Environment(Config, BaseSettings):
    """Which variables there are, for pydantic-settings. Never made: it would read os.environ."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


class _Variables(EnvSettingsSource):
    """The variables of any mapping, as nested tables."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(_Environment)
        self.env_vars = {name.lower(): value for name, value in environ.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode JSON; other text stays, and is refused with all the other mistakes."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Mistake]:
    known = {*_VARIABLES, CONFIG_VARIABLE}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name not in known:
            what = "there is no such variable; " + closest(name.upper(), known)
            if name.upper().startswith(PREFIX + "PODCASTS_"):
                what = (
                    "there is no such variable; the podcasts are one JSON array,"
                    ' PODCAST_MONITOR_PODCASTS=[{"name": …, "feed": …, "stenobird": …}]'
                )
            yield Mistake(name, "", what)


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value


# --- secrets in files --------------------------------------------------------------------


def _read_secret_files(found: Gathered, layer: Mapping[str, Any], cwd: Path) -> None:
    """Put what ``token_file`` and ``password_file`` hold where the secret itself would stand."""
    for path, table in _tables(layer):
        key = "password" if path[0] == "podcasts" else "token"
        name = table.get(f"{key}_file")
        if not (isinstance(name, str) and name):
            continue
        if table.get(key):
            what = f"is set beside {key}; keep one of the two"
            found.mistakes.append(_mistake(found, (*path, f"{key}_file"), what))
            continue
        try:
            table[key] = _secret(cwd / name)
        except ValueError as error:
            found.mistakes.append(_mistake(found, (*path, f"{key}_file"), f"{name} {error}"))


def _read_credentials(found: Gathered, directory: Path) -> None:
    """Read systemd's (``LoadCredential=``): database, stenobird-token and NAME-password."""
    places: list[tuple[tuple[str | int, ...], dict[str, Any], str]] = [
        (("database",), found.data, "database")
    ]
    if isinstance(stenobird := found.data.setdefault("stenobird", {}), dict):
        places.append((("stenobird", "token"), stenobird, "stenobird-token"))
    for path, table in _tables(found.data):
        if path[0] == "podcasts" and isinstance(table.get("name"), str):
            places.append(((*path, "password"), table, f"{table['name']}-password"))
    for path, table, name in places:
        credential = directory / name
        if "/" in name or not credential.exists():
            continue
        found.origins[path] = str(credential)
        try:
            table[str(path[-1])] = _secret(credential)
        except ValueError as error:
            found.mistakes.append(_mistake(found, path, str(error)))


def _tables(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Yield the tables that may hold secrets, as far as they are tables."""
    if isinstance(stenobird := data.get("stenobird"), dict):
        yield ("stenobird",), stenobird
    if isinstance(podcasts := data.get("podcasts"), list):
        for index, podcast in enumerate(podcasts):
            if isinstance(podcast, dict):
                yield ("podcasts", index), podcast


def _secret(file: Path) -> str:
    """Return a file's text without the line break at its end.

    Raises:
        ValueError: it cannot be read or is empty; the text says so, without the file's name.
    """
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); let this user read it") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save it as UTF-8") from None
    if not secret:
        raise ValueError("is empty; write the secret into it, or remove it")
    return secret


def _mistake(found: Gathered, path: tuple[str | int, ...], what: str) -> Mistake:
    return Mistake(found.origin(path), dotted(path), what)
