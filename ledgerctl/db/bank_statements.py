"""Statements of banks as they were read, and how far each account has been told of. Amounts are the bank's.

A statement is known again by its content, whatever its file is called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg.rows import class_row

from ledgerctl.core import money
from ledgerctl.core.statements import Statement, StatementLine
from ledgerctl.db.connection import Connection

ACCOUNT = "SELECT id, code, currency, exponent, balance, seq FROM accounts WHERE ledger_id = %s AND code = %s"
BANK_ACCOUNT = "SELECT bank_account, begins_on FROM bank_accounts WHERE ledger_id = %s AND account_id = %s"
# The entries, by day and seq, that come to the opening balance: those before its day if they do, else as many as do.
COVERED = """
    WITH dated AS (
        SELECT d.day, e.seq, e.amount
        FROM transaction_entries e
        JOIN transactions t ON t.ledger_id = e.ledger_id AND t.id = e.transaction_id
        CROSS JOIN LATERAL (SELECT (coalesce(t.effective_at, t.posted_at) AT TIME ZONE 'UTC')::date AS day) d
        WHERE e.ledger_id = %(ledger)s AND e.account_id = %(account)s AND d.day <= %(on)s
        UNION ALL
        SELECT '0001-01-01', 0, 0
    ), standings AS (
        SELECT day, seq, -sum(amount) OVER by_day AS balance,
               day < %(on)s AND coalesce(lead(day) OVER by_day, %(on)s) >= %(on)s AS is_of_the_eve
        FROM dated
        WINDOW by_day AS (ORDER BY day, seq)
    )
    SELECT day, seq FROM standings WHERE balance = %(opening)s ORDER BY is_of_the_eve DESC, day DESC, seq DESC LIMIT 1
"""
BEGIN_ACCOUNT = """
    INSERT INTO bank_accounts (ledger_id, account_id, bank_account, covered_seq, covered_on, covered_on_seq,
                               begins_on)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
KNOWN = """
    SELECT sha256 FROM bank_statements WHERE ledger_id = %s AND account_id = %s AND sha256 = ANY(%s)
"""
# The last balance that the bank gave, and what statements without one have told of since.
STANDING = """
    SELECT s.closing + coalesce(later.total, 0) AS balance, s.identifier
    FROM bank_statements s
    CROSS JOIN LATERAL (SELECT sum(l.amount) AS total
                        FROM bank_statements t
                        JOIN bank_lines l ON l.ledger_id = t.ledger_id AND l.account_id = t.account_id
                                             AND l.statement_id = t.id
                        WHERE t.ledger_id = s.ledger_id AND t.account_id = s.account_id AND t.id > s.id
                          AND t.closing IS NULL) later
    WHERE s.ledger_id = %(ledger)s AND s.account_id = %(account)s AND s.closing IS NOT NULL
    ORDER BY s.closing_on DESC, s.id DESC
    LIMIT 1
"""
TELLS_UNTIL = "SELECT max(tells_until) FROM bank_statements WHERE ledger_id = %s AND account_id = %s"
LINES_SINCE = """
    SELECT booked_on, valued_on, amount, fee, payment_references, counterparty, description
    FROM bank_lines
    WHERE ledger_id = %s AND account_id = %s AND booked_on >= %s
"""
INSERT = """
    INSERT INTO bank_statements (ledger_id, account_id, identifier, file, sha256, opening, opening_on, closing,
                                 closing_on, tells_until, lines, accepted, reconciliation_id)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING id
"""
COPY_LINES = """
    COPY bank_lines (ledger_id, account_id, statement_id, booked_on, valued_on, amount, fee, payment_references,
                     counterparty, description)
    FROM STDIN
"""


class Account(NamedTuple):
    """The books' account. Its balance is the books', positive for a credit."""

    id: int
    code: str
    currency: str
    exponent: int
    balance: Decimal
    seq: int

    def text(self, amount: Decimal) -> str:
        """An amount of this account, for people."""
        return f"{money.fixed(amount, self.exponent)} {self.currency}"


class BankAccount(NamedTuple):
    """The bank's name for an account, and the first day that it has told of."""

    bank_account: str
    begins_on: date


class Covered(NamedTuple):
    """The last entry, by day and seq, that an opening balance holds."""

    day: date
    seq: int


class Standing(NamedTuple):
    """Where the bank says that the account stands, and after which statement."""

    balance: Decimal
    identifier: str


class Kept(NamedTuple):
    """A statement with its new lines, the file and the run that brought it, and why it was taken as it is."""

    statement: Statement
    digest: bytes
    lines: Sequence[StatementLine]
    file: str
    accepted: str | None
    run_id: int


class Told(NamedTuple):
    """A line as it is told from others: two of the same content are two payments only if the bank shows both."""

    booked_on: date
    valued_on: date | None
    amount: Decimal
    fee: Decimal
    references: tuple[str, ...]
    counterparty: str
    description: str


def told(line: StatementLine) -> Told:
    return Told(
        line.booked_on, line.valued_on, line.amount, line.fee, line.references, line.counterparty, line.description
    )


def account(conn: Connection, ledger: int, code: str) -> Account | None:
    return conn.cursor(row_factory=class_row(Account)).execute(ACCOUNT, [ledger, code]).fetchone()


def bank_account(conn: Connection, ledger: int, account_id: int) -> BankAccount | None:
    """None for an account that has never been reconciled with its bank."""
    return conn.cursor(row_factory=class_row(BankAccount)).execute(BANK_ACCOUNT, [ledger, account_id]).fetchone()


def covered(conn: Connection, ledger: int, account_id: int, opening: Decimal, on: date) -> Covered | None:
    """The last entry that is in an opening balance of that day; None where no entries come to it."""
    parameters = {"ledger": ledger, "account": account_id, "opening": opening, "on": on}
    return conn.cursor(row_factory=class_row(Covered)).execute(COVERED, parameters).fetchone()


def begin_account(conn: Connection, ledger: int, account: Account, begun: BankAccount, covered: Covered) -> None:
    """Its reconciliation begins: of the entries that there are, those up to the covered one are not compared."""
    conn.execute(BEGIN_ACCOUNT, [ledger, account.id, begun.bank_account, account.seq, *covered, begun.begins_on])


def known(conn: Connection, ledger: int, account_id: int, digests: Sequence[bytes]) -> Collection[bytes]:
    """Those of the statements that were read before."""
    return {bytes(one) for (one,) in conn.execute(KNOWN, [ledger, account_id, list(digests)]).fetchall()}


def standing(conn: Connection, ledger: int, account_id: int) -> Standing | None:
    """None as long as the bank has given no balance."""
    cursor = conn.cursor(row_factory=class_row(Standing))
    return cursor.execute(STANDING, {"ledger": ledger, "account": account_id}).fetchone()


def tells_until(conn: Connection, ledger: int, account_id: int) -> date | None:
    """The last day that the bank has told of."""
    [[day]] = conn.execute(TELLS_UNTIL, [ledger, account_id]).fetchall()
    found: date | None = day
    return found


def lines_since(conn: Connection, ledger: int, account_id: int, day: date) -> list[Told]:
    rows = conn.execute(LINES_SINCE, [ledger, account_id, day]).fetchall()
    return [
        Told(booked_on, valued_on, amount, fee, tuple(references), counterparty, description)
        for booked_on, valued_on, amount, fee, references, counterparty, description in rows
    ]


def digest(statement: Statement) -> bytes:
    """SHA-256 of what the statement says, but for where it stands in its file."""
    whole = sha256()
    for said in (
        (statement.identifier, statement.account, statement.currency),
        *((_amount(one.amount), one.on) if one else () for one in (statement.opening, statement.closing)),
        *(_said(told(line)) for line in statement.lines),
    ):
        whole.update("\x1f".join(map(str, said)).encode() + b"\x1e")
    return whole.digest()


def _said(line: Told) -> tuple[object, ...]:
    return (*line[:2], _amount(line.amount), _amount(line.fee), *line.references, *line[-2:])


def _amount(amount: Decimal) -> str:
    return money.canonical(amount)


def insert(conn: Connection, ledger: int, account_id: int, kept: Kept) -> None:
    """Keep a statement with those of its lines that are new."""
    opening, closing = kept.statement.opening, kept.statement.closing
    columns = [
        *(ledger, account_id, kept.statement.identifier, kept.file, kept.digest),
        *((None, None) if opening is None else (opening.amount, opening.on)),
        *((None, None) if closing is None else (closing.amount, closing.on)),
        *(kept.statement.tells_until, len(kept.lines), kept.accepted, kept.run_id),
    ]
    [[statement_id]] = conn.execute(INSERT, columns).fetchall()
    with conn.cursor().copy(COPY_LINES) as copy:
        for row in _rows(ledger, account_id, int(statement_id), kept.lines):
            copy.write_row(row)


def _rows(ledger: int, account_id: int, statement_id: int, lines: Iterable[StatementLine]) -> Iterable[tuple[Any, ...]]:
    for line in lines:
        booked_on, valued_on, amount, fee, references, counterparty, description = told(line)
        yield (
            *(ledger, account_id, statement_id, booked_on, valued_on, amount, fee),
            *(list(references), counterparty, description),
        )
