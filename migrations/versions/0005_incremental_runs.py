"""Runs go on from where the last clean one ended, and a full one says whether anything before that has changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledgerctl.db.schema import EXACT_TEXT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.drop_constraint("reconciliation_checkpoints_account", "reconciliation_checkpoints")
    # Runs before this one checked everything.
    op.add_column("reconciliations", sa.Column("mode", EXACT_TEXT, nullable=False, server_default="full"))
    op.alter_column("reconciliations", "mode", server_default=None)
    op.create_check_constraint("reconciliations_mode", "reconciliations", "mode IN ('full', 'incremental')")
    op.create_table(
        "reconciliation_digests",
        sa.Column("ledger_id", sa.Integer, nullable=False),
        sa.Column("part", EXACT_TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Numeric, nullable=False),
        sa.Column("weighted", sa.Numeric),
        sa.PrimaryKeyConstraint("ledger_id", "part", name="reconciliation_digests_pkey"),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.id"], name="reconciliation_digests_ledger"),
    )
