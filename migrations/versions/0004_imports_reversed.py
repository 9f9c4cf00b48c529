"""Receipts say when their import was reversed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("imports", sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True))
