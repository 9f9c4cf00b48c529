"""An index serves a statement only if that asks for its first column: see ADR 3."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

_UNIQUE = {"accounts_code": ("accounts", "code"), "transactions_idempotency_key": ("transactions", "idempotency_key")}
_INDEXES = {
    "transactions_reversed_once": ("transactions", "reverses"),
    "transactions_import": ("transactions", "import_id"),
    "transaction_entries_transaction": ("transaction_entries", "transaction_id"),
}
_ARE_UNIQUE = {*_UNIQUE, "transactions_reversed_once"}


def upgrade() -> None:
    for name, (table, _) in _UNIQUE.items():
        op.drop_constraint(name, table)
    for name in _INDEXES:
        op.drop_index(name)
    for name, (table, column) in {**_UNIQUE, **_INDEXES}.items():
        op.create_index(
            name,
            table,
            [column, "ledger_id"],
            unique=name in _ARE_UNIQUE,
            postgresql_where=text(f"{column} IS NOT NULL"),
        )
