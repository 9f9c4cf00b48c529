"""The command line in this process or in one of its own, in a ledger for each test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ledgerctl.cli.app import app
from ledgerctl.core import money, requesting
from ledgerctl.core.currencies import EXPONENTS
from ledgerctl.formats import account_csv, records
from ledgerctl.ids import uuid7
from ledgerctl.services.accounts import create, create_ledger
from ledgerctl.services.books import open_books
from ledgerctl.services.payments import post_one
from tests.conftest import Run, database_at, database_like

Command = Callable[..., Run]

built = cache(get_command)
"""The commands are built once: Typer's own runner does it each time, which takes longer than most commands."""

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = "REGENERATE_GOLDEN"
"""Set it to 1 to write the recorded outputs anew; then read the diff."""


@pytest.fixture(scope="session")
def shared_conninfo(server: str) -> Iterator[str]:
    """A database for all the tests of this worker: making one takes longer than most tests."""
    with database_like(server) as made:
        yield made


@pytest.fixture
def ledger(shared_conninfo: str) -> str:
    """The name of a ledger for this test alone, in the shared database."""
    name = f"t_{uuid4().hex[:16]}"
    database = database_at(shared_conninfo)
    create_ledger(database, name, "tests", name)
    database.close()
    return name


@pytest.fixture
def surroundings(shared_conninfo: str, ledger: str) -> dict[str, str]:
    """The variables that lead to this test's ledger."""
    return {"LEDGERCTL_DATABASE_URL": shared_conninfo, "LEDGERCTL_LEDGER_NAME": ledger}


@pytest.fixture
def in_process(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Runs the command line in this process: cheap, and an error that nobody mapped fails the test.

    A variable given as None is taken out of the environment.
    """
    monkeypatch.chdir(directory)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "xdg"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / ".state"))
    opened: list[records.Input] = []
    original = records.open_input

    def noticed(path: str) -> records.Input:
        opened.append(original(path))
        return opened[-1]

    monkeypatch.setattr(records, "open_input", noticed)
    monkeypatch.setattr("typer.testing._get_command", built)

    def invoke(*args: str, stdin: str | bytes = b"", **environment: str | None) -> Run:
        result = CliRunner().invoke(app, args, input=stdin, env=environment, prog_name="ledgerctl")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout_bytes.decode(), result.stderr_bytes.decode())

    yield invoke
    for source in opened:
        source.stream.close()


@pytest.fixture
def run(in_process: Command, surroundings: dict[str, str]) -> Command:
    """The command line in this process, in a new ledger."""

    def invoke(*args: str, **options: Any) -> Run:
        return in_process(*args, **{**surroundings, **options})

    return invoke


@pytest.fixture
def alone(in_process: Command, conninfo: str) -> Command:
    """Like `run`, in the ledger `main` of a database of its own."""

    def invoke(*args: str, **options: Any) -> Run:
        return in_process(*args, **{"LEDGERCTL_DATABASE_URL": conninfo, **options})

    return invoke


@pytest.fixture
def process(directory: Path, surroundings: dict[str, str]) -> Command:
    """The command line in a process of its own, in the ledger of `run`. Options as of subprocess.Popen."""

    def spawn(*args: str, stdin: str | bytes = b"", env: dict[str, str] | None = None, **options: Any) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "ledgerctl", *args],
            cwd=directory,
            env={**os.environ, **surroundings, **(env or {})},
            timeout=60,
            check=False,
            **{
                **({"input": stdin.encode() if isinstance(stdin, str) else stdin} if "stdin" not in options else {}),
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )
        return Run(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())

    return spawn


@pytest.fixture
def seed(surroundings: dict[str, str]) -> Callable[..., None]:
    """Puts accounts and transfers into the ledger of `run` by one connection, faster than commands would."""

    def put(
        accounts: Sequence[dict[str, str]], transfers: Sequence[tuple[str, str, str, str, str | None]] = ()
    ) -> None:
        database = database_at(surroundings["LEDGERCTL_DATABASE_URL"])
        books = open_books(database, surroundings["LEDGERCTL_LEDGER_NAME"], "tests", "seed")
        create(books, [account_csv.new_account({"currency": "EUR", **account}, EXPONENTS) for account in accounts])
        for source, target, amount, key, description in transfers:
            value = money.parse(amount)
            post_one(books, requesting.transfer(uuid7(), key, source, target, value, description=description))
        database.close()

    return put


@pytest.fixture
def funded(run: Command, seed: Callable[..., None]) -> Command:
    """`run` in a ledger where bank (an asset without floor) paid 100.00 EUR to alice, and bob has nothing."""
    seed(
        [{"code": "bank", "type": "asset", "min_balance": "none"}, {"code": "alice", "name": "Alice"}, {"code": "bob"}],
        [("bank", "alice", "100.00", "deposit", "Opening")],
    )
    return run


@pytest.fixture
def books_as_they_are(shared_conninfo: str, ledger: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """All that postings touch in this test's ledger: counts, and each account's balance and seq."""
    with psycopg.connect(shared_conninfo, autocommit=True) as conn:
        [[id_]] = conn.execute("SELECT id FROM ledgers WHERE name = %s", [ledger]).fetchall()

        def look() -> dict[str, Any]:
            transactions = conn.execute("SELECT count(*) FROM transactions WHERE ledger_id = %s", [id_]).fetchone()
            entries = conn.execute("SELECT count(*) FROM transaction_entries WHERE ledger_id = %s", [id_]).fetchone()
            accounts = conn.execute(
                "SELECT code, status, balance, seq FROM accounts WHERE ledger_id = %s ORDER BY code", [id_]
            ).fetchall()
            return {"transactions": transactions, "entries": entries, "accounts": accounts}

        yield look


@pytest.fixture
def recorded() -> Callable[[str, str], None]:
    """Compares an output with the one kept under that name, ids and times made alike first."""

    def compare(name: str, output: str) -> None:
        file = GOLDEN / f"{name}.txt"
        found = normalised(output)
        if os.environ.get(REGENERATE):
            file.write_text(found, encoding="utf-8")
        assert found == file.read_text(encoding="utf-8")

    return compare


def normalised(output: str) -> str:
    """Ids and times replaced by ones of the same width, so that columns stay in line."""
    output = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "00000000-0000-7000-8000-000000000000", output)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-31T12:00:00Z", output)
