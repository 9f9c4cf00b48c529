"""Bring a database to the schema of this program. Only `init` (embedded) and `db upgrade` do; nothing else migrates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from ledgerctl.errors import BadConfig, WrongSchema

if TYPE_CHECKING:
    from sqlalchemy import Connection as SQLConnection

HEAD = "0010"
"""The revision this program needs; a test holds it to the newest file under `migrations/versions`."""

_NEWER = "use the ledgerctl that made it, or a newer one"
_OBJECTS = ("functions", "triggers", "views")
_LOCK_ID = 7_316_540_201  # arbitrary, and the same in every release: two upgrades must exclude each other
_NOT_ENFORCED_FROM = 180000
_SETWISE = {
    "transaction_entries": ("transaction_entries_account", "transaction_entries_parent"),
    "transactions": ("transactions_import_receipt",),
}


def upgrade(conninfo: str) -> None:
    """Migrate to HEAD in one transaction, under a lock. A database that is there already stays as it is.

    psycopg's errors, and WrongSchema for a revision that this program does not know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            settle(connection)
    except CommandError:
        raise WrongSchema(found="of another version", needed=HEAD, hint=_NEWER) from None
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from None
        raise


def settle(connection: SQLConnection) -> None:
    """Functions, triggers and views as in `sql/`, and what depends on the server's version."""
    plain: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # it is psycopg's
    for name in _OBJECTS:
        # Handed to the driver as it stands: SQLAlchemy would take the % of RAISE for a placeholder.
        plain.execute((Path(__file__).parent / "sql" / f"{name}.sql").read_bytes())

    if plain.info.server_version >= _NOT_ENFORCED_FROM:
        # The triggers check the same links set-wise; the relation stays in the catalogue for people and tools.
        for table, names in _SETWISE.items():
            for name in names:
                plain.execute(
                    sql.SQL("ALTER TABLE {} ALTER CONSTRAINT {} NOT ENFORCED").format(
                        sql.Identifier(table), sql.Identifier(name)
                    )
                )


def require(found: str | None) -> None:
    """WrongSchema unless `found` is the revision that this program needs."""
    if found != HEAD:
        newer = {"hint": _NEWER} if found is not None and found > HEAD else {}
        raise WrongSchema(found=found or "none", needed=HEAD, **newer)


def _scripts() -> Path:
    """`migrations/` inside an installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "migrations", package.parent / "migrations"):
        if (place / "env.py").is_file():
            return place
    raise BadConfig(detail="the migrations are missing from this installation")
