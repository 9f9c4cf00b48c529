"""What each way of refusing wrong entries costs: enforced foreign keys, the set-wise trigger, forms of that trigger.

Raw COPY of the same rows, in chunks of the importer's size, into twins that differ in their checks alone. Every form is
also tried on wrong books, and says how many kinds it refuses. `alone` is one transfer a COPY: what the trigger costs a
single transfer. The forms are written out here, so that the numbers in the documents can be measured again when the
shipped one has changed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg import sql

from ledgerctl.db import journal
from ledgerctl.db.connection import Connection
from ledgerctl.services import import_at_once
from tests.benchmarks import harness
from tests.benchmarks.harness import Raw, Rows, Server, say

ACCOUNTS = 10_000
CHUNK = import_at_once.CHUNK * import_at_once.BATCH
"""As the importer hands them to the server."""
ALONE = 2_000
"""So many transfers are copied one by one."""

FUNCTION = """
CREATE OR REPLACE FUNCTION check_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp {settings} AS $$
DECLARE
    bad record;
BEGIN
{questions}
    RETURN NULL;
END $$
"""
REFUSE = "RAISE EXCEPTION 'wrong books' USING ERRCODE = 'integrity_constraint_violation'"
IF_FOUND = f"IF FOUND THEN {REFUSE}; END IF;"

# The first form, in four questions.
FITS = """
    SELECT e.* INTO bad
    FROM new_entries e
    LEFT JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id
    WHERE a.id IS NULL OR scale(trim_scale(e.amount)) > a.exponent
    LIMIT 1;
"""
NEW = """
    SELECT n.* INTO bad
    FROM (SELECT DISTINCT ledger_id, transaction_id FROM new_entries) n
    LEFT JOIN transactions t ON t.ledger_id = n.ledger_id AND t.id = n.transaction_id
    WHERE t.xid8 IS DISTINCT FROM pg_current_xact_id()
    LIMIT 1;
"""
ZERO = """
    SELECT e.transaction_id, a.currency, sum(e.amount) AS difference INTO bad
    FROM new_entries e
    JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id
    GROUP BY e.ledger_id, e.transaction_id, a.currency
    HAVING sum(e.amount) <> 0
    LIMIT 1;
"""
_WINDOW = """
        SELECT e.ledger_id, e.account_id, e.seq, e.balance_after - e.amount AS before,
               lag(e.seq) OVER account AS previous_seq, lag(e.balance_after) OVER account AS previous_balance
        FROM new_entries e
        WINDOW account AS (PARTITION BY e.ledger_id, e.account_id ORDER BY e.seq)
"""
CHAIN_BY_JOIN = f"""
    SELECT c.* INTO bad
    FROM ({_WINDOW}) c
    LEFT JOIN transaction_entries p
           ON c.previous_seq IS NULL AND p.ledger_id = c.ledger_id AND p.account_id = c.account_id AND p.seq = c.seq - 1
    WHERE c.seq <> coalesce(c.previous_seq, p.seq, 0) + 1
       OR c.before <> coalesce(c.previous_balance, p.balance_after, 0)
    LIMIT 1;
    {IF_FOUND}
"""
# Its parts, otherwise. A predecessor fetched by a scalar subquery is one look into the primary key for each row that
# needs it; as an outer join it may become a merge over all the entries there are.
_FETCHED = """
    (SELECT p.balance_after FROM transaction_entries p
     WHERE p.ledger_id = {0}.ledger_id AND p.account_id = {0}.account_id AND p.seq = {0}.seq - 1)
"""
CHAIN_BY_WINDOW = f"""
    SELECT c.* INTO bad
    FROM ({_WINDOW}) c
    WHERE CASE WHEN c.previous_seq IS NOT NULL THEN c.seq <> c.previous_seq + 1 OR c.before <> c.previous_balance
               WHEN c.seq = 1 THEN c.before <> 0
               ELSE {_FETCHED.format("c")} IS DISTINCT FROM c.before END
    LIMIT 1;
    {IF_FOUND}
"""
CHAIN_BY_KEY = f"""
    SELECT e.* INTO bad
    FROM new_entries e
    WHERE CASE WHEN e.seq = 1 THEN e.balance_after <> e.amount
               ELSE {_FETCHED.format("e")} IS DISTINCT FROM e.balance_after - e.amount END
    LIMIT 1;
    {IF_FOUND}
"""
# One join with the accounts also says whether there is more than one currency; only then is it asked again.
FITS_AND_CURRENCIES = f"""
    SELECT bool_or(a.id IS NULL
                   OR (scale(e.amount) > a.exponent AND scale(trim_scale(e.amount)) > a.exponent)) AS unfit,
           min(a.currency) <> max(a.currency) AS mixed
    INTO bad
    FROM new_entries e
    LEFT JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id;
    IF bad.unfit THEN {REFUSE}; END IF;
    IF bad.mixed THEN {ZERO} {IF_FOUND} END IF;
"""
NEW_AND_ZERO = """
    SELECT n.* INTO bad
    FROM (SELECT ledger_id, transaction_id, sum(amount) AS difference
          FROM new_entries GROUP BY ledger_id, transaction_id) n
    WHERE n.difference <> 0
       OR (SELECT t.xid8 FROM transactions t WHERE t.ledger_id = n.ledger_id AND t.id = n.transaction_id)
          IS DISTINCT FROM pg_current_xact_id()
    LIMIT 1;
"""
NEVER_WHOLE = "SET enable_seqscan = off SET enable_mergejoin = off"

FOUR = [FITS + IF_FOUND, NEW + IF_FOUND, ZERO + IF_FOUND]
TWO = [FITS_AND_CURRENCIES, NEW_AND_ZERO + IF_FOUND]


def _function(*questions: str, settings: str = "") -> str:
    return FUNCTION.format(questions="\n".join(questions), settings=settings)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to check: which foreign keys of the entries are enforced, and the trigger function, if any."""

    name: str
    enforced: bool = False
    function: str | None = ""
    """Empty for the shipped one, None for no trigger."""


FORMS = [
    Form("no checks", function=None),
    Form("foreign keys, no trigger", enforced=True, function=None),
    Form("foreign keys and trigger", enforced=True),
    Form("trigger as shipped"),
    Form("trigger that asks nothing", function=_function()),
    Form("four questions, chain by outer join", function=_function(*FOUR, CHAIN_BY_JOIN)),
    Form("four questions, chain by window", function=_function(*FOUR, CHAIN_BY_WINDOW)),
    Form("two questions, without the chain", function=_function(*TWO)),
    Form("two questions, chain by window", function=_function(*TWO, CHAIN_BY_WINDOW)),
    Form("two, chain by key, never whole tables", function=_function(*TWO, CHAIN_BY_KEY, settings=NEVER_WHOLE)),
    Form("two, chain by window, never whole tables", function=_function(*TWO, CHAIN_BY_WINDOW, settings=NEVER_WHOLE)),
]


def main() -> None:
    asked = harness.options(__doc__.splitlines()[0] if __doc__ else "", rows=100_000, rounds=3)
    with harness.server() as host:
        harness.prepare(host, "base", ACCOUNTS)
        file = host.directory / "transfers.csv"
        harness.write_csv(file, asked.rows, ACCOUNTS)
        host.fresh("twin", "base")
        harness.run_import(host, "twin", file)
        rows = harness.rows_of(host, "twin")

        loads: dict[str, list[Raw]] = {form.name: [] for form in FORMS}
        alone: dict[str, list[float]] = {form.name: [] for form in FORMS}

        def load(form: Form) -> Callable[[], float]:
            def measured() -> float:
                alone[form.name].append(_alone(host, form, rows))
                _make(host, form)
                loads[form.name].append(harness.run_copy(host, "twin", rows, CHUNK))
                return loads[form.name][-1].total

            return measured

        harness.alternate(asked.rounds, {form.name: load(form) for form in FORMS})

        header = ["checks", "transfers/s", "min-max", "of unchecked", "entries us/transfer", "alone us", "refused"]
        table = []
        for form in FORMS:
            rates = [asked.rows / raw.total for raw in loads[form.name]]
            unchecked = statistics.median(asked.rows / raw.total for raw in loads["no checks"])
            entries = statistics.median(raw.entries for raw in loads[form.name]) / asked.rows * 1e6
            refused = _refused(host, form)
            cells = [f"{statistics.median(rates) / unchecked:.2f}", f"{entries:.1f}"]
            cells += [f"{statistics.median(alone[form.name]) * 1e6:.0f}", f"{len(refused)} of {len(WRONG)}"]
            table.append([form.name, *harness.spread(rates), *cells])
        harness.table(header, table)
        say("")
        say("refused: " + "; ".join(WRONG))
        harness.conditions(host, rows=asked.rows, accounts=ACCOUNTS, chunk=CHUNK, alone=ALONE, rounds=asked.rounds)


def _make(host: Server, form: Form) -> None:
    host.fresh("twin", "base")
    with host.connect("twin") as conn:
        if form.function is None and not form.enforced:
            harness.drop_checks(conn)
        elif form.function is None:
            conn.execute("DROP TRIGGER transaction_entries_check ON transaction_entries")
        elif form.function:
            conn.execute(form.function)
        for name in ("transaction_entries_account", "transaction_entries_parent"):
            if form.enforced:
                alter = sql.SQL("ALTER TABLE transaction_entries ALTER CONSTRAINT {} ENFORCED")
                conn.execute(alter.format(sql.Identifier(name)))
    host.checkpoint()


def _alone(host: Server, form: Form, rows: Rows) -> float:
    """Seconds that the entries of one transfer take, on a connection that serves one transfer after another."""
    _make(host, form)
    some = Rows(rows.transactions[:ALONE], rows.entries[: 2 * ALONE], rows.standings, rows.posted_at)
    with host.connect("twin") as conn:
        harness.receipt(conn)
        conn.execute("BEGIN")
        spent = sum(
            harness.copied(conn, journal.COPY_ENTRIES, entries)
            for transactions, entries in some.chunks(1)
            if harness.copied(conn, journal.COPY_TRANSACTIONS, transactions)
        )
        conn.execute("ROLLBACK")
    return spent / ALONE


# -- wrong books -----------------------------------------------------------------------------------------------------

TRANSACTION = """
    INSERT INTO transactions (ledger_id, id, posted_at, fingerprint, kind, idempotency_key)
    VALUES (1, %s, clock_timestamp(), decode(repeat('00', 32), 'hex'), 'transfer', %s)
"""
EURO = """
    INSERT INTO accounts (ledger_id, code, type, currency, exponent) VALUES (1, 'euro', 'liability', 'EUR', 2)
    RETURNING id
"""
ENTRIES = """
    INSERT INTO transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after)
    SELECT 1, account, seq, %s, amount, balance
    FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::numeric[]) AS e(account, seq, amount, balance)
"""
Lines = list[tuple[int, int, str, str]]
"""Account, seq, amount, balance after it."""
WRONG: dict[str, tuple[Lines, str]] = {
    "an account that is not there": ([(1, 1, "-5", "-5"), (999_999_999, 1, "5", "5")], "new"),
    "a transaction that is not there": ([(1, 1, "-5", "-5"), (2, 1, "5", "5")], "none"),
    "legs of an earlier transaction": ([(1, 1, "-5", "-5"), (2, 1, "5", "5")], "old"),
    "off balance": ([(1, 1, "-5", "-5"), (2, 1, "6", "6")], "new"),
    "zero over two currencies": ([(1, 1, "-5", "-5"), (0, 1, "5", "5")], "new"),
    "too many decimals": ([(1, 1, "-5.001", "-5.001"), (2, 1, "5.001", "5.001")], "new"),
    "a gap at the start": ([(1, 2, "-5", "-5"), (2, 1, "5", "5")], "new"),
    "a gap inside": ([(1, 1, "-5", "-5"), (1, 3, "-5", "-10"), (2, 1, "10", "10")], "new"),
    "a wrong first balance": ([(1, 1, "-5", "-6"), (2, 1, "5", "5")], "new"),
    "a wrong balance inside": ([(1, 1, "-5", "-5"), (1, 2, "-5", "-11"), (2, 1, "10", "10")], "new"),
    "a wrong balance against what is there": ([(3, 2, "-5", "-6"), (4, 2, "5", "12")], "new"),
}
"""Lines, and whether their transaction is new, from an earlier one, or none. Account 0 stands for one in euro."""
RIGHT: Lines = [(3, 1, "-7", "-7"), (4, 1, "7", "7")]


def _refused(host: Server, form: Form) -> list[str]:
    """Which wrong entries are refused, after right ones were not."""
    _make(host, form)
    old, new = uuid4(), uuid4()
    refused = []
    with host.connect("twin") as conn:
        [[euro]] = conn.execute(EURO).fetchall()
        with conn.transaction():
            conn.execute(TRANSACTION, [old, "old"])
            _insert(conn, old, RIGHT, euro)
        for wrong, (lines, transaction) in WRONG.items():
            try:
                with conn.transaction(force_rollback=True):
                    if transaction == "new":
                        conn.execute(TRANSACTION, [new, "new"])
                    _insert(conn, old if transaction == "old" else new, lines, euro)
            except psycopg.IntegrityError:
                refused.append(wrong)
    return refused


def _insert(conn: Connection, transaction: object, lines: Lines, euro: int) -> None:
    accounts, seqs, amounts, balances = zip(*lines, strict=True)
    places = [account or euro for account in accounts]
    conn.execute(ENTRIES, [transaction, places, list(seqs), list(amounts), list(balances)])


if __name__ == "__main__":
    main()
