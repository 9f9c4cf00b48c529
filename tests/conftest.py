"""One embedded server a run, shared by all workers; a database of its own for each test, made from a template."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from ledgerctl import config
from ledgerctl.db import embedded, migrate
from ledgerctl.db.connection import Connection, Database
from ledgerctl.services.accounts import create_ledger
from ledgerctl.services.books import Books, open_books
from tests import redis_servers
from tests.redis_servers import Redis

_DIRECTORY = "LEDGERCTL_TEST_DIRECTORY"
_TEMPLATE = "template_books"
_IN_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 * 10**9


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="the fault runs of a night: what takes minutes")
    parser.addoption("--release", action="store_true", help="the fault runs of a release: what takes hours")
    parser.addoption("--kills", type=int, default=3, metavar="N", help="imports to kill in each way to commit")


def pytest_configure() -> None:
    """The first process names the directory; the workers inherit the name."""
    os.environ.setdefault(_DIRECTORY, str(_roomy() / f"ledgerctl-tests-{uuid4().hex[:12]}"))
    ours = ("LEDGERCTL_", "TRACEPARENT", "OTEL_")
    for name in [name for name in os.environ if name.startswith(ours) and name != _DIRECTORY]:
        del os.environ[name]
    os.environ["XDG_CACHE_HOME"] = f"{os.environ[_DIRECTORY]}-cache"  # the codes of tests are not offered at a TAB
    os.environ["XDG_STATE_HOME"] = f"{os.environ[_DIRECTORY]}-state"


def _roomy() -> Path:
    """In memory, if there is room: the hundreds of files of a database are then copied in a tenth of the time."""
    there = os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM_BYTES
    return _IN_MEMORY if there else Path(tempfile.gettempdir())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest, as its limit says, is begun first: nobody waits for it at the end."""
    items.sort(key=lambda item: -limit.args[0] if (limit := item.get_closest_marker("timeout")) else 0)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whoever started the workers stops the server."""
    directory = Path(os.environ[_DIRECTORY])
    if not hasattr(session.config, "workerinput") and directory.exists():
        embedded.stop(directory / "server")
        shutil.rmtree(directory)
        for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
            shutil.rmtree(os.environ[name], ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> str:
    """The conninfo of the run's server, with the template database made."""
    directory = Path(os.environ[_DIRECTORY])
    directory.mkdir(mode=0o711, exist_ok=True)
    directory.chmod(0o711)  # the server's own user passes through, whatever the umask
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        embedded.create(directory / "server", ephemeral=True)
        conninfo = embedded.conninfo(directory / "server")
        with psycopg.connect(conninfo, autocommit=True) as conn:
            made = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone()
            if made is None:
                conn.execute(f"CREATE DATABASE {_TEMPLATE}_new")
                template = make_conninfo(conninfo, dbname=f"{_TEMPLATE}_new")
                migrate.upgrade(template)
                database = database_at(template)
                create_ledger(database, "main", "tests", "template")
                database.close()
                conn.execute(f"ALTER DATABASE {_TEMPLATE}_new RENAME TO {_TEMPLATE}")
    return conninfo


@pytest.fixture
def conninfo(server: str) -> Iterator[str]:
    """A database with the schema and an empty ledger `main`, for this test alone."""
    with database_like(server) as made:
        yield made


@pytest.fixture
def empty_conninfo(server: str) -> Iterator[str]:
    """A database with nothing in it, for this test alone."""
    with database_like(server, "template0") as made:
        yield made


@contextmanager
def database_like(server: str, template: str = _TEMPLATE) -> Iterator[str]:
    """A copy of the template; its conninfo."""
    name = f"t_{uuid4().hex[:16]}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")  # a third of the time
        yield make_conninfo(server, dbname=name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def database_at(conninfo: str, **settings: Any) -> Database:
    """A Database for a conninfo, with other settings than the default where given."""
    return Database(config.Database(url=conninfo, **settings), None)


@pytest.fixture
def conn(conninfo: str) -> Iterator[Connection]:
    """A plain autocommit connection, for looking and for damage."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def open_main(conninfo: str) -> Iterator[Callable[..., Books]]:
    """Opens the ledger `main`, each time on a connection of its own, as several processes would."""
    opened: list[Database] = []

    def open_(**settings: Any) -> Books:
        database = database_at(conninfo, **settings)
        opened.append(database)
        return open_books(database, "main", "tester", "request-1")

    yield open_
    for database in opened:
        database.close()


@pytest.fixture
def books(open_main: Callable[..., Books]) -> Books:
    return open_main()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of this test alone."""
    with redis_servers.running() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the command line left."""

    code: int
    out: str
    err: str


@pytest.fixture
def directory() -> Iterator[Path]:
    """An empty directory that the embedded server's own user can pass through, which pytest's is not for root."""
    path = Path(tempfile.mkdtemp(prefix="ledgerctl-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ledgerctl(conninfo: str, directory: Path) -> Callable[..., Run]:
    """Runs the command line as a process of its own against this test's ledger."""

    def run(*args: str, stdin: str | bytes = b"", **environment: str) -> Run:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "ledgerctl", *args],
            input=given,
            capture_output=True,
            cwd=directory,
            env={
                **os.environ,
                "LEDGERCTL_DATABASE_URL": conninfo,
                "XDG_STATE_HOME": str(directory / ".state"),
                **environment,
            },
            timeout=60,
            check=False,
        )
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
