"""The audit log: who did what to which subject, and how it ended. Written in the transaction of the change itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledgerctl import tracing
from ledgerctl.db.pipeline import Executor

INSERT = """
    INSERT INTO audit_logs (ledger_id, actor, request_id, trace_id, action, subject, outcome, detail)
    SELECT %s, l.*
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[]) AS l
"""
# Who asks about the same subject waits until the other's transaction has ended; who meets in a hash waits for nothing.
EXCLUDE = "SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))"
DETAIL = """
    SELECT detail FROM audit_logs WHERE ledger_id = %s AND action = %s AND subject = %s ORDER BY id LIMIT 1
"""


class By(NamedTuple):
    """Who asked, in which request and trace."""

    actor: str
    request_id: str
    trace_id: str | None


class Line(NamedTuple):
    """One thing done or refused. `subject` is a transaction id, an account code, a key, an import id."""

    action: str
    subject: str
    outcome: str
    detail: Mapping[str, Any] | None = None
    by: By | None = None
    """Where requests of several callers share a transaction."""


def activity(transactions: int, entries: int, volume: Mapping[str, str]) -> dict[str, Any]:
    """The detail of a line that posted something: how much, and by currency what was debited. The view of that name
    adds such lines up, so each posting has them in one line, of its own transaction."""
    return {"transactions": transactions, "entries": entries, "volume": volume}


def log(conn: Executor, ledger: int, actor: str, request_id: str, lines: Sequence[Line]) -> None:
    """Write the lines and wait for no answer of a pipeline."""
    if not lines:
        return
    us = By(actor, request_id, tracing.trace_id())  # asked for here, so that no caller can forget it
    origins = [line.by or us for line in lines]
    conn.execute(
        INSERT,
        [
            ledger,
            [by.actor for by in origins],
            [by.request_id for by in origins],
            [by.trace_id for by in origins],
            [line.action for line in lines],
            [line.subject for line in lines],
            [line.outcome for line in lines],
            [None if line.detail is None else json.dumps(line.detail) for line in lines],
        ],
    )


def exclude(conn: Executor, ledger: int, subject: str) -> None:
    """Keep others who do the same away from the subject until the transaction ends."""
    conn.execute(EXCLUDE, [subject, ledger])


def detail(conn: Executor, ledger: int, action: str, subject: str) -> dict[str, Any] | None:
    """Of the first line of that action on the subject, if there is one."""
    row = conn.execute(DETAIL, [ledger, action, subject]).fetchone()
    return None if row is None else row[0]
