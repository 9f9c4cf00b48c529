"""Receipts say how many rows of their file were decided: what was left out then is not decided again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("imports", sa.Column("decided", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE imports SET decided = rows WHERE status = 'complete'")
