"""What is in the books, by plain SQL, and what clients were told, from histories. Nothing here knows ledgerctl."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psycopg

from tests.faults import history
from tests.faults.history import Call

ACCOUNTS = """
    SELECT l.name, a.code, a.currency, a.exponent, a.status, a.balance, a.seq
    FROM accounts a JOIN ledgers l ON l.id = a.ledger_id
"""
TRANSACTIONS = """
    SELECT l.name, t.id::text, t.idempotency_key, t.kind, t.reference, t.reverses::text, t.posted_at, t.xid8::text
    FROM transactions t JOIN ledgers l ON l.id = t.ledger_id
"""
ENTRIES = """
    SELECT l.name, a.code, e.seq, e.transaction_id::text, e.amount, e.balance_after
    FROM transaction_entries e
    JOIN ledgers l ON l.id = e.ledger_id
    LEFT JOIN accounts a ON a.ledger_id = e.ledger_id AND a.id = e.account_id
    ORDER BY 1, 2, 3
"""
AUDIT = """
    SELECT l.name, u.action, u.subject, u.outcome, u.at, u.xid8::text, u.request_id, u.trace_id
    FROM audit_logs u JOIN ledgers l ON l.id = u.ledger_id
    ORDER BY u.at
"""

T = TypeVar("T")
Named = tuple[str, str]
"""A ledger, and an account code or a transaction id in it."""


class Account(NamedTuple):
    ledger: str
    code: str
    currency: str
    exponent: int
    status: str
    balance: Decimal
    seq: int


class Transaction(NamedTuple):
    ledger: str
    id: str
    key: str
    kind: str
    reference: str | None
    reverses: str | None
    posted_at: datetime
    writer: str


class Entry(NamedTuple):
    """Amounts as stored: positive for a credit."""

    ledger: str
    account: str
    seq: int
    transaction: str
    amount: Decimal
    balance: Decimal


class Audited(NamedTuple):
    ledger: str
    action: str
    subject: str
    outcome: str
    at: datetime
    writer: str
    request_id: str
    trace_id: str | None


class Attempt(NamedTuple):
    """One request in one call. `result` is posted, replayed, refused, fail, or unknown."""

    call: Call
    part: int
    ledger: str
    key: str
    intent: str
    id: str | None
    """Of the transaction that it would make. Where only the process knew it: of the one that the audit log says it
    made, or None."""
    kind: str
    legs: tuple[tuple[str, Decimal], ...]
    said: tuple[str, ...]
    """The amounts in the client's own words."""
    reverses: str | None
    result: str
    told: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.call.client} step {self.call.asked['step']}: {self.ledger} '{self.key}'"


@dataclass(frozen=True)
class Books:
    accounts: dict[Named, Account]
    transactions: dict[Named, Transaction]
    entries: list[Entry]
    audit: list[Audited]

    @cached_property
    def by_account(self) -> dict[Named, list[Entry]]:
        return _grouped(self.entries, lambda entry: (entry.ledger, entry.account))

    @cached_property
    def by_transaction(self) -> dict[Named, list[Entry]]:
        return _grouped(self.entries, lambda entry: (entry.ledger, entry.transaction))

    @cached_property
    def by_key(self) -> dict[Named, list[Transaction]]:
        return _grouped(self.transactions.values(), lambda one: (one.ledger, one.key))

    @cached_property
    def made_by(self) -> dict[tuple[str, str, str], str]:
        """By ledger, the mark of a call in the audit log, and key: the transaction that this call made."""
        made = [(line, self.transactions.get((line.ledger, line.subject))) for line in self.audit]
        return {
            (line.ledger, mark, one.key): one.id
            for line, one in made
            for mark in (line.request_id, line.trace_id)
            if one is not None and line.outcome == "posted" and mark is not None
        }

    def of(self, ledger: str) -> Books:
        """What is in one ledger."""
        return Books(
            {name: one for name, one in self.accounts.items() if name[0] == ledger},
            {name: one for name, one in self.transactions.items() if name[0] == ledger},
            [one for one in self.entries if one.ledger == ledger],
            [one for one in self.audit if one.ledger == ledger],
        )

    @cached_property
    def reversed_by(self) -> dict[Named, list[Transaction]]:
        reversals = [one for one in self.transactions.values() if one.reverses is not None]
        return _grouped(reversals, lambda one: (one.ledger, str(one.reverses)))


def _grouped(rows: Iterable[T], name: Callable[[T], Named]) -> dict[Named, list[T]]:
    found: dict[Named, list[T]] = defaultdict(list)
    for row in rows:
        found[name(row)].append(row)
    return dict(found)


def books(conninfo: str) -> Books:
    with psycopg.connect(conninfo) as conn:
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        accounts = [Account(*row) for row in conn.execute(ACCOUNTS)]
        transactions = [Transaction(*row) for row in conn.execute(TRANSACTIONS)]
        entries = [Entry(*row) for row in conn.execute(ENTRIES)]
        audit = [Audited(*row) for row in conn.execute(AUDIT)]
    return Books(
        {(account.ledger, account.code): account for account in accounts},
        {(transaction.ledger, transaction.id): transaction for transaction in transactions},
        entries,
        audit,
    )


@dataclass(frozen=True)
class Histories:
    """`made_by` is what the books know of it; empty before they are read."""

    calls: list[Call]
    made_by: Mapping[tuple[str, str, str], str] = field(default_factory=dict)

    @cached_property
    def attempts(self) -> list[Attempt]:
        asking = [call for call in self.calls if call.function in ("post", "command", "http")]
        return [attempt for call in asking for attempt in _attempts(call, self.made_by)]

    def named(self, *functions: str) -> list[Call]:
        return [call for call in self.calls if call.function in functions]

    @cached_property
    def settled(self) -> dict[tuple[str, int, int], str | None]:
        """By client, op and part of an unknown attempt: the transaction that it made, or None for none ever."""
        return {
            (call.asked["client"], call.asked["of"], call.asked["part"]): call.told["found"]
            for call in self.named("settle")
            if call.how == "ok"
        }


def histories(directory: Path, found: Books | None = None) -> Histories:
    return Histories(history.calls(directory), {} if found is None else found.made_by)


def _attempts(call: Call, made_by: Mapping[tuple[str, str, str], str]) -> list[Attempt]:
    asked = call.asked["sends"]
    ids = _ids(call, made_by)
    without = [{"is": "fail" if call.how == "fail" else "unknown"}] * len(asked)
    results = call.told["results"] if call.how == "ok" else without
    return [
        Attempt(
            call,
            part,
            send["ledger"],
            send["idempotency_key"],
            send["reference"],
            ids[part],
            send["kind"],
            tuple(_leg(entry) for entry in send["entries"]),
            tuple(send["said"]),
            send["reverses"],
            result["is"],
            result,
        )
        for part, (send, result) in enumerate(zip(asked, results, strict=True))
    ]


def _ids(call: Call, made_by: Mapping[tuple[str, str, str], str]) -> list[str | None]:
    """Of one key that stands twice in a call, the one that was told so made it: the first may have been refused."""
    asked = call.asked["sends"]
    if not call.mark:
        return [send["transaction_id"] for send in asked]
    keys = [send["idempotency_key"] for send in asked]
    posted = [part for part, result in enumerate(call.told.get("results", ())) if result["is"] == "posted"]
    makers = {key: next((part for part in posted if keys[part] == key), keys.index(key)) for key in keys}
    return [
        made_by.get((send["ledger"], call.mark, key)) if makers[key] == part else None
        for part, (send, key) in enumerate(zip(asked, keys, strict=True))
    ]


def _leg(entry: dict[str, str]) -> tuple[str, Decimal]:
    return entry["account"], Decimal(entry["credit"]) if "credit" in entry else -Decimal(entry["debit"])


class Windows:
    """For a time: how far an account surely was, and how far it can have been at most, by its seq."""

    def __init__(self, found: Books, told: Histories) -> None:
        acked: dict[Named, list[tuple[int, int]]] = defaultdict(list)
        begun: dict[Named, list[tuple[int, int]]] = defaultdict(list)
        for attempt in told.attempts:
            told_of = attempt.told.get("id") if attempt.result in ("posted", "replayed") else None
            for entry in found.by_transaction.get((attempt.ledger, told_of or ""), ()):
                if attempt.call.ended is not None:
                    acked[entry.ledger, entry.account].append((attempt.call.ended, entry.seq))
            for entry in found.by_transaction.get((attempt.ledger, attempt.id or ""), ()):
                begun[entry.ledger, entry.account].append((attempt.call.invoked, entry.seq))
        for call in told.named("read", "balance"):
            for code, (_, seq) in call.told.get("balances", {}).items():
                if call.ended is not None:
                    acked[call.asked["ledger"], code].append((call.ended, seq))
        self._last = {name: entries[-1].seq for name, entries in found.by_account.items()}
        self._acked = {name: _running(sorted(ends), max) for name, ends in acked.items()}
        self._begun = {name: _running(sorted(starts, reverse=True), min) for name, starts in begun.items()}

    def least(self, name: Named, at: int) -> int:
        """What was acknowledged before."""
        times, seqs = self._acked.get(name, ([], []))
        place = bisect_left(times, at)
        return seqs[place - 1] if place else 0

    def most(self, name: Named, at: int) -> int:
        """Less than what was asked for only later."""
        times, seqs = self._begun.get(name, ([], []))
        place = bisect_right(times, -at - 1)
        return seqs[place - 1] - 1 if place else self._last.get(name, 0)


def _running(pairs: list[tuple[int, int]], choose: Any) -> tuple[list[int], list[int]]:
    """The times, rising (the negative of falling ones), and the largest or smallest seq up to each."""
    sign = 1 if choose is max else -1
    times: list[int] = []
    seqs: list[int] = []
    for time, seq in pairs:
        times.append(sign * time)
        seqs.append(choose(seqs[-1], seq) if seqs else seq)
    return times, seqs
