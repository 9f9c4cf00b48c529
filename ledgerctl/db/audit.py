"""The audit log: who did what to which subject, and how it ended. Written in the transaction of the change itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledgerctl import tracing
from ledgerctl.db.connection import Connection

INSERT = """
    INSERT INTO audit_logs (ledger_id, actor, request_id, trace_id, action, subject, outcome, detail)
    SELECT %s, %s, %s, %s, l.* FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[]) AS l
"""


class Line(NamedTuple):
    """One thing done or refused. `subject` is a transaction id, an account code, a key, an import id."""

    action: str
    subject: str
    outcome: str
    detail: Mapping[str, Any] | None = None


def activity(transactions: int, entries: int, volume: Mapping[str, str]) -> dict[str, Any]:
    """The detail of a line that posted something: how much, and by currency what was debited. The view of that name
    adds such lines up, so each posting has them in one line, of its own transaction."""
    return {"transactions": transactions, "entries": entries, "volume": volume}


def log(conn: Connection, ledger: int, actor: str, request_id: str, lines: Sequence[Line]) -> None:
    """Write the lines without waiting for an answer in pipeline mode."""
    if not lines:
        return
    details = [None if line.detail is None else json.dumps(line.detail) for line in lines]
    conn.execute(
        INSERT,
        [
            ledger,
            actor,
            request_id,
            tracing.trace_id(),  # asked for here, so that no caller can forget it
            [line.action for line in lines],
            [line.subject for line in lines],
            [line.outcome for line in lines],
            details,
        ],
    )
