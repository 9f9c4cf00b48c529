"""Alembic's door: runs the migrations on the connection that `ledgerctl.db.migrate` opened."""

from __future__ import annotations

from alembic import context

from ledgerctl.db.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
