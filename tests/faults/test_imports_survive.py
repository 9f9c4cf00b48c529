"""An import that is killed, starved or crossed is started again, and the books are those of one that never was.

Compared entry by entry, by SQL of this file alone. `--kills 50` is the long run: 50 kills in each mode, 200,000 rows.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledgerctl.config import Database as Settings
from ledgerctl.core.model import NewAccount
from ledgerctl.db import embedded, migrate
from ledgerctl.db.connection import Database
from ledgerctl.services import accounts
from ledgerctl.services.accounts import create_ledger
from ledgerctl.services.books import open_books

ACCOUNTS = 40
LONG_FROM = 10
"""With so many kills it is the long run, with the large file."""

ENTRIES = """
    SELECT a.code, e.seq, e.amount, e.balance_after, t.idempotency_key, t.kind, t.fingerprint, t.description,
           t.import_row
    FROM transaction_entries e
    JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id
    JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
    ORDER BY a.code, e.seq
"""
STANDINGS = "SELECT code, balance, seq FROM accounts ORDER BY code"
DAMAGE = """
    SELECT 'unbalanced' FROM transaction_entries GROUP BY transaction_id HAVING sum(amount) <> 0 OR count(*) <> 2
    UNION ALL
    SELECT 'without entries' FROM transactions t
    WHERE NOT EXISTS (SELECT FROM transaction_entries e WHERE e.transaction_id = t.id)
    UNION ALL
    SELECT 'account ' || code
    FROM accounts a
    WHERE (balance, seq) <> (SELECT coalesce(sum(amount), 0), count(*)
                             FROM transaction_entries e WHERE e.account_id = a.id)
"""


class Mode(NamedTuple):
    options: tuple[str, ...]
    file: str
    code: int


def modes(rows: int) -> dict[str, Mode]:
    """The ways to commit; those that skip rejected rows get a file that has some."""
    every = ("--commit-every", str(rows // 20))
    skip = ("--skip-rejects",)
    return {
        "at once": Mode((), "good.csv", 0),
        "in pieces": Mode(every, "good.csv", 0),
        "at once, skipping": Mode(skip, "mixed.csv", 3),
        "in pieces, skipping": Mode((*every, *skip), "mixed.csv", 3),
    }


MODES = list(modes(1))


# -- a place to import to --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


@pytest.fixture(scope="session")
def rows(kills: int) -> int:
    return 200_000 if kills >= LONG_FROM else 6_000


@pytest.fixture(scope="session")
def files(rows: int) -> Iterator[Path]:
    """A directory with good.csv, every row of which can be posted, and mixed.csv, some of which cannot."""
    directory = Path(tempfile.mkdtemp(prefix="ledgerctl-faults-"))
    directory.chmod(0o711)
    draw = random.Random(rows)
    lines = []
    for number in range(1, rows + 1):
        source, target = draw.sample(range(ACCOUNTS), 2)
        lines.append(f"a:{source:02},a:{target:02},{draw.randrange(1, 9000) / 100:.2f},EUR,row {number}\n")
    header = "from,to,amount,currency,description\n"
    (directory / "good.csv").write_text(header + "".join(lines))
    for number in range(7, rows, rows // 50):
        # Too poor when its turn comes, rich enough later; and what can never be posted.
        lines[number] = draw.choice(
            [f"poor,a:00,5000.00,EUR,row {number}\n", "a:01,nobody,1.00,EUR,x\n", "a:01,a:02,1;5,EUR,x\n"]
        )
    lines[rows // 2] = "a:03,poor,5000000.00,EUR,funds at last\n"
    (directory / "mixed.csv").write_text(header + "".join(lines))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def prepared(server: str) -> Iterator[str]:
    """The name of a template database with the accounts."""
    name = f"faults_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template_books STRATEGY file_copy").format(sql.Identifier(name))
        )
        _create_accounts(make_conninfo(server, dbname=name))
        yield name
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def place(server: str, prepared: str) -> Iterator[Callable[[], str]]:
    """Makes databases with the accounts and no money moved yet; their conninfo."""
    made: list[str] = []

    def make() -> str:
        made.append(f"f_{uuid4().hex[:16]}")
        with psycopg.connect(server, autocommit=True) as conn:
            names = sql.Identifier(made[-1]), sql.Identifier(prepared)
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(*names))
        return make_conninfo(server, dbname=made[-1])

    yield make
    with psycopg.connect(server, autocommit=True) as conn:
        for name in made:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _create_accounts(conninfo: str) -> None:
    database = Database(Settings(url=conninfo), None)
    books = open_books(database, "main", "faults", "faults")
    codes = [*(f"a:{number:02}" for number in range(ACCOUNTS)), "poor"]
    accounts.create(books, [_account(code, None if code != "poor" else "0") for code in codes])
    database.close()


def _account(code: str, floor: str | None) -> NewAccount:
    return NewAccount(code, "liability", "EUR", 2, None, None if floor is None else Decimal(floor), None, None)


# -- importing and looking -------------------------------------------------------------------------------------------


def start(url: str, mode: Mode, files: Path, **more: Any) -> subprocess.Popen[bytes]:
    rejects = ("--rejects", str(files / f"{uuid4().hex}.rejects")) if "--skip-rejects" in mode.options else ()
    return subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", "-o", "json", "import", mode.file, *mode.options, *rejects],
        cwd=files,
        env={**os.environ, "LEDGERCTL_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def end(running: subprocess.Popen[bytes]) -> Ended:
    out, err = running.communicate(timeout=300)
    return Ended(running.returncode, out.decode(), err.decode())


def run(url: str, mode: Mode, files: Path) -> dict[str, Any]:
    """Import to the end; the receipt."""
    done = end(start(url, mode, files))
    assert done.code == mode.code, done.err
    receipt: dict[str, Any] = json.loads(done.out)
    return receipt


def books(url: str) -> dict[str, list[Any]]:
    """Every entry and every balance, once nothing is wrong with them."""
    with psycopg.connect(url) as conn:
        conn.execute("ANALYZE")  # else these may be planned for the empty tables of the import that was killed
        assert conn.execute(DAMAGE).fetchall() == []
        return {query: conn.execute(query).fetchall() for query in (ENTRIES, STANDINGS)}


def posted(url: str) -> int:
    with psycopg.connect(url) as conn:
        [[count]] = conn.execute("SELECT count(*) FROM transactions").fetchall()
        return int(count)


def wait_until_it_posts(running: subprocess.Popen[bytes], url: str) -> None:
    """Until the importer has written something, committed or not."""
    writing = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s"
        " AND backend_xid IS NOT NULL"
    )
    with psycopg.connect(url, autocommit=True) as conn:
        while running.poll() is None:
            [[count]] = conn.execute(writing, [f"ledgerctl import {running.pid}@%"]).fetchall()
            if count:
                return
            time.sleep(0.005)
    pytest.fail(f"it ended before it posted anything: {end(running)}")


def rejected(receipt: dict[str, Any]) -> list[list[str]]:
    """The rows that were put aside, with their keys; what stands against each may be something else by now."""
    if receipt["rejects_file"] is None:
        return []
    with Path(receipt["rejects_file"]).open(newline="") as file:
        return [row[:-3] for row in csv.reader(file)]


class Untouched(NamedTuple):
    """What an import leaves that nothing happened to, and the seconds it took."""

    books: dict[str, list[Any]]
    rejected: list[list[str]]
    seconds: float


@pytest.fixture(scope="session")
def seen() -> dict[Mode, Untouched]:
    """One undisturbed import a mode is enough for all tests."""
    return {}


@pytest.fixture
def undisturbed(place: Callable[[], str], files: Path, seen: dict[Mode, Untouched]) -> Callable[[Mode], Untouched]:
    def look(mode: Mode) -> Untouched:
        if mode not in seen:
            url, started = place(), time.monotonic()
            receipt = run(url, mode, files)
            seconds = time.monotonic() - started
            seen[mode] = Untouched(books(url), rejected(receipt), seconds)
        return seen[mode]

    return look


Undisturbed = Callable[[Mode], Untouched]
Place = Callable[[], str]


# -- what happens to it ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("name", MODES)
def test_killed_at_any_moment_and_started_again(
    name: str, kills: int, rows: int, place: Place, files: Path, undisturbed: Undisturbed
) -> None:
    mode = modes(rows)[name]
    expected = undisturbed(mode)
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    halfway = 0
    for _ in range(kills):
        url = place()
        importer = start(url, mode, files)
        time.sleep(draw.uniform(0, expected.seconds))
        importer.kill()
        killed = end(importer)
        halfway += killed.code == -signal.SIGKILL

        receipt = run(url, mode, files)

        assert books(url) == expected.books, f"seed {seed}"
        assert rejected(receipt) == expected.rejected, f"seed {seed}"
        assert receipt["posted"] + receipt["replayed"] + receipt["rejected"] == rows, f"seed {seed}"
    assert halfway or kills < LONG_FROM, "no import was under way when it was to be killed"


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_what_was_posted(
    name: str, sent: signal.Signals, rows: int, place: Place, files: Path, undisturbed: Undisturbed
) -> None:
    mode = modes(rows)[name]
    url = place()
    importer = start(url, mode, files)
    wait_until_it_posts(importer, url)
    importer.send_signal(sent)
    done = end(importer)

    assert done.code == 128 + sent, done.err
    kept = posted(url)
    if "it may have been posted" not in done.err:  # else it came inside the one commit that there is
        assert ("nothing was posted" in done.err) == (kept == 0), (kept, done.err)
    assert done.err.splitlines()[-1].endswith("goes on from there")

    run(url, mode, files)

    assert books(url) == undisturbed(mode).books


@pytest.mark.parametrize("name", MODES)
def test_two_importers_of_one_file_at_once_post_it_once(
    name: str, rows: int, place: Place, files: Path, undisturbed: Undisturbed
) -> None:
    mode = modes(rows)[name]
    url = place()

    ended = [end(importer) for importer in [start(url, mode, files) for _ in range(2)]]

    assert [done.code for done in ended] == [mode.code] * 2, ended
    receipts = [json.loads(done.out) for done in ended]
    expected = undisturbed(mode).books
    assert books(url) == expected
    assert sum(receipt["posted"] for receipt in receipts) == len(expected[ENTRIES]) // 2


@pytest.mark.parametrize("name", ["in pieces", "in pieces, skipping"])
def test_an_account_that_is_frozen_meanwhile(
    name: str, rows: int, place: Place, files: Path, undisturbed: Undisturbed
) -> None:
    """What was refused for it stays out of a file whose rejects are skipped; else it is posted when it may be."""
    mode = modes(rows)[name]
    url = place()
    database = Database(Settings(url=url), None)
    importer = start(url, mode, files)
    while not posted(url) and importer.poll() is None:
        time.sleep(0.005)
    accounts.freeze(open_books(database, "main", "faults", "faults"), "a:07")
    done = end(importer)
    assert done.code == 3, done.err
    assert "'a:07' is frozen" in done.out + done.err
    assert 0 < posted(url) < rows
    accounts.unfreeze(open_books(database, "main", "faults", "faults"), "a:07")
    database.close()

    again = end(start(url, mode, files))

    assert again.code == mode.code, again.err
    if mode.code == 0:
        assert books(url) == undisturbed(mode).books
    else:
        assert json.loads(again.out)["posted"] == 0
        assert books(url)


# -- a server of its own, for what would take everybody's away --------------------------------------------------------


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a durable embedded server with the accounts."""
    parent = Path(tempfile.mkdtemp(prefix="ledgerctl-faults-"))
    parent.chmod(0o711)
    _fill(parent / "data")
    yield parent / "data"
    embedded.stop(parent / "data")
    shutil.rmtree(parent)


def _fill(directory: Path) -> None:
    embedded.create(directory)
    conninfo = embedded.conninfo(directory)
    migrate.upgrade(conninfo)
    database = Database(Settings(url=conninfo), None)
    create_ledger(database, "main", "faults", "faults")
    database.close()
    _create_accounts(conninfo)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["at once", "in pieces"])
def test_the_server_is_killed(name: str, rows: int, own_server: Path, files: Path, undisturbed: Undisturbed) -> None:
    mode = modes(rows)[name]
    url = f"embedded:{own_server}"
    importer = start(url, mode, files)
    with psycopg.connect(embedded.conninfo(own_server)) as conn:
        [[cluster]] = conn.execute("SELECT current_setting('data_directory')").fetchall()
    postmaster = int((Path(cluster) / "postmaster.pid").read_text().split()[0])
    wait_until_it_posts(importer, embedded.conninfo(own_server))
    os.kill(postmaster, signal.SIGKILL)
    done = end(importer)
    assert done.code in (0, 69, 75, 76), done

    run(url, mode, files)

    assert books(embedded.conninfo(own_server)) == undisturbed(mode).books


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["at once", "in pieces"])
def test_the_disk_is_full(name: str, rows: int, files: Path, undisturbed: Undisturbed) -> None:
    mode = modes(rows)[name]
    disk = Path(tempfile.mkdtemp(prefix="ledgerctl-disk-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=0711", "tmpfs", disk], check=False).returncode:
        disk.rmdir()
        pytest.skip("a disk that can be filled is a tmpfs, which only root may mount")
    try:
        _fill(disk / "data")
        url, conninfo = f"embedded:{disk / 'data'}", embedded.conninfo(disk / "data")
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 500_000))

        done = end(start(url, mode, files))

        assert done.code not in (0, 3), done
        assert "o space left on device" in done.err, done.err
        ballast.unlink()
        run(url, mode, files)
        assert books(conninfo) == undisturbed(mode).books
    finally:
        embedded.stop(disk / "data")
        # Lazily: a server is told to be down a moment before its process has left its directory.
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()
