"""One ledger, opened by one actor: what every service is handed first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from ledgerctl import errors, tracing
from ledgerctl.db import accounts, migrate
from ledgerctl.db.accounts import Opened
from ledgerctl.db.connection import Connection, Database

if TYPE_CHECKING:
    from ledgerctl.cache.server import Server
    from ledgerctl.services.known_outcomes import KnownOutcomes


@dataclass(frozen=True, slots=True)
class Books:
    database: Database
    ledger: int
    name: str
    actor: str
    request_id: str
    """Of the command or the HTTP request that asks; it stands in the audit log."""
    created_at: datetime | None = None
    """When the ledger was created: tells it from a namesake in another database."""
    cache: Server | None = None
    """Redis, where one is configured."""
    outcomes: KnownOutcomes | None = None
    """Where repeats are looked for before the database is asked; for servers."""


def open_books(database: Database, name: str, actor: str, request_id: str, cache: Server | None = None) -> Books:
    """The ledger of that name. WrongSchema, NotDurable, LedgerNotFound, DatabaseUnavailable."""
    tracing.tell(ledger=name)
    opened = database.read(_checked, name)
    if opened.ledger is None:
        raise errors.LedgerNotFound(ledger=name)
    return Books(database, opened.ledger, name, actor, request_id, opened.created_at, cache)


def require_schema(database: Database) -> None:
    """WrongSchema unless the database has this program's schema; NotDurable when a crash may lose what it commits."""
    database.read(_checked, "")


def _checked(conn: Connection, name: str) -> Opened:
    """The ledger of that name, if there is one, once the schema is known to be right."""
    try:
        opened = accounts.open_ledger(conn, name)
    except psycopg.errors.UndefinedTable:
        opened = Opened(None, None, None, None)
    migrate.require(opened.revision)
    if opened.off:
        raise errors.NotDurable(off=opened.off)
    return opened
