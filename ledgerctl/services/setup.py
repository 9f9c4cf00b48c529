"""Bring a place for the books into being: the server, the database, the schema, the ledger."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledgerctl import errors
from ledgerctl.config import EMBEDDED, Configuration
from ledgerctl.db import accounts, embedded, migrate, roles
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.outcomes import translated
from ledgerctl.services.accounts import create_ledger
from ledgerctl.services.books import require_schema

VERSION_MIN = 150000


def create(database: Database, configuration: Configuration, actor: str, request_id: str) -> None:
    """Server, database, schema and ledger, each made only if it is missing."""
    if database.directory is not None:
        embedded.create(database.directory, run_as=database.settings.embedded_user)
    else:
        _create_database(database.conninfo)
    upgrade(database)
    require_schema(database)
    create_ledger(database, configuration.settings.ledger.name, actor, request_id)


def has_password(url: str) -> bool:
    """Whether a URL or conninfo carries a password. BadConfig when it is neither."""
    if url.startswith(EMBEDDED):
        return False
    try:
        return "password" in conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its words may hold the password
        raise errors.BadConfig(detail="the URL is neither a PostgreSQL URL nor embedded:DIR") from None


def upgrade(database: Database) -> None:
    """Bring the database to this program's schema. BadConfig for an old server, WrongSchema for a newer schema."""
    version = database.connect().info.server_version
    if version < VERSION_MIN:
        raise errors.BadConfig(detail=f"the server is PostgreSQL {version // 10000}; 15 or newer is needed")
    try:
        migrate.upgrade(database.conninfo)
    except psycopg.Error as error:
        raise translated(error) from error


def create_roles(database: Database) -> list[dict[str, str]]:
    """The roles, each created if it is missing, with its rights. WrongSchema, PermissionDenied."""
    require_schema(database)
    database.transact_at_length(database.limits, roles.apply)
    return [{"role": role, "may": may} for role, may in roles.MAY.items()]


def status(database: Database) -> dict[str, Any]:
    """Where the database is, whether it runs, its version and its schema. Starts nothing."""
    answer: dict[str, Any] = {
        "server": "embedded" if database.directory is not None else "remote",
        "running": True,
        "version": None,
        "schema": None,
        "needed": migrate.HEAD,
        "directory": None if database.directory is None else str(database.directory),
    }
    if database.directory is not None and not embedded.status(database.directory).running:
        return {**answer, "running": False}
    version = database.connect().info.server_version
    return {**answer, "version": f"{version // 10000}.{version % 10000}", "schema": database.read(_revision)}


def _revision(conn: Connection) -> str | None:
    try:
        return accounts.open_ledger(conn, "")[0]
    except psycopg.errors.UndefinedTable:
        return None


def _create_database(conninfo: str) -> None:
    """Create the database that the URL names, if the server has none of that name."""
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise errors.DatabaseUnavailable(detail=" ".join(str(error).split())) from error
        name = str(conninfo_to_dict(conninfo).get("dbname", ""))
        with psycopg.connect(make_conninfo(conninfo, dbname="postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
