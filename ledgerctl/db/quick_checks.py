"""Questions about the books that are cheap however long they are: the catalogue, the accounts, entries by key only.

What they find is wrong for sure; that they find nothing does not replace a reconciliation.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from psycopg.rows import class_row

from ledgerctl.db.connection import Connection

HAS_REVISION = "SELECT to_regclass('alembic_version') IS NOT NULL"
REVISION = "SELECT version_num FROM alembic_version"

ROLE = """
    SELECT r.rolsuper AS superuser, pg_has_role(c.relowner, 'USAGE') AS owner
    FROM pg_roles r, pg_class c
    WHERE r.rolname = current_user AND c.oid = 'transactions'::regclass
"""
WRITTEN = (
    "accounts", "imports", "transactions", "transaction_entries", "reconciliations", "reconciliation_checkpoints",
    "reconciliation_digests", "bank_accounts", "bank_statements", "bank_lines", "bank_matches", "bank_match_lines",
    "bank_match_entries", "cache_epochs", "audit_logs",
)  # fmt: skip
# All that ledger_app may do, but for what creates ledgers and currencies.
LACKING = """
    SELECT 'SELECT ON ' || name AS lacking
    FROM unnest(ARRAY['ledgers', 'currencies', 'account_balances', 'account_history', 'transaction_list',
                      'live_epochs'] || %(written)s::text[]) AS name
    WHERE NOT has_table_privilege(name, 'SELECT')
    UNION ALL
    SELECT 'INSERT ON ' || name
    FROM unnest(%(written)s::text[]) AS name
    WHERE NOT has_table_privilege(name, 'INSERT')
    UNION ALL
    SELECT 'USAGE ON SEQUENCE reconciliations_id_seq'
    WHERE NOT has_sequence_privilege('reconciliations_id_seq', 'USAGE')
    UNION ALL
    SELECT 'UPDATE (' || name || ') ON ' || relation
    FROM (SELECT 'accounts', unnest(ARRAY['status', 'balance', 'seq', 'last_posted_at'])
          UNION ALL
          SELECT 'imports', unnest(ARRAY['status', 'rows', 'decided', 'posted', 'replayed', 'rejected', 'totals',
                                         'rejects_file', 'finished_at', 'reversed_at'])
          UNION ALL
          SELECT 'reconciliation_checkpoints', unnest(ARRAY['seq', 'balance', 'verified_at'])
          UNION ALL
          SELECT 'reconciliation_digests', unnest(ARRAY['rows', 'total', 'weighted'])
          UNION ALL
          SELECT 'bank_matches', 'undone_at'
          UNION ALL
          SELECT unnest(ARRAY['bank_match_lines', 'bank_match_entries']), 'undone'
          UNION ALL
          SELECT 'cache_epochs', unnest(ARRAY['id', 'state', 'instance', 'secret', 'server_started_at', 'written_by',
                                              'file', 'changed_at', 'reason'])) AS columns(relation, name)
    WHERE NOT has_column_privilege(relation, name, 'UPDATE')
"""

_APPEND_ONLY = ("transactions", "transaction_entries", "audit_logs", "reconciliations", "bank_statements", "bank_lines")
_KEPT = (
    "ledgers", "accounts", "imports", "bank_accounts", "bank_matches", "bank_match_lines", "bank_match_entries",
)  # fmt: skip
TRIGGERS = {
    "transaction_entries_check": ("transaction_entries", "check_entries"),
    "transactions_check": ("transactions", "check_transactions"),
    "accounts_check_insert": ("accounts", "check_standings"),
    "accounts_check_update": ("accounts", "check_standings"),
    "accounts_keep_identity": ("accounts", "refuse_change"),
    **{f"{table}_append_only": (table, "refuse_change") for table in _APPEND_ONLY},
    **{f"{table}_keep": (table, "refuse_change") for table in _KEPT},
    **{f"{table}_no_truncate": (table, "refuse_change") for table in (*_APPEND_ONLY, *_KEPT)},
}
"""What `sql/triggers.sql` makes: on which table, and what it runs. A test holds it to that."""
UNGUARDED = """
    SELECT wanted.name AS trigger, wanted.relation, t.tgenabled::text AS enabled, p.proname = wanted.runs AS runs
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted(name, relation, runs)
    LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(wanted.relation) AND t.tgname = wanted.name
    LEFT JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgenabled IS DISTINCT FROM 'A' OR p.proname <> wanted.runs
    ORDER BY wanted.name
"""
CONSTRAINTS = (
    "accounts_balance_finite", "accounts_closed_at_zero", "accounts_currency", "accounts_limits_finite",
    "accounts_max_balance", "accounts_min_balance", "accounts_seq", "accounts_status", "accounts_type",
    "currencies_exponent_range", "transaction_entries_amount", "transaction_entries_balance",
    "transaction_entries_seq", "transactions_fingerprint", "transactions_key_given", "transactions_kind",
    "transactions_reversal_link", "transactions_reverses",
)  # fmt: skip
UNIQUE = (
    "accounts_code", "accounts_pkey", "audit_logs_pkey", "bank_accounts_pkey", "bank_lines_pkey",
    "bank_match_entries_once", "bank_match_entries_pkey", "bank_match_lines_once", "bank_match_lines_pkey",
    "bank_matches_pkey", "bank_statements_once", "bank_statements_pkey", "cache_epochs_pkey", "currencies_exponent",
    "currencies_pkey", "imports_pkey", "ledgers_name", "ledgers_pkey", "transaction_entries_pkey",
    "transactions_idempotency_key", "transactions_pkey", "transactions_reversed_once",
)  # fmt: skip
"""Without which a balance, a key or a link could be what it must not. A test holds both to the schema."""
MISSING = """
    WITH ours AS (SELECT relnamespace AS schema FROM pg_class WHERE oid = 'transactions'::regclass)
    SELECT 'constraint ' || wanted.name
    FROM unnest(%s::text[]) AS wanted(name)
    WHERE NOT EXISTS (SELECT FROM pg_constraint c, ours
                      WHERE c.conname = wanted.name AND c.connamespace = ours.schema AND c.convalidated)
    UNION ALL
    SELECT 'index ' || wanted.name
    FROM unnest(%s::text[]) AS wanted(name)
    WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid, ours
                      WHERE c.relname = wanted.name AND c.relnamespace = ours.schema AND i.indisunique AND i.indisvalid)
"""
OTHER_FUNCTIONS = """
    SELECT wanted.name
    FROM unnest(%s::text[], %s::text[]) AS wanted(name, body)
    LEFT JOIN pg_proc p ON p.oid = to_regprocedure(wanted.name || '()')
    WHERE p.prosrc IS DISTINCT FROM wanted.body
    ORDER BY wanted.name
"""
_FUNCTION = re.compile(r"FUNCTION (\w+)\(\) RETURNS trigger\n.*?AS \$\$(.*?)\$\$;", re.DOTALL)

FUTURE = """
    SELECT count(*) AS accounts, max(last_posted_at) AS latest
    FROM accounts
    WHERE ledger_id = (SELECT id FROM ledgers WHERE name = %s) AND last_posted_at > clock_timestamp()
"""
# Two entries an account are looked up by key, and not by reading the table, even if the planner takes it for empty.
BY_KEY = "SELECT set_config('enable_seqscan', 'off', true)"
STANDINGS = """
    WITH sample AS (
        (SELECT ledger_id, id, code, balance, seq FROM accounts
         WHERE ledger_id = (SELECT id FROM ledgers WHERE name = %(ledger)s)
         ORDER BY last_posted_at DESC NULLS LAST LIMIT %(accounts)s)
        UNION
        (SELECT ledger_id, id, code, balance, seq FROM accounts
         WHERE ledger_id = (SELECT id FROM ledgers WHERE name = %(ledger)s)
         ORDER BY random() LIMIT %(accounts)s)
    )
    SELECT count(*) AS accounts, coalesce(array_agg(s.code ORDER BY s.code) FILTER (WHERE s.wrong), '{}') AS wrong
    FROM (SELECT a.code,
                 CASE WHEN a.seq = 0 THEN a.balance <> 0
                      ELSE (SELECT e.balance_after FROM transaction_entries e
                            WHERE e.ledger_id = a.ledger_id AND e.account_id = a.id AND e.seq = a.seq)
                           IS DISTINCT FROM a.balance END
                 OR (SELECT e.seq FROM transaction_entries e
                     WHERE e.ledger_id = a.ledger_id AND e.account_id = a.id AND e.seq = a.seq + 1) IS NOT NULL AS wrong
          FROM sample a) s
"""
TOTALS = """
    SELECT currency, sum(balance)::text AS total
    FROM accounts
    WHERE ledger_id = (SELECT id FROM ledgers WHERE name = %s)
    GROUP BY currency
    HAVING sum(balance) <> 0
    ORDER BY currency
"""
# Where there was no run yet, the age is that of the ledger.
LAST_RUN = """
    SELECT r.status, jsonb_array_length(r.findings) AS findings,
           extract(epoch FROM clock_timestamp() - coalesce(r.finished_at, l.created_at))::float AS seconds
    FROM ledgers l
    LEFT JOIN LATERAL (
        SELECT * FROM reconciliations WHERE ledger_id = l.id AND account_id IS NULL ORDER BY id DESC LIMIT 1
    ) r ON true
    WHERE l.name = %s
"""
# Of imports `i`: the same file may have been imported again since, to its end.
IS_OPEN = """
    i.finished_at IS NULL AND NOT EXISTS (
        SELECT FROM imports later WHERE later.ledger_id = i.ledger_id AND later.sha256 = i.sha256 AND later.id > i.id)
"""
UNFINISHED = f"""
    SELECT i.id, i.file, i.decided
    FROM imports i
    WHERE i.ledger_id = (SELECT id FROM ledgers WHERE name = %s) AND {IS_OPEN}
    ORDER BY i.id
"""  # noqa: S608 - of our own words only
IMPORTING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, 'ledgerctl import ')
"""
BALANCE_EPOCH = """
    SELECT state, instance, changed_at, reason,
           extract(epoch FROM clock_timestamp() - changed_at)::float AS seconds
    FROM live_epochs
    WHERE ledger_id = (SELECT id FROM ledgers WHERE name = %s) AND purpose = 'balances'
"""


class Role(NamedTuple):
    superuser: bool
    owner: bool
    """Whether it owns the tables, or is a member of the role that does."""


class Unguarded(NamedTuple):
    """A trigger that is not as it was made; `enabled` is None when there is none, `A` when it always runs."""

    trigger: str
    relation: str
    enabled: str | None
    runs: bool | None


class Future(NamedTuple):
    accounts: int
    latest: datetime | None


class Standings(NamedTuple):
    """How many accounts were looked at, and which of them do not stand where their last entry says."""

    accounts: int
    wrong: list[str]


class LastRun(NamedTuple):
    """`status` is None when there was none; `seconds` since then, or since the ledger was created."""

    status: str | None
    findings: int | None
    seconds: float


class Unfinished(NamedTuple):
    id: int
    file: str
    decided: int


class BalanceEpoch(NamedTuple):
    """Whether balances may be read from Redis: `instance` is the run_id of the one, `reason` why not any more."""

    state: str
    instance: str
    changed_at: datetime
    reason: str | None
    seconds: float
    """Since `changed_at`."""


def revision(conn: Connection) -> str | None:
    """The schema's; None when the database has none."""
    [[there]] = conn.execute(HAS_REVISION).fetchall()
    row = conn.execute(REVISION).fetchone() if there else None
    return row[0] if row else None


def role(conn: Connection) -> Role:
    [found] = conn.cursor(row_factory=class_row(Role)).execute(ROLE).fetchall()
    return found


def lacking(conn: Connection) -> list[str]:
    """The privileges for posting, importing and reconciling that the role has not: `INSERT ON transactions`."""
    return [privilege for (privilege,) in conn.execute(LACKING, {"written": list(WRITTEN)}).fetchall()]


def unguarded(conn: Connection) -> list[Unguarded]:
    """Triggers that are missing, switched off or run something else."""
    tables, functions = zip(*TRIGGERS.values(), strict=True)
    asked = [list(TRIGGERS), list(tables), list(functions)]
    return conn.cursor(row_factory=class_row(Unguarded)).execute(UNGUARDED, asked).fetchall()


def missing(conn: Connection) -> list[str]:
    """Constraints and unique indexes that are not there: `constraint accounts_seq`, `index accounts_code`."""
    return [name for (name,) in conn.execute(MISSING, [list(CONSTRAINTS), list(UNIQUE)]).fetchall()]


def other_functions(conn: Connection) -> list[str]:
    """Functions of the triggers whose text is not that of this program."""
    names, bodies = zip(*_functions(), strict=True)
    return [name for (name,) in conn.execute(OTHER_FUNCTIONS, [list(names), list(bodies)]).fetchall()]


def _functions() -> list[tuple[str, str]]:
    """Of the triggers: name and body as `sql/functions.sql` has them."""
    return _FUNCTION.findall((Path(__file__).parent / "sql" / "functions.sql").read_text(encoding="utf-8"))


def future(conn: Connection, ledger: str) -> Future:
    """Accounts that were posted to later than now."""
    [found] = conn.cursor(row_factory=class_row(Future)).execute(FUTURE, [ledger]).fetchall()
    return found


def standings(conn: Connection, ledger: str, accounts: int) -> Standings:
    """Of so many accounts posted to last, and as many others."""
    conn.execute(BY_KEY)
    asked = {"ledger": ledger, "accounts": accounts}
    [found] = conn.cursor(row_factory=class_row(Standings)).execute(STANDINGS, asked).fetchall()
    return found


def totals(conn: Connection, ledger: str) -> list[tuple[str, str]]:
    """The currencies in which the balances do not sum to zero, and to what they do."""
    return [(currency, total) for currency, total in conn.execute(TOTALS, [ledger]).fetchall()]


def last_run(conn: Connection, ledger: str) -> LastRun:
    """Of `reconcile`."""
    [found] = conn.cursor(row_factory=class_row(LastRun)).execute(LAST_RUN, [ledger]).fetchall()
    return found


def unfinished(conn: Connection, ledger: str) -> list[Unfinished]:
    """Imports whose receipt was never closed, and whose file was not imported again since."""
    return conn.cursor(row_factory=class_row(Unfinished)).execute(UNFINISHED, [ledger]).fetchall()


def importing(conn: Connection) -> int:
    """How many imports are at work, whichever their ledger."""
    [[count]] = conn.execute(IMPORTING).fetchall()
    return int(count)


def balance_epoch(conn: Connection, ledger: str) -> BalanceEpoch | None:
    """As it is in force; None where no balances were ever kept in Redis."""
    return conn.cursor(row_factory=class_row(BalanceEpoch)).execute(BALANCE_EPOCH, [ledger]).fetchone()
