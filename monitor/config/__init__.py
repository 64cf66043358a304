"""The configuration: TOML, environment and credentials, read once into one frozen value.

``docs/configuration.md`` lists every key. Nothing here is global: whoever needs a setting is
handed it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from monitor import __version__
from monitor.config import mistakes, sources
from monitor.config.gathered import Mistake
from monitor.config.settings import Config, PodcastConfig, Range
from monitor.core.model import ConfigError, LogEvent

__all__ = [
    "Config",
    "ConfigRejectedError",
    "Mistake",
    "PodcastConfig",
    "Range",
    "load",
    "rejections",
    "user_agent",
]


class ConfigRejectedError(ConfigError):
    """A configuration with mistakes; its text is all of them, a line each."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def load(path: Path | None, environ: Mapping[str, str], cwd: Path | None = None) -> Config:
    """Return the configuration, checked as a whole.

    Without *path* it is the file that $PODCAST_MONITOR_CONFIG names, else
    ``config/podcast-monitor.toml`` in *cwd* (None: the process's working directory), else
    ``/etc/podcast-monitor/podcast-monitor.toml``.

    Raises:
        ConfigRejectedError: there are mistakes; all of them are in it.
        ConfigError: there is no file, or it is not TOML.
    """
    found = sources.gather(path, environ, cwd or Path())
    config = None
    try:
        config = Config.model_validate(found.data)
    except ValidationError as error:
        mistakes.add_refused(found, error)
    mistakes.add_clashes(found)
    if config is None or found.mistakes:
        raise ConfigRejectedError(tuple(found.mistakes))
    return config


def rejections(error: ConfigError) -> Iterator[LogEvent]:
    """Yield what a running daemon says of a configuration that it does not take, a line a mistake."""
    whole = Mistake("", "", str(error))
    for mistake in getattr(error, "mistakes", (whole,)):
        told = {"file": mistake.origin or None, "key": mistake.key or None, "reason": mistake.what}
        yield LogEvent("config.rejected", level="error", fields=told)


def user_agent(config: Config) -> str:
    """Return what every request says of us (RFC 9110, section 10.1.5)."""
    contact = config.network.contact
    return f"podcast-monitor/{__version__}" + (f" (+{contact})" if contact else "")
