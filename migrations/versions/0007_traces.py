"""The audit log names the trace that a command was a part of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledgerctl.db.schema import EXACT_TEXT

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("audit_logs", sa.Column("trace_id", EXACT_TEXT))
    op.create_check_constraint("audit_logs_trace", "audit_logs", "trace_id ~ '^[0-9a-f]{32}$'")
