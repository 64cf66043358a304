"""Where the configuration comes from: a credential beats the environment beats the file.

Everything is read and nothing is judged, but for what cannot be read at all.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from monitor.config import secrets
from monitor.config.gathered import Gathered, Mistake, is_there
from monitor.config.settings import Config, keys
from monitor.core.model import ConfigError

PREFIX = "PODCAST_MONITOR_"
CONFIG_VARIABLE = "PODCAST_MONITOR_CONFIG"
IN_WORKING_DIRECTORY = Path("config/podcast-monitor.toml")
SYSTEM_WIDE = Path("/etc/podcast-monitor/podcast-monitor.toml")

_TOML_PLACE = re.compile(r" \(at (?:(line \d+, column \d+)|end of document)\)$")


def gather(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Gathered:
    """Read the file, the variables and the credentials into one.

    Raises:
        ConfigError: there is no file, or it is not TOML.
    """
    file = cwd / path if path else _find(environ, cwd)
    found = Gathered(file, _parsed(file))
    variables = {name: value for name, value in environ.items() if name in _VARIABLES}
    above = _Variables(variables)()
    if "podcasts" in above:  # replaces the whole list
        found.data.pop("podcasts", None)
    secrets.read_files(found, found.data, cwd)
    found.mistakes.extend(_unknown_variables(environ))
    found.origins.update({_VARIABLES[name]: name for name in variables})
    secrets.read_files(found, above, cwd)
    _lay_over(found.data, above)
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        secrets.read_credentials(found, Path(directory))
    return found


# --- the file ----------------------------------------------------------------------------


def _find(environ: Mapping[str, str], cwd: Path) -> Path:
    if chosen := environ.get(CONFIG_VARIABLE):
        if is_there(cwd / chosen):
            return cwd / chosen
        raise ConfigError(
            f"{CONFIG_VARIABLE}: there is no file {chosen}; set it to one that exists, or unset it"
        )
    places = (cwd / IN_WORKING_DIRECTORY, SYSTEM_WIDE)
    for place in places:
        if is_there(place):
            return place
    raise ConfigError(
        f"no configuration was found: neither {places[0]} nor {places[1]} exists and"
        f" {CONFIG_VARIABLE} is not set; copy the shipped config/podcast-monitor.toml to one of"
        " them, or say where it is with --config PATH"
    )


def _parsed(file: Path) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file; give --config one that exists") from None
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror}); give a file that this user may read"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {_syntax(str(error), text)}") from None


def _syntax(message: str, text: str) -> str:
    """Return tomllib's message with the place in front, the last one of *text* for its end."""
    lines = text.split("\n")
    place = _TOML_PLACE.search(message)
    where = place[1] if place and place[1] else f"line {len(lines)}, column {len(lines[-1]) + 1}"
    what = _TOML_PLACE.sub("", message)
    hint = '; text stands in double quotes, such as "json"' if what == "Invalid value" else ""
    return f"{where}: not TOML: {what}{hint}"


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
        """Decode JSON arrays; other text stays, and is refused with all the other mistakes."""
        try:
            decoded = super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
        return decoded if isinstance(decoded, list | dict) else value


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[Mistake]:
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name not in {*_VARIABLES, CONFIG_VARIABLE}:
            yield Mistake(name, "", f"there is no such variable; {_meant(name.upper())}")


def _meant(name: str) -> str:
    if name.startswith(f"{PREFIX}PODCASTS"):
        return (
            "the podcasts are one JSON array,"
            ' PODCAST_MONITOR_PODCASTS=[{"name": "…", "feed": "…", "stenobird": "…"}]'
        )
    inside = [known for known in _VARIABLES if known.startswith(f"{name}__")]
    bare = {known.removeprefix(PREFIX): known for known in [*_VARIABLES, CONFIG_VARIABLE]}
    near = inside or [bare[n] for n in get_close_matches(name.removeprefix(PREFIX), bare)]
    return f"did you mean {near[0]}?" if near else "docs/configuration.md says how they are named"


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value
