"""Entries and accounts are checked with fewer looks into the tables: `sql/functions.sql`, which follows each step."""

from __future__ import annotations

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Nothing but the functions changes."""
