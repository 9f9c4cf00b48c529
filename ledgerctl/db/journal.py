"""The gate of the posting path: lock the accounts, look up the keys, and write what was decided.

The only place that locks accounts for posting. Rows are locked in the order of their id, in SQL, in one statement;
everything else is read by later statements, which see what the lock waited for.

Every statement here finds its rows by the one key that it asks for, whatever the planner believes of the tables
(ADR 3): `ledger_id + 0` is `ledger_id`, out of reach of the primary key, and OFFSET 0 keeps a look-up what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow

from ledgerctl.core import money
from ledgerctl.core.decision import Facts
from ledgerctl.core.model import Account, Known, Leg, Original, Posted, Request, Side, Standing, Stands
from ledgerctl.db import constraints
from ledgerctl.db.connection import Connection
from ledgerctl.db.epochs import Epoch, Writer
from ledgerctl.db.pipeline import Executor
from ledgerctl.tracing import span, spanned

# No filter on what can change: a frozen account must be seen, not dropped. Nothing is joined: a row lock refreshes
# the locked row only.
LOCK = """
    SELECT id, code, type, currency, exponent, status, min_balance, max_balance, balance, seq, last_posted_at
    FROM accounts
    WHERE ledger_id + 0 = %s AND code = ANY(%s)
    ORDER BY id
    FOR NO KEY UPDATE
"""
# Asked under the locks, when this transaction has its number: see `epochs.WAIT`.
CLOCK = """
    SELECT clock_timestamp(), pg_current_xact_id()::text, e.id, e.state, e.instance, e.secret
    FROM (VALUES (%s)) AS asked (ledger_id)
    LEFT JOIN live_epochs e ON e.ledger_id = asked.ledger_id AND e.purpose = 'balances'
"""
# One text for all keys: a list of thousands takes as long to send as to look up. No key holds a control character.
KEYS = """
    SELECT idempotency_key AS key, id, fingerprint, import_id, import_row
    FROM transactions
    WHERE ledger_id + 0 = %s AND idempotency_key = ANY(string_to_array(%s, chr(31)))
"""
ORIGINALS = """
    SELECT t.id, t.kind, r.id AS reversed_by, a.code, a.currency, e.amount
    FROM unnest(%(ids)s::uuid[]) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM transactions WHERE ledger_id = %(ledger)s AND id = wanted.id OFFSET 0
    ) t
    CROSS JOIN LATERAL (
        SELECT * FROM transaction_entries WHERE ledger_id + 0 = %(ledger)s AND transaction_id = t.id OFFSET 0
    ) e
    CROSS JOIN LATERAL (
        SELECT * FROM accounts WHERE ledger_id = %(ledger)s AND id = e.account_id OFFSET 0
    ) a
    LEFT JOIN LATERAL (
        SELECT id FROM transactions WHERE ledger_id + 0 = %(ledger)s AND reverses = t.id OFFSET 0
    ) r ON true
    ORDER BY t.id, e.amount, a.code, e.seq
"""
# Sorted by key: two batches that insert the same keys then meet in the same order, and neither deadlocks.
INSERT_TRANSACTIONS = """
    INSERT INTO transactions (ledger_id, id, posted_at, import_id, import_row, effective_at, reverses, fingerprint,
                              kind, idempotency_key, description, reference, metadata)
    SELECT %s, t.id, %s, t.import_id, t.import_row, t.effective_at, t.reverses, t.fingerprint,
           t.kind, t.key, t.description, t.reference, t.metadata
    FROM unnest(%s::uuid[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
                %s::jsonb[], %s::uuid[], %s::bigint[], %s::integer[])
         AS t(id, key, fingerprint, kind, description, reference, effective_at,
              metadata, reverses, import_id, import_row)
    ORDER BY t.key
"""
INSERT_ENTRIES = """
    INSERT INTO transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after)
    SELECT %s, e.* FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[], %s::numeric[], %s::numeric[]) AS e
"""
# The rows are locked and their standing was read under the lock, so every one is there, and where it is; a trigger
# compares each with its last entry. Joined by their key, all accounts would be read where there were few at first.
UPDATE_ACCOUNTS = """
    UPDATE accounts a
    SET balance = u.balance, seq = u.seq, last_posted_at = %s
    FROM unnest(%s::bigint[], %s::numeric[], %s::bigint[]) AS u(id, balance, seq)
    CROSS JOIN LATERAL (SELECT ctid FROM accounts WHERE ledger_id = %s AND id = u.id OFFSET 0) AS locked
    WHERE a.ctid = locked.ctid
"""
COPY_TRANSACTIONS = """
    COPY transactions (ledger_id, id, posted_at, import_id, import_row, effective_at, reverses, fingerprint,
                       kind, idempotency_key, description, reference) FROM STDIN
"""
COPY_ENTRIES = """
    COPY transaction_entries (ledger_id, account_id, seq, transaction_id, amount, balance_after) FROM STDIN
"""


class Held(NamedTuple):
    """The accounts, locked until the transaction ends, where they stand, and a time no earlier than their last."""

    accounts: dict[str, Account]
    standings: dict[str, Standing]
    now: datetime
    writer: Writer


class Gathered(NamedTuple):
    """What the decision needs, and which transaction it is that asks."""

    facts: Facts
    writer: Writer


def gather(conn: Executor, ledger: int, requests: Sequence[Request]) -> Gathered:
    """All that the decision needs. Of a pipeline, all of it is asked for before the first answer is waited for."""
    codes = sorted({leg.account for request in requests for leg in request.legs})
    reverses = list({request.reverses for request in requests if request.reverses is not None})

    locked = conn.execute(LOCK, [ledger, codes])
    clock = conn.execute(CLOCK, [ledger])
    used = conn.execute(KEYS, [ledger, _joined([request.key for request in requests])])
    originals = conn.execute(ORIGINALS, {"ledger": ledger, "ids": reverses}) if reverses else None

    with span("lock wait"):
        answer = locked.fetchall()
    held = _held(answer, clock.fetchall())
    known = _known(used.fetchall())
    wanted = _originals(originals.fetchall()) if originals else {}
    return Gathered(Facts(held.accounts, held.standings, known, wanted, held.now), held.writer)


def lock(conn: Executor, ledger: int, codes: Iterable[str]) -> Held:
    """Lock every account that a file names, once, before its first row."""
    with span("lock wait"):
        locked = conn.execute(LOCK, [ledger, list(codes)]).fetchall()
    return _held(locked, conn.execute(CLOCK, [ledger]).fetchall())


def known(conn: Executor, ledger: int, keys: Sequence[str]) -> dict[str, Known]:
    """Which of the keys are used. Asked under the account locks."""
    return _known(conn.execute(KEYS, [ledger, _joined(keys)]).fetchall())


def originals(conn: Executor, ledger: int, ids: Sequence[UUID]) -> dict[UUID, Original]:
    """Transactions to be reversed. Their legs never change; whether they are reversed is sure only under the locks."""
    return _originals(conn.execute(ORIGINALS, {"ledger": ledger, "ids": list(ids)}).fetchall())


@spanned("write")
def write(conn: Executor, ledger: int, posted: Sequence[Posted], standings: Mapping[str, Stands]) -> None:
    """Insert a handful of transactions and move their accounts, and wait for no answer of a pipeline."""
    if not posted:
        return
    ids, keys, prints, kinds, _, descriptions, references, effective_at, metadata, *rest = _columns(
        [outcome.request for outcome in posted]
    )
    texts = [None if pairs is None else json.dumps(pairs) for pairs in metadata]
    columns = [ids, keys, prints, kinds, descriptions, references, effective_at, texts, *rest]
    conn.execute(INSERT_TRANSACTIONS, [ledger, posted[0].posted_at, *columns])
    entries = [
        (account.id, seq, request.id, f"{amount}e-{account.exponent}", f"{balance}e-{account.exponent}")
        for request, _, moved in posted
        for account, seq, amount, balance in moved
    ]
    entries.sort()  # as the primary key has them, so that its pages are found in a cache
    conn.execute(INSERT_ENTRIES, [ledger, *_columns(entries)])
    accounts = {account.code: account for _, _, moved in posted for account, _, _, _ in moved}
    move(conn, ledger, accounts, standings, posted[0].posted_at)


def move(
    conn: Executor,
    ledger: int,
    accounts: Mapping[str, Account],
    standings: Mapping[str, Stands],
    posted_at: datetime,
) -> None:
    """Set balance and seq of the accounts that `standings` names."""
    moved = [
        (accounts[code].id, f"{standing.balance}e-{accounts[code].exponent}", standing.seq)
        for code, standing in standings.items()
    ]
    conn.execute(UPDATE_ACCOUNTS, [posted_at, *_columns(sorted(moved)), ledger])


class Rows(NamedTuple):
    """Transactions and their entries as COPY reads them."""

    transactions: bytes
    entries: bytes


class Lines:
    """Transactions with their entries, line by line as COPY reads them. Amounts are minor units with an exponent."""

    def __init__(self, ledger: int) -> None:
        self._ledger = ledger
        self._transactions: list[str] = []
        self._entries: list[str] = []
        self._accounts: list[int] = []
        """Of each entry, its account."""

    def add(self, posted: Iterable[Posted]) -> None:
        ledger, transactions, entries, accounts = self._ledger, self._transactions, self._entries, self._accounts
        at, stamp = None, ""
        for request, posted_at, moved in posted:
            if posted_at is not at:  # one time for all rows of an import
                at, stamp = posted_at, posted_at.isoformat()
            new_id, key, mark, kind, _, description, reference, effective_at, _, reverses, import_id, row = request
            effective = _NULL if effective_at is None else effective_at.isoformat()
            place = f"{_NULL}\t{_NULL}" if import_id is None else f"{import_id}\t{row}"
            transaction = new_id.hex
            transactions.append(
                f"{ledger}\t{transaction}\t{stamp}\t{place}\t{effective}\t"
                f"{_NULL if reverses is None else reverses.hex}\t\\\\x{mark.hex()}\t{kind}\t"
                f"{_cell(key)}\t{_cell(description)}\t{_cell(reference)}\n"
            )
            for account, seq, amount, balance in moved:
                scale = account.exponent
                accounts.append(account.id)
                entries.append(f"{ledger}\t{account.id}\t{seq}\t{transaction}\t{amount}e-{scale}\t{balance}e-{scale}\n")

    def rows(self) -> Rows:
        """All of them. Entries by account, as their primary key has them: its pages are then found in a cache."""
        places = sorted(range(len(self._entries)), key=self._accounts.__getitem__)
        by_account = [self._entries[place] for place in places]
        return Rows("".join(self._transactions).encode(), "".join(by_account).encode())


def rows(ledger: int, posted: Iterable[Posted]) -> Rows:
    """As `Lines.rows`, of those who have them all at once."""
    lines = Lines(ledger)
    lines.add(posted)
    return lines.rows()


class KeyInUse(Exception):
    """A key that was taken for a new one is used already; nothing of the transaction can be kept."""


def require_unused(conn: Executor, ledger: int, keys: Sequence[str]) -> None:
    """KeyInUse when one of them is used."""
    if known(conn, ledger, keys):
        raise KeyInUse


def copy_new(conn: Connection, rows: Rows) -> None:
    """Like `copy`, of rows whose keys nobody has looked up. KeyInUse."""
    try:
        copy(conn, rows)
    except UniqueViolation as error:
        if error.diag.constraint_name == constraints.IDEMPOTENCY_KEY:
            raise KeyInUse from error
        raise


@spanned("write")
def copy(conn: Connection, rows: Rows) -> None:
    """Write the rows of an import, transactions before entries; the caller moves the accounts at the end."""
    if not rows.transactions:
        return
    with conn.cursor().copy(COPY_TRANSACTIONS) as transactions:
        transactions.write(rows.transactions)
    with conn.cursor().copy(COPY_ENTRIES) as entries:
        entries.write(rows.entries)


def _held(rows: Sequence[TupleRow], clock: Sequence[TupleRow]) -> Held:
    [[now, writer, *epoch]] = clock
    accounts, standings = {}, {}
    for row in rows:
        account, (balance, seq, last_posted_at) = _account(row[:-3]), row[-3:]
        accounts[account.code] = account
        standings[account.code] = Standing(money.minor(balance, account.exponent), seq)
        if last_posted_at is not None and last_posted_at > now:
            now = last_posted_at  # a server's clock may step back; an account's history may not
    return Held(accounts, standings, now, Writer(int(writer), Epoch(*epoch) if epoch[0] else None))


@lru_cache(maxsize=16_384)  # to make two of them takes nearly as long as to decide on a transfer between them
def _account(row: TupleRow) -> Account:
    account_id, code, type_, currency, exponent, status, min_balance, max_balance = row
    least = None if min_balance is None else money.minor(min_balance, exponent)
    most = None if max_balance is None else money.minor(max_balance, exponent)
    return Account(account_id, code, type_, currency, exponent, status, least, most)


def _known(rows: Sequence[TupleRow]) -> dict[str, Known]:
    return {row[0]: Known(*row) for row in rows}


def _originals(rows: Sequence[Any]) -> dict[UUID, Original]:
    found: dict[UUID, Original] = {}
    for transaction_id, kind, reversed_by, code, currency, amount in rows:
        leg = Leg(code, Side.CREDIT if amount > 0 else Side.DEBIT, abs(amount), currency)
        earlier = found.get(transaction_id)
        legs = (*earlier.legs, leg) if earlier is not None else (leg,)
        found[transaction_id] = Original(transaction_id, kind, legs, reversed_by)
    return found


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _joined(keys: Iterable[str]) -> str:
    return "\x1f".join(keys)


_NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def _cell(text: str | None) -> str:
    """Text as COPY reads it."""
    if text is None:
        return _NULL
    return text if "\\" not in text and text.isprintable() else text.translate(_ESCAPES)
