"""Which lines of statements go with which entries, and what is open: in no match that stands.

Amounts are the bank's: positive for what it credits, which the books debit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from ledgerctl.core.matching import Match, Rule
from ledgerctl.db.connection import Connection

OPEN_LINES = """
    SELECT l.id, l.booked_on, l.amount, l.fee, l.payment_references, l.counterparty, l.description
    FROM bank_lines l
    WHERE l.ledger_id = %(ledger)s AND l.account_id = %(account)s AND (l.amount <> 0 OR l.fee <> 0)
      AND NOT EXISTS (SELECT FROM bank_match_lines m
                      WHERE m.ledger_id = l.ledger_id AND m.line_id = l.id AND NOT m.undone)
    ORDER BY l.booked_on, l.id
"""
# The entries that are in the first opening balance are not open, and never were.
OPEN_ENTRIES = """
    SELECT e.seq, e.transaction_id, d.day AS dated_on, -e.amount AS amount, t.reference, t.idempotency_key,
           t.description, o.seq AS reverses,
           ARRAY(SELECT DISTINCT a.code FROM transaction_entries x
                 JOIN accounts a ON a.ledger_id = x.ledger_id AND a.id = x.account_id
                 WHERE x.ledger_id = e.ledger_id AND x.transaction_id = e.transaction_id
                   AND x.account_id <> e.account_id
                 ORDER BY a.code) AS counterparties
    FROM transaction_entries e
    JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
    CROSS JOIN LATERAL (SELECT (coalesce(t.effective_at, t.posted_at) AT TIME ZONE 'UTC')::date AS day) d
    JOIN bank_accounts b ON b.ledger_id = e.ledger_id AND b.account_id = e.account_id
    LEFT JOIN transaction_entries o
           ON o.ledger_id = t.ledger_id AND o.transaction_id = t.reverses AND o.account_id = e.account_id
    WHERE e.ledger_id = %(ledger)s AND e.account_id = %(account)s
      AND NOT (e.seq <= b.covered_seq AND (d.day, e.seq) <= (b.covered_on, b.covered_on_seq))
      AND NOT EXISTS (SELECT FROM bank_match_entries m
                      WHERE m.ledger_id = e.ledger_id AND m.account_id = e.account_id AND m.seq = e.seq
                        AND NOT m.undone)
    ORDER BY d.day, e.seq
"""
# What somebody took apart by hand does not come together again by itself.
TAKEN_APART = """
    SELECT l.line_id, e.seq
    FROM bank_matches m
    JOIN bank_match_lines l ON l.ledger_id = m.ledger_id AND l.match_id = m.id
    JOIN bank_match_entries e ON e.ledger_id = m.ledger_id AND e.match_id = m.id
    WHERE m.ledger_id = %s AND m.account_id = %s AND m.undone_at IS NOT NULL
"""
UNMADE = """
    SELECT array_agg(e.seq ORDER BY e.seq)
    FROM bank_matches m
    JOIN bank_match_entries e ON e.ledger_id = m.ledger_id AND e.match_id = m.id
    WHERE m.ledger_id = %s AND m.account_id = %s AND m.undone_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM bank_match_lines l WHERE l.ledger_id = m.ledger_id AND l.match_id = m.id)
    GROUP BY m.id
"""
# In order, so that the ids that come back are those of the matches, one by one.
INSERT = """
    INSERT INTO bank_matches (ledger_id, account_id, rule, reason, actor, reconciliation_id)
    SELECT %s, %s, r.rule, %s, %s, %s
    FROM unnest(%s::text[]) WITH ORDINALITY AS r(rule, place)
    ORDER BY r.place
    RETURNING id
"""
INSERT_LINES = """
    INSERT INTO bank_match_lines (ledger_id, match_id, line_id)
    SELECT %s, m.* FROM unnest(%s::bigint[], %s::bigint[]) AS m
"""
INSERT_ENTRIES = """
    INSERT INTO bank_match_entries (ledger_id, account_id, match_id, seq)
    SELECT %s, %s, m.* FROM unnest(%s::bigint[], %s::bigint[]) AS m
"""
FIND = """
    SELECT m.id, m.account_id, a.code AS account, m.rule, m.undone_at
    FROM bank_matches m
    JOIN accounts a ON a.ledger_id = m.ledger_id AND a.id = m.account_id
    WHERE m.ledger_id = %s AND m.id = %s
    FOR UPDATE OF m
"""
UNDO = "UPDATE bank_matches SET undone_at = clock_timestamp() WHERE ledger_id = %s AND id = %s"
UNDO_LINES = "UPDATE bank_match_lines SET undone = true WHERE ledger_id = %s AND match_id = %s RETURNING line_id"
UNDO_ENTRIES = "UPDATE bank_match_entries SET undone = true WHERE ledger_id = %s AND match_id = %s RETURNING seq"


class OpenLine(NamedTuple):
    id: int
    booked_on: date
    amount: Decimal
    fee: Decimal
    payment_references: list[str]
    counterparty: str
    description: str


class OpenEntry(NamedTuple):
    """`dated_on` is the day it took effect, in UTC. `reverses` is the entry of this account that it takes back."""

    seq: int
    transaction_id: UUID
    dated_on: date
    amount: Decimal
    reference: str | None
    idempotency_key: str
    description: str | None
    reverses: int | None
    counterparties: list[str]


class Made(NamedTuple):
    """A match that was made."""

    id: int
    account_id: int
    account: str
    rule: str
    undone_at: datetime | None


def open_lines(conn: Connection, ledger: int, account_id: int) -> list[OpenLine]:
    """In the order of their days."""
    cursor = conn.cursor(row_factory=class_row(OpenLine))
    return cursor.execute(OPEN_LINES, {"ledger": ledger, "account": account_id}).fetchall()


def open_entries(conn: Connection, ledger: int, account_id: int) -> list[OpenEntry]:
    """In the order of their days. None of an account that was never reconciled with its bank."""
    cursor = conn.cursor(row_factory=class_row(OpenEntry))
    return cursor.execute(OPEN_ENTRIES, {"ledger": ledger, "account": account_id}).fetchall()


def taken_apart(conn: Connection, ledger: int, account_id: int) -> frozenset[tuple[int, int]]:
    """Pairs of a line's id and an entry's seq that were in a match that has been undone."""
    return frozenset(conn.execute(TAKEN_APART, [ledger, account_id]).fetchall())


def unmade(conn: Connection, ledger: int, account_id: int) -> frozenset[tuple[int, ...]]:
    """The seqs of entries that were matched with each other alone, of matches that have been undone."""
    return frozenset(tuple(seqs) for (seqs,) in conn.execute(UNMADE, [ledger, account_id]).fetchall())


def insert(
    conn: Connection,
    ledger: int,
    account_id: int,
    matches: Sequence[Match],
    actor: str,
    run_id: int | None = None,
    reason: str | None = None,
) -> list[int]:
    """The ids of the matches, in their order."""
    rules = [str(one.rule) for one in matches]
    ids = [int(id_) for (id_,) in conn.execute(INSERT, [ledger, account_id, reason, actor, run_id, rules]).fetchall()]
    lines = [(id_, line) for id_, one in zip(ids, matches, strict=True) for line in one.lines]
    entries = [(id_, seq) for id_, one in zip(ids, matches, strict=True) for seq in one.entries]
    conn.execute(INSERT_LINES, [ledger, [id_ for id_, _ in lines], [line for _, line in lines]])
    conn.execute(INSERT_ENTRIES, [ledger, account_id, [id_ for id_, _ in entries], [seq for _, seq in entries]])
    return ids


def find(conn: Connection, ledger: int, match_id: int) -> Made | None:
    return conn.cursor(row_factory=class_row(Made)).execute(FIND, [ledger, match_id]).fetchone()


def undo(conn: Connection, ledger: int, match_id: int) -> Match:
    """Take a match apart; what was in it."""
    conn.execute(UNDO, [ledger, match_id])
    lines = tuple(line for (line,) in conn.execute(UNDO_LINES, [ledger, match_id]).fetchall())
    entries = tuple(seq for (seq,) in conn.execute(UNDO_ENTRIES, [ledger, match_id]).fetchall())
    return Match(Rule.BY_HAND, lines, entries)
