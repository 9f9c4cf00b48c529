"""The schema as migrated: equal to the declared one, known line by line, packed into the wheel, good on old servers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.pool import NullPool

from ledgerctl.core.model import Kind, Leg, NewAccount, Side
from ledgerctl.core.requesting import request
from ledgerctl.db import migrate
from ledgerctl.db.connection import Connection
from ledgerctl.db.schema import XID8, metadata
from ledgerctl.errors import WrongSchema
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, payments, reconciling
from ledgerctl.services.books import Books, open_books
from tests.conftest import database_at

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "db" / "catalogue.txt"
SETWISE = {"transaction_entries_account", "transaction_entries_parent", "transactions_import_receipt"}
NOT_ENFORCED_FROM = 180000

# One line for each thing that the database holds, in words that do not depend on the server or the machine.
CATALOGUE = """
    SELECT line FROM (
        SELECT format('constraint %s %s %s, %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid),
                      CASE WHEN c.conenforced THEN 'enforced' ELSE 'not enforced' END) AS line
        FROM pg_constraint c
        WHERE c.connamespace = 'public'::regnamespace AND c.contype <> 'n'
        UNION ALL
        SELECT format('column %s.%s %s%s%s', a.attrelid::regclass, a.attname,
                      format_type(a.atttypid, a.atttypmod),
                      CASE WHEN a.attcollation = '"C"'::regcollation THEN ' C' ELSE '' END,
                      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END)
        FROM pg_attribute a
        JOIN pg_class r ON r.oid = a.attrelid AND r.relkind = 'r' AND r.relnamespace = 'public'::regnamespace
        WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT format('trigger %s, enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
        FROM pg_trigger t
        JOIN pg_class r ON r.oid = t.tgrelid AND r.relnamespace = 'public'::regnamespace
        WHERE NOT t.tgisinternal
        UNION ALL
        SELECT format('function %s %s', p.oid::regprocedure, array_to_string(p.proconfig, '; '))
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT format('view %s (%s)', r.oid::regclass,
                      (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
                       WHERE a.attrelid = r.oid AND a.attnum > 0))
        FROM pg_class r
        WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'v'
        UNION ALL
        SELECT format('index %s', pg_get_indexdef(i.indexrelid))
        FROM pg_index i
        JOIN pg_class r ON r.oid = i.indrelid AND r.relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT format('grant %s %s', r.oid::regclass, coalesce(
                      (SELECT string_agg(CASE WHEN g.grantee = 0 THEN 'public' ELSE g.grantee::regrole::text END
                                         || ':' || g.privilege_type, ' ' ORDER BY 1)
                       FROM aclexplode(r.relacl) g WHERE g.grantee <> r.relowner), 'to nobody but the owner'))
        FROM pg_class r
        WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'v')
    ) lines
    ORDER BY line COLLATE "C"
"""


def catalogue(conn: Connection) -> list[str]:
    return [line for (line,) in conn.execute(CATALOGUE.encode()).fetchall()]


def not_enforced(conn: Connection) -> set[str]:
    rows = conn.execute("SELECT conname FROM pg_constraint WHERE contype = 'f' AND NOT conenforced")
    return {name for (name,) in rows}


def differences(conninfo: str) -> list[object]:
    """What alembic would have to change for the database to be as declared."""
    with pytest.MonkeyPatch.context() as patch, engine(conninfo).connect() as connection:
        patch.setitem(ischema_names, "xid8", XID8)  # SQLAlchemy does not know it, and says so
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def engine(conninfo: str) -> Engine:
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)


# -- from nothing to the head ----------------------------------------------------------------------------------------


@pytest.fixture
def migrated(empty_conninfo: str) -> str:
    migrate.upgrade(empty_conninfo)
    return empty_conninfo


def test_the_migrations_lead_to_the_declared_schema(migrated: str) -> None:
    assert differences(migrated) == []


def test_a_difference_would_be_seen(migrated: str) -> None:
    with psycopg.connect(migrated) as conn:
        conn.execute("ALTER TABLE transactions ADD COLUMN mood text")

    assert len(differences(migrated)) == 1


def test_the_declared_tables_have_the_same_catalogue(empty_conninfo: str, conn: Connection) -> None:
    """Alembic compares neither checks nor collations nor enforcement."""
    with engine(empty_conninfo).begin() as connection:
        metadata.create_all(connection)
        migrate.settle(connection)

    with psycopg.connect(empty_conninfo, autocommit=True) as declared:
        assert catalogue(declared) == [line for line in catalogue(conn) if "alembic_version" not in line]


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(migrated: str) -> None:
    with closing(database_at(migrated)) as database:
        accounts.create_ledger(database, "main", "tester", "request-1")
    with psycopg.connect(migrated, autocommit=True) as conn:
        before = catalogue(conn)

        migrate.upgrade(migrated)

        assert catalogue(conn) == before
        assert conn.execute("SELECT version_num FROM alembic_version").fetchall() == [(migrate.HEAD,)]
        assert conn.execute("SELECT name FROM ledgers").fetchall() == [("main",)]


def test_the_program_needs_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [migrate.HEAD]
    newest = max((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert newest.name.startswith(f"{migrate.HEAD}_")


def test_an_upgrade_that_fails_leaves_nothing_behind(empty_conninfo: str) -> None:
    """All in one transaction: a table in the way, and no other is made."""
    with psycopg.connect(empty_conninfo, autocommit=True) as conn:
        conn.execute("CREATE TABLE transaction_entries (mine text)")

        with pytest.raises(Exception, match="transaction_entries"):
            migrate.upgrade(empty_conninfo)

        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == [("transaction_entries",)]


# -- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_catalogue_is_as_written_down(conn: Connection) -> None:
    if conn.info.server_version < NOT_ENFORCED_FROM:
        pytest.skip("the golden catalogue is that of PostgreSQL 18")
    found = "".join(f"{line}\n" for line in catalogue(conn))

    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


def test_links_that_triggers_check_are_not_enforced_twice(conn: Connection) -> None:
    if conn.info.server_version < NOT_ENFORCED_FROM:
        pytest.skip("NOT ENFORCED is of PostgreSQL 18")

    assert not_enforced(conn) == SETWISE


# -- other schemas ---------------------------------------------------------------------------------------------------


def test_a_database_without_the_schema_is_refused(empty_conninfo: str) -> None:
    with closing(database_at(empty_conninfo)) as database, pytest.raises(WrongSchema) as caught:
        open_books(database, "main", "tester", "request-1")

    assert caught.value.details == {"found": "none", "needed": migrate.HEAD}


@pytest.mark.parametrize(
    ("change", "found"),
    [("UPDATE alembic_version SET version_num = '9999'", "9999"), ("DELETE FROM alembic_version", "none")],
)
def test_a_database_of_another_revision_is_refused(conninfo: str, conn: Connection, change: str, found: str) -> None:
    conn.execute(change.encode())

    with closing(database_at(conninfo)) as database, pytest.raises(WrongSchema) as caught:
        open_books(database, "main", "tester", "request-1")

    assert (caught.value.details["found"], caught.value.details["needed"]) == (found, migrate.HEAD)
    assert ("db upgrade" in caught.value.advice) == (found == "none")


def test_a_newer_schema_is_not_upgraded(conninfo: str, conn: Connection) -> None:
    conn.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(WrongSchema) as caught:
        migrate.upgrade(conninfo)

    assert "a newer one" in caught.value.advice


# -- the wheel -------------------------------------------------------------------------------------------------------


def test_the_wheel_carries_what_the_program_reads(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    copy, wheels = tmp_path / "copy", tmp_path / "wheels"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)

    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert built.returncode == 0, built.stderr
    [wheel] = wheels.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    sources = [file.relative_to(ROOT).as_posix() for file in (ROOT / "ledgerctl" / "db" / "sql").glob("*.sql")]
    versions = [f"ledgerctl/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "migrations").rglob("[0-9]*.py")]
    assert (len(sources), "ledgerctl/migrations/versions/0001_books.py" in versions) == (4, True)
    needed = ["ledgerctl/migrations/env.py", *versions, *sources, "ledgerctl/ledgerctl.toml.example"]
    assert [name for name in needed if name not in names] == []
    assert [name for name in names if name.startswith("tests/")] == []
    assert len(names) == len(set(names))


# -- servers before 18 -----------------------------------------------------------------------------------------------

OLD_MAJORS = ("17", "16", "15")
START_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Old:
    binaries: Path
    major: str


def _old() -> Old | None:
    """The newest PostgreSQL of 15 to 17 on this machine."""
    here = shutil.which("initdb")
    places = [Path(here).resolve().parent] if here else []
    places += [file.parent for file in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found = {}
    for place in places:
        said = subprocess.run([place / "initdb", "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"\) (\d+)", said)
        if version and (place / "postgres").is_file():
            found[version[1]] = Old(place, version[1])
    return next((found[major] for major in OLD_MAJORS if major in found), None)


@pytest.fixture
def old_server() -> Iterator[str]:
    """The conninfo of a server of 15 to 17, on a socket only, which root runs as nobody."""
    old = _old()
    if old is None:
        pytest.skip("no initdb of PostgreSQL 15 to 17, neither in PATH nor in /usr/lib/postgresql")
    user = "nobody" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="ledgerctl-old-"))
    directory.chmod(0o711)
    home = directory / "home"  # the one place that the server's user owns
    home.mkdir(mode=0o700)
    server: subprocess.Popen[bytes] | None = None
    try:
        if user is not None:
            shutil.chown(home, user)
        words = ["-U", "ledger", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run(
            [str(old.binaries / "initdb"), "-D", str(home / "data"), *words],
            user=user,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    old.binaries / "postgres",
                    "-D",
                    home / "data",
                    "-h",
                    "",
                    "-k",
                    home,
                    "-F",
                    "-c",
                    "ledgerctl.ephemeral=on",
                ],
                user=user,
                cwd="/",
                stdout=log,
                stderr=log,
            )
        conninfo = make_conninfo(host=str(home), user="ledger", dbname="postgres")
        _wait(conninfo, server, directory / "log")
        yield conninfo
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGINT)  # "fast": a connection that a failed test left open is cut
            server.wait(STOP_SECONDS)
        shutil.rmtree(directory)


def _wait(conninfo: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(conninfo).close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.05)


def test_books_on_a_server_before_18(old_server: str) -> None:
    migrate.upgrade(old_server)
    migrate.upgrade(old_server)
    assert differences(old_server) == []

    with closing(database_at(old_server)) as database:
        accounts.create_ledger(database, "main", "tester", "request-1")
        books = open_books(database, "main", "tester", "request-1")
        _post_and_reverse(books)
        result = reconciling.run(books, lambda *_step: None)

    assert (result.status, result.checked) == ("clean", {"accounts": 2, "transactions": 2, "entries": 4})
    with psycopg.connect(old_server, autocommit=True) as conn:
        _foreign_keys_hold(conn)


def _post_and_reverse(books: Books) -> None:
    accounts.create(
        books,
        [
            NewAccount("bank", "asset", "EUR", 2, None, None, None, None),
            NewAccount("alice", "liability", "EUR", 2, None, None, None, None),
        ],
    )
    legs = [
        Leg("bank", Side.DEBIT, Decimal("12.34"), "EUR"),
        Leg("alice", Side.CREDIT, Decimal("12.34"), "EUR"),
    ]
    receipt = payments.post_one(books, request(uuid7(), "first", Kind.TRANSFER, legs))
    payments.reverse(books, uuid7(), "undo", receipt.transaction.id, None, None)


def _foreign_keys_hold(conn: Connection) -> None:
    """All of them are real here: with our own triggers off, PostgreSQL's still refuse."""
    [[count]] = conn.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated").fetchall()
    assert count == sum(len(table.foreign_key_constraints) for table in metadata.tables.values())
    for table in ("transactions", "transaction_entries"):
        conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
    entry = (
        "INSERT INTO transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after)"
        " SELECT ledger_id, {account}, 99, {transaction}, 1, 1 FROM transaction_entries LIMIT 1"
    )
    refused = {
        "transaction_entries_account": entry.format(account="987654321", transaction="transaction_id"),
        "transaction_entries_parent": entry.format(account="account_id", transaction="gen_random_uuid()"),
        "transactions_import_receipt": "UPDATE transactions SET import_id = 42",
    }
    assert refused.keys() == SETWISE
    for name, statement in refused.items():
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
            conn.execute(statement.encode())
        assert caught.value.diag.constraint_name == name
