"""Who may believe what is kept in Redis."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledgerctl.db.schema import CLOCK, EXACT_TEXT, SERVER_START, WRITER, XID8

revision = "0008"
down_revision = "0007"

# Every posting looks here, and every scrape: roles that were given their rights before must not have to be given them
# again first.
_RIGHTS = """
    DO $$
    BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_app')
           AND has_table_privilege('ledger_app', 'transactions', 'INSERT') THEN
            GRANT SELECT, INSERT, UPDATE ON cache_epochs TO ledger_app;
            GRANT SELECT ON live_epochs TO ledger_app;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_ro')
           AND has_table_privilege('ledger_ro', 'transactions', 'SELECT') THEN
            GRANT SELECT ON cache_epochs, live_epochs TO ledger_ro;
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_metrics')
           AND has_table_privilege('ledger_metrics', 'imports', 'SELECT') THEN
            GRANT SELECT (ledger_id, purpose, state, changed_at) ON live_epochs TO ledger_metrics;
        END IF;
    END $$
"""
_IN_FORCE = """
    CREATE VIEW live_epochs AS
    SELECT ledger_id, purpose, id, instance, secret, changed_at, reason,
           CASE WHEN state = 'off' THEN 'off'
                WHEN xmin = written_by::xid AND server_started_at = pg_postmaster_start_time()
                 AND file = pg_relation_filepath('cache_epochs') THEN state
                ELSE 'closing' END AS state
    FROM cache_epochs
"""


def upgrade() -> None:
    op.create_table(
        "cache_epochs",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("purpose", EXACT_TEXT, nullable=False),
        sa.Column("id", postgresql.UUID, nullable=False),
        sa.Column("state", EXACT_TEXT, nullable=False),
        sa.Column("instance", EXACT_TEXT, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("server_started_at", sa.DateTime(timezone=True), nullable=False, server_default=SERVER_START),
        sa.Column("written_by", XID8, nullable=False, server_default=WRITER),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=CLOCK),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("ledger_id", "purpose", name="cache_epochs_pkey"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="cache_epochs_ledger"),
        sa.CheckConstraint("purpose IN ('balances', 'outcomes')", name="cache_epochs_purpose"),
        sa.CheckConstraint("state IN ('off', 'arming', 'waiting', 'on', 'closing')", name="cache_epochs_state"),
    )
    op.execute(_IN_FORCE)
    op.execute(_RIGHTS)
