"""What each role may do, tried out: every privilege on every table, and the whole program as the application."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ledgerctl import errors
from ledgerctl.db import roles
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.services import accounts, import_reversal, importing, payments, reconciling, setup
from ledgerctl.services.accounts import create_ledger
from ledgerctl.services.books import Books, open_books
from ledgerctl.services.import_job import Options
from tests.conftest import database_at
from tests.services.conftest import new, transfer

GOLDEN = Path(__file__).parent / "privileges.txt"
NAMES = ("ledger_owner", "ledger_migrator", "ledger_app", "ledger_ro", "ledger_auditor", "ledger_metrics", "a stranger")
TABLES = """
    SELECT c.relname, c.relkind::text FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relkind, c.relname
"""
COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


@pytest.fixture
def guarded(books: Books, conn: Connection) -> Iterator[Connection]:
    """A database with its roles, a row or more in every table, and a role that has been given nothing."""
    setup.create_roles(books.database)
    if not _there(conn, "a_stranger"):
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):  # another worker's
            conn.execute("CREATE ROLE a_stranger NOLOGIN")
    used(books)
    yield conn


def used(books: Books) -> None:
    """Everything that writes, once."""
    accounts.create(books, [new("bank", "asset", None), new("alice"), new("bob")])
    receipt = payments.post_one(books, transfer("bank", "alice", "5"))
    payments.reverse(books, uuid7(), "undo", receipt.transaction.id, None, None)
    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(books, transfer("bob", "alice", "5"))
    content = b"from,to,amount\nbank,alice,1\nbank,bob,2\n"
    for options in (Options(), Options(commit_every=1), Options(dry_run=True)):
        file = TransferFile(Input("in.csv", BytesIO(content)), {}, {})
        done = importing.run(books, file, lambda *_: None, options=options)
    import_reversal.reverse(books, import_reversal.Asked(1), lambda *_: None)
    assert done.receipt["replayed"] == 2
    accounts.freeze(books, "bob")
    assert reconciling.run(books, lambda *_: None).findings == []


def _there(conn: Connection, role: str) -> bool:
    return conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None


def tried(conn: Connection, role: str, statement: sql.Composed) -> str:
    """`yes`; `-` without the privilege; `stopped` where a trigger refuses what the privilege would allow."""
    with conn.transaction(force_rollback=True):
        conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role.replace(" ", "_"))))
        try:
            conn.execute(statement)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.GeneratedAlways):
            return "-"
        except psycopg.errors.RestrictViolation:
            return "stopped"
        except psycopg.Error:
            return "yes"  # a row of nothing but defaults is no account, but it was let through to be told so
        return "yes"


STATEMENTS = {
    "SELECT": "SELECT FROM {} LIMIT 0",
    "INSERT": "INSERT INTO {} DEFAULT VALUES",
    "DELETE": "DELETE FROM {}",
    "TRUNCATE": "TRUNCATE {} CASCADE",
    "LOCK": "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
    "TRIGGER": "CREATE TRIGGER x AFTER INSERT ON {} FOR EACH ROW EXECUTE FUNCTION x()",
}


def matrix(conn: Connection) -> str:
    lines = []
    for table, kind in conn.execute(TABLES).fetchall():
        lines.append(table)
        for role in NAMES:
            may = _rights(conn, role, table, STATEMENTS if kind == "r" else ("SELECT",))
            lines.append(f"    {role:<16}{', '.join(may) or '-'}")
    return "\n".join(lines) + "\n"


def _rights(conn: Connection, role: str, table: str, tries: Iterable[str]) -> list[str]:
    results = {what: tried(conn, role, _of(STATEMENTS[what], table)) for what in tries}
    may = [what if how == "yes" else f"{what} ({how})" for what, how in results.items() if how != "-"]
    if "INSERT" not in results:  # a view
        return may
    columns = [column for (column,) in conn.execute(COLUMNS, [f"public.{table}"]).fetchall()]
    changes = {column: tried(conn, role, _of("UPDATE {} SET {} = {}", table, column, column)) for column in columns}
    changed = [column for column, how in changes.items() if how == "yes"]
    if changed:
        may.append("UPDATE" if changed == columns else f"UPDATE ({', '.join(changed)})")
    elif "stopped" in changes.values():
        may.append("UPDATE (stopped)")
    return may


def _of(text: str, table: str, *columns: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier("public", table), *map(sql.Identifier, columns))


def test_each_role_may_do_what_the_table_says_and_nothing_else(guarded: Connection) -> None:
    found = matrix(guarded)

    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


def test_a_login_that_has_owned_the_tables_goes_on_posting(books: Books, conn: Connection, conninfo: str) -> None:
    name = f"former_{uuid7().hex[:12]}"
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    for (table,) in conn.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
    ).fetchall():
        conn.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(sql.Identifier(table), sql.Identifier(name)))

    setup.create_roles(books.database)

    with closing(database_at(make_conninfo(conninfo, options=f"-c role={name}"))) as database:
        used(open_books(database, "main", "tester", "r"))
    conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def test_the_whole_program_runs_as_the_application(books: Books, conninfo: str) -> None:
    setup.create_roles(books.database)
    with closing(database_at(make_conninfo(conninfo, options="-c role=ledger_app"))) as database:
        create_ledger(database, "second", "tests", "r")
        used(open_books(database, "second", "tester", "r"))


def test_the_application_is_told_who_of_another_role_stands_in_its_way(guarded: Connection, conninfo: str) -> None:
    """What such a session does and since when, only a reader of all statistics may see."""
    database = database_at(make_conninfo(conninfo, options="-c role=ledger_app"), lock_timeout_ms=50, deadline_s=0.2)
    with closing(database), guarded.transaction():
        guarded.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        with pytest.raises(errors.Busy) as caught:
            payments.post_one(open_books(database, "main", "tester", "request-1"), transfer("bank", "alice", "5"))
    holder = caught.value.details["holder"]
    assert (holder["pid"], holder["state"], holder["seconds"]) == (guarded.info.backend_pid, None, None)
    assert f"locked by process {guarded.info.backend_pid} (unnamed)" in str(caught.value)


def test_it_may_be_run_again_and_in_another_database_of_the_server(books: Books, empty_conninfo: str) -> None:
    first = setup.create_roles(books.database)
    assert setup.create_roles(books.database) == first

    with closing(database_at(empty_conninfo)) as other:
        with pytest.raises(errors.WrongSchema):
            setup.create_roles(other)
        setup.upgrade(other)
        assert setup.create_roles(other) == first


def test_a_role_that_was_given_more_has_it_no_longer(guarded: Connection, books: Books) -> None:
    guarded.execute("GRANT DELETE ON transactions TO ledger_ro; ALTER TABLE alembic_version OWNER TO CURRENT_USER")

    setup.create_roles(books.database)

    assert tried(guarded, "ledger_ro", _of(STATEMENTS["DELETE"], "transactions")) == "-"


def test_a_new_table_of_the_migrator_is_nobody_elses(guarded: Connection) -> None:
    with guarded.transaction(force_rollback=True):
        guarded.execute("SET LOCAL ROLE ledger_migrator; SET LOCAL ROLE ledger_owner; CREATE TABLE later (a int)")
        guarded.execute("SET LOCAL ROLE ledger_app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            guarded.execute("SELECT FROM later")


def test_who_may_not_create_roles_is_denied(guarded: Connection, conninfo: str) -> None:
    with (
        closing(database_at(make_conninfo(conninfo, options="-c role=ledger_app"))) as database,
        pytest.raises(errors.PermissionDenied),
    ):
        setup.create_roles(database)


def test_the_program_says_what_the_script_grants() -> None:
    for role in roles.MAY:
        assert f"'{role}'" in roles.script()
