"""Runs of reconciliation, and what they matched. Reads only; amounts of statements and matches are the bank's."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row

from ledgerctl.db.connection import Connection

Row = dict[str, Any]

RUNS = """
    SELECT r.id, r.mode, a.code AS account, r.status, r.checked, r.findings, r.detail, r.actor, r.started_at,
           r.finished_at
    FROM reconciliations r
    LEFT JOIN accounts a ON a.ledger_id = r.ledger_id AND a.id = r.account_id
    WHERE r.ledger_id = %(ledger)s AND (%(id)s::bigint IS NULL OR r.id = %(id)s)
          AND (%(account)s::text IS NULL OR a.code = %(account)s)
    ORDER BY r.id DESC
    LIMIT %(limit)s
"""
MATCHES = """
    SELECT m.id, m.rule, m.reason, m.undone_at, a.exponent,
           (SELECT coalesce(json_agg(json_build_object(
                       'id', l.id, 'on', l.booked_on, 'amount', l.amount::text, 'fee', l.fee::text,
                       'references', l.payment_references, 'counterparty', l.counterparty,
                       'description', l.description) ORDER BY l.id), '[]')
            FROM bank_match_lines ml
            JOIN bank_lines l ON l.ledger_id = ml.ledger_id AND l.id = ml.line_id
            WHERE ml.ledger_id = m.ledger_id AND ml.match_id = m.id) AS lines,
           (SELECT coalesce(json_agg(json_build_object(
                       'seq', e.seq, 'transaction_id', e.transaction_id, 'amount', (-e.amount)::text,
                       'on', (coalesce(t.effective_at, t.posted_at) AT TIME ZONE 'UTC')::date,
                       'reference', t.reference, 'description', t.description) ORDER BY e.seq), '[]')
            FROM bank_match_entries me
            JOIN transaction_entries e
                 ON e.ledger_id = me.ledger_id AND e.account_id = me.account_id AND e.seq = me.seq
            JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
            WHERE me.ledger_id = m.ledger_id AND me.match_id = m.id) AS entries
    FROM bank_matches m
    JOIN accounts a ON a.ledger_id = m.ledger_id AND a.id = m.account_id
    WHERE m.ledger_id = %s AND m.reconciliation_id = %s
    ORDER BY m.id
"""
# Of each account the last run, since one run looks at one account only.
STANDING = """
    SELECT coalesce(sum((r.detail->>'found')::int), 0)::int AS findings,
           coalesce(sum((r.detail->'open'->>'lines')::int + (r.detail->'open'->>'entries')::int), 0)::int AS open_items,
           coalesce(extract(epoch FROM clock_timestamp() - min((r.detail->>'oldest_open_on')::date)), 0)::float
               AS oldest_open_age_s,
           extract(epoch FROM min((r.detail->>'tells_until')::date))::float AS oldest_statement_at_s
    FROM bank_accounts b
    CROSS JOIN LATERAL (SELECT x.detail FROM reconciliations x
                        WHERE x.ledger_id = b.ledger_id AND x.account_id = b.account_id
                        ORDER BY x.id DESC LIMIT 1) r
    WHERE b.ledger_id = %s
"""


class Standing(NamedTuple):
    """Of all accounts that are compared with their banks, as their last runs left them; in seconds, and since 1970."""

    findings: int
    open_items: int
    oldest_open_age_s: float
    oldest_statement_at_s: float | None


def standing(conn: Connection, ledger: int) -> Standing:
    [found] = conn.cursor(row_factory=class_row(Standing)).execute(STANDING, [ledger]).fetchall()
    return found


def runs(
    conn: Connection, ledger: int, id_: int | None = None, *, account: str | None = None, limit: int | None = None
) -> list[Row]:
    """Runs with what they found, the newest first: of the ledger, of one account against its bank, or of that id."""
    parameters = {"ledger": ledger, "id": id_, "account": account, "limit": limit}
    return conn.cursor(row_factory=dict_row).execute(RUNS, parameters).fetchall()


def matches(conn: Connection, ledger: int, run_id: int) -> list[Row]:
    """What a run matched, each with its lines and its entries; also what was taken apart since."""
    return conn.cursor(row_factory=dict_row).execute(MATCHES, [ledger, run_id]).fetchall()
