"""One ledger, opened by one actor: what every service is handed first."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from ledgerctl import errors
from ledgerctl.db import accounts, migrate
from ledgerctl.db.connection import Connection, Database


@dataclass(frozen=True, slots=True)
class Books:
    database: Database
    ledger: int
    name: str
    actor: str
    request_id: str
    """Of the command or the HTTP request that asks; it stands in the audit log."""


def open_books(database: Database, name: str, actor: str, request_id: str) -> Books:
    """The ledger of that name. WrongSchema, LedgerNotFound, DatabaseUnavailable."""
    ledger = database.read(_find, name)
    return Books(database, ledger, name, actor, request_id)


def require_schema(database: Database) -> None:
    """WrongSchema unless the database has this program's schema."""
    database.read(_checked, "")


def _find(conn: Connection, name: str) -> int:
    ledger = _checked(conn, name)
    if ledger is None:
        raise errors.LedgerNotFound(ledger=name)
    return ledger


def _checked(conn: Connection, name: str) -> int | None:
    """The ledger's id if there is one, once the schema is known to be right."""
    try:
        revision, ledger = accounts.open_ledger(conn, name)
    except psycopg.errors.UndefinedTable:
        revision, ledger = None, None
    migrate.require(revision)
    return ledger
