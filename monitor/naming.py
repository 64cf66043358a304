"""What an operator means by a name: one episode, or one podcast. Else the candidates are told."""

from collections.abc import Iterable

from monitor.adapters.store import reading
from monitor.adapters.store.database import Database
from monitor.adapters.store.reading import EpisodeRow
from monitor.config import Config
from monitor.core.model import ConfigError
from monitor.log.fields import escaped

MOST_CANDIDATES = 10


def the_episode(database: Database, name: str) -> EpisodeRow:
    """Return the one episode that *name* means.

    PODCAST/NAME means the same, of one podcast only: two feeds may share a guid.

    Raises:
        ConfigError: it may mean several, or none.
    """
    rows = database.read(reading.matching, name) or _of_a_podcast(database, name)
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise ConfigError(
            f"{name!r} may mean {len(rows)} episodes; name one by its guid"
            f" (or PODCAST/GUID):\n{_candidates(rows)}"
        )
    raise ConfigError(
        f"no episode is known by {name!r}; EPISODE is a guid, a slug, a post id or a part of a"
        " title, and `podcast-monitor episodes` lists them"
    )


def _of_a_podcast(database: Database, name: str) -> list[EpisodeRow]:
    podcast, _, rest = name.partition("/")
    rows = database.read(reading.matching, rest) if rest else []
    return [row for row in rows if row.podcast == podcast]


def _candidates(rows: list[EpisodeRow]) -> str:
    """Return the episodes that a name may have meant, one a line."""
    shown = rows[:MOST_CANDIDATES]
    podcasts, guids = _width(r.podcast for r in shown), _width(r.guid for r in shown)
    lines = [
        f"  {escaped(r.podcast):{podcasts}}  {escaped(r.guid):{guids}}  {escaped(r.title)}"
        for r in shown
    ]
    if len(rows) > len(shown):
        lines.append(f"  … and {len(rows) - len(shown)} more")
    return "\n".join(lines)


def _width(texts: Iterable[str]) -> int:
    return max(len(escaped(text)) for text in texts)


def the_podcasts(config: Config, name: str | None) -> list[str]:
    """Return the name of the configured podcast that is meant, or of all where none is given.

    Raises:
        ConfigError: none is configured so.
    """
    names = [podcast.name for podcast in config.podcasts]
    if name is None:
        return names
    if name not in names:
        raise ConfigError(f"no podcast is configured as {name!r}; there is: {', '.join(names)}")
    return [name]
