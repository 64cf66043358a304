"""The configuration that is meant, and its database, opened no further than a command needs."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from monitor import config
from monitor.adapters.store import migrate
from monitor.adapters.store.database import Database, connect
from monitor.config import Config

NO_DAEMON = "no daemon runs on this database: it waits for `podcast-monitor run` (or `run --once`)"


def load(path: Path | None) -> Config:
    """Read the configuration that is named, or found. Raises ConfigError."""
    return config.load(path, os.environ)


@contextmanager
def reading(loaded: Config) -> Iterator[Database]:
    """Open the database without creating or changing it."""
    with closing(connect(loaded.database, readonly=True)) as database:
        migrate.require_current(database)
        yield database


@contextmanager
def writing(loaded: Config) -> Iterator[Database]:
    """Open the database beside the daemon. It must be there already."""
    with reading(loaded), closing(connect(loaded.database)) as database:
        yield database
