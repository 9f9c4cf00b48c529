"""ledgerctl demo: the main job, start to end, in a throw-away ledger."""

from __future__ import annotations

import typer


def register(root: typer.Typer) -> None:
    pass
