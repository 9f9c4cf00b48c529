"""ledgerctl db, on a server that is not ours to start and stop; and databases that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit
from tests.conftest import Run

Command = Callable[..., Run]


def test_status_names_the_server_and_its_schema(run: Command) -> None:
    status = json.loads(run("-o", "json", "db", "status").out)

    assert status.keys() == {"server", "running", "version", "schema", "needed", "directory"}
    assert (status["server"], status["running"], status["directory"]) == ("remote", True, None)
    assert status["schema"] == status["needed"]


@pytest.mark.parametrize("command", ["start", "stop"])
def test_a_server_that_is_not_embedded_is_neither_started_nor_stopped(run: Command, command: str) -> None:
    done = run("db", command)

    assert done.code == Exit.USAGE
    assert "not an embedded one" in done.err


def test_upgrade_changes_nothing_that_is_right_already(alone: Command) -> None:
    assert alone("db", "upgrade").code == Exit.DONE
    assert alone("balance").code == Exit.DONE


@pytest.mark.parametrize("args", [("balance",), ("transfer", "a", "b", "1"), ("reconcile",), ("ledger", "list")])
def test_an_empty_database_is_the_wrong_schema(run: Command, empty_conninfo: str, args: tuple[str, ...]) -> None:
    done = run(*args, LEDGERCTL_DATABASE_URL=empty_conninfo)

    assert done.code == Exit.BAD_CONFIG
    assert "code: WRONG_SCHEMA" in done.err
    assert "ledgerctl db upgrade" in done.err


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_an_older_or_newer_schema_is_refused(alone: Command, conn: Connection, revision: str) -> None:
    conn.execute("UPDATE alembic_version SET version_num = %s", [revision])

    done = alone("balance")

    assert done.code == Exit.BAD_CONFIG
    assert f"the database has schema {revision}" in done.err


@pytest.mark.parametrize("url", ["postgresql://ledger@127.0.0.1:1/books", "host=/nonexistent"])
def test_a_dead_server_is_unavailable_whatever_was_asked(run: Command, url: str) -> None:
    for args in (("balance",), ("reconcile",), ("db", "status"), ("transfer", "a", "b", "1", "-i", "k")):
        done = run(*args, LEDGERCTL_DATABASE_URL=url)
        assert done.code == Exit.UNAVAILABLE
        assert "code: DATABASE_UNAVAILABLE" in done.err


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql://ledger:hid%zzden@127.0.0.1:1/books", "postgresql://127.0.0.1:1/books?nosuch=1"]
)
def test_a_malformed_url_is_a_wrong_configuration_and_gives_no_secret_away(run: Command, url: str) -> None:
    done = run("balance", LEDGERCTL_DATABASE_URL=url)

    assert done.code == Exit.BAD_CONFIG
    assert "hid" not in done.err


def test_ledgers_are_made_once_and_listed(alone: Command) -> None:
    for created in (True, False):
        assert json.loads(alone("-o", "json", "ledger", "create", "eu").out) == {"ledger": "eu", "created": created}
    assert [row["ledger"] for row in json.loads(alone("-o", "json", "ledger", "list").out)] == ["eu", "main"]
    assert alone("ledger", "create", "no good").code == Exit.USAGE


def test_books_are_kept_apart(funded: Command) -> None:
    assert funded("-l", "main", "balance", "-o", "json").out == "[]\n"
    assert funded("account", "show", "alice", "--ledger", "main").code == Exit.NOT_FOUND
    assert funded("transaction", "show", "deposit", "--ledger=main").code == Exit.NOT_FOUND
    assert funded("history", "alice", "-lmain").code == Exit.NOT_FOUND


def test_a_ledger_that_is_not_there_is_not_found(run: Command) -> None:
    done = run("--ledger", "nosuch", "balance")

    assert done.code == Exit.NOT_FOUND
    assert "there is no ledger 'nosuch'" in done.err
    assert "ledgerctl ledger create nosuch makes it" in done.err


def test_a_currency_is_added_once_and_its_decimals_are_fixed(run: Command) -> None:
    for _ in range(2):
        assert json.loads(run("-o", "json", "currency", "add", "BTC", "--exponent", "8").out) == {
            "code": "BTC",
            "exponent": 8,
        }
    other = run("currency", "add", "BTC", "--exponent", "6")

    assert other.code == Exit.CONFLICT
    assert "currency 'BTC' exists with 8 decimals" in other.err
    listed = {row["code"]: row["exponent"] for row in json.loads(run("currency", "list", "-o", "json").out)}
    assert (listed["BTC"], listed["EUR"], listed["JPY"], listed["KWD"]) == (8, 2, 0, 3)


@pytest.mark.parametrize(("code", "exponent"), [("btc", "8"), ("B", "8"), ("BTC", "-1"), ("BTC", "19"), ("BTC", "x")])
def test_a_currency_that_cannot_be_is_refused(run: Command, code: str, exponent: str) -> None:
    assert run("currency", "add", code, "--exponent", exponent).code == Exit.USAGE
    assert run("currency", "add", code).code == Exit.USAGE
