"""A server of a run's own, with the settings that an operator would have, and the ways to hurt it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from ledgerctl.config import Database as Settings
from ledgerctl.core.model import NewAccount
from ledgerctl.core.requesting import transfer
from ledgerctl.db import embedded, migrate
from ledgerctl.db.connection import Database
from ledgerctl.errors import EmbeddedFailed
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments
from ledgerctl.services.books import open_books
from tests.faults.world import BANKS, LEDGERS, OUTSIDE, TOTAL

_PATIENCE_S = 60
_FAST_RESTART = (
    "checkpoint_timeout = 30s\nmax_wal_size = 128MB\nshared_buffers = 32MB\nmax_connections = 60\n"
    "deadlock_timeout = 200ms\n"
)


class Server:
    """A cluster in a directory. `settings` are lines of postgresql.conf that win over the program's own."""

    def __init__(self, directory: Path, settings: str = "", *, ephemeral: bool = False) -> None:
        self.directory = directory
        self.clock: Path | None = None
        """The file that moves the server's clock, where there is one."""
        embedded.create(directory, ephemeral=ephemeral)
        embedded.stop(directory)
        with (directory / "pgdata" / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_FAST_RESTART + settings)
            file.flush()
            os.fsync(file.fileno())  # else a power cut takes it
        embedded.start(directory)

    @property
    def conninfo(self) -> str:
        return embedded.conninfo(self.directory)

    def start(self) -> None:
        embedded.start(self.directory)

    def stop(self) -> None:
        try:
            embedded.stop(self.directory)
        except EmbeddedFailed:  # one that recovers from the last fault may not hear of it
            self.quit()

    @property
    def postmaster(self) -> int:
        """Its process id, or 0 when the file is gone."""
        with suppress(OSError, ValueError):
            return int((self.directory / "pgdata" / "postmaster.pid").read_text().splitlines()[0])
        return 0

    def processes(self) -> dict[int, str]:
        """The server's processes but the first, with what each calls itself."""
        postmaster, found = self.postmaster, {}
        if not postmaster:
            return {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == postmaster:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip("\0 ")
        return found

    def everything(self) -> list[int]:
        """The process ids of all of it."""
        return [pid for pid in (self.postmaster, *self.processes()) if pid]

    def named(self, words: str) -> list[int]:
        return [pid for pid, title in self.processes().items() if words in title]

    def kill(self) -> None:
        """The first process and all others at once, as when the machine stops but the disk does not."""
        doomed = self.everything()
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        see_off(doomed)

    def quit(self) -> None:
        """SIGQUIT to the first process: it ends the others, without a checkpoint and without a word to clients."""
        doomed = self.everything()
        for pid in doomed[:1]:
            os.kill(pid, signal.SIGQUIT)
        see_off(doomed)

    def wait(self) -> None:
        """Until it answers again, started once more where it did not survive its own start."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                psycopg.connect(self.conninfo, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                with suppress(EmbeddedFailed):
                    self.start()
                time.sleep(0.02)


def see_off(doomed: Sequence[int]) -> None:
    """They are gone when this returns. TimeoutError when one of them does not go."""
    deadline = time.monotonic() + _PATIENCE_S
    while left := [pid for pid in doomed if _lives(pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} live on")
        time.sleep(0.001)


def _lives(pid: int) -> bool:
    """Not so a zombie that waits to be reaped."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


@contextmanager
def bank(server: Server, name: str, money: int = TOTAL) -> Iterator[str]:
    """A database with the two ledgers of the world, their accounts filled; its conninfo. It is dropped at the end."""
    template = f"bank_with_{money}"
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", [template]).fetchone() is None:
            conn.execute(f"CREATE DATABASE {template} TEMPLATE template0")
            fill(make_conninfo(server.conninfo, dbname=template), money)
        # Not by the default strategy: a sequence copied by it may, after a crash, give out numbers a second time.
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield make_conninfo(server.conninfo, dbname=name)
    finally:
        server.wait()
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill(conninfo: str, money: int = TOTAL) -> None:
    """Schema, ledgers, accounts and their money; `money` units to a bank."""
    migrate.upgrade(conninfo)
    database = Database(Settings(url=conninfo), None, "ledgerctl world")
    for ledger in LEDGERS:
        accounts.create_ledger(database, ledger, "world", "world")
    for banked in BANKS:
        books = open_books(database, banked[0].ledger, "world", "world")
        currency, exponent = banked[0].currency, banked[0].exponent
        source = f"{OUTSIDE}:{currency}"
        made = [NewAccount(source, "liability", currency, exponent, None, None, None, None)]
        made += [
            NewAccount(place.code, "liability", currency, exponent, None, Decimal(0), None, None) for place in banked
        ]
        accounts.create(books, made)
        share = Decimal(money * 10**exponent // len(banked)).scaleb(-exponent)
        shares = [share] * (len(banked) - 1) + [money - share * (len(banked) - 1)]
        requests = [
            transfer(uuid7(), f"fill {place.code} {currency}", source, place.code, part, currency)
            for place, part in zip(banked, shares, strict=True)
        ]
        payments.post(books, requests)
    database.close()
