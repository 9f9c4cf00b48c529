"""Reconcile an account with its bank: what the statements say, line by line, against what the books say.

All in one snapshot and one transaction: what is new in a file is kept, lines and entries that go together are matched,
and what is left open is told. The same file again changes nothing; entries that came since may match older lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from ledgerctl import errors
from ledgerctl.core import likeness, matching, money
from ledgerctl.core.findings import Finding
from ledgerctl.core.matching import Item, Match, Terms
from ledgerctl.db import audit, bank_matches, bank_reports, bank_statements, reconciliations
from ledgerctl.db.bank_matches import OpenEntry, OpenLine
from ledgerctl.db.bank_reports import Standing
from ledgerctl.db.bank_statements import Account
from ledgerctl.db.connection import Connection
from ledgerctl.db.reconciliations import Run
from ledgerctl.services.bank_statements import Delivery, TakenIn, take_in
from ledgerctl.services.books import Books

WINDOW_DAYS = 5
"""So many days the bank may be earlier or later than the books: a weekend between, and two days of processing."""
FINDINGS_MAX = 1000
"""Of one kind are kept; the counts are of all."""

_NOT_ASKED = Standing(0, 0, 0.0, None)


class Totals(NamedTuple):
    """What the bank says and what the books say, with the bank's sign; `bank` is None where it gave no balance.

    `unexplained` is what is left of their difference when everything open is taken into account.
    """

    bank: Decimal | None
    books: Decimal
    open_lines: Decimal
    open_entries: Decimal

    @property
    def unexplained(self) -> Decimal | None:
        return None if self.bank is None else self.bank - self.books - self.open_lines + self.open_entries


@dataclass(frozen=True, slots=True)
class Compared:
    """One run: what was new, what was matched by which rule, what is open now, and what of that is a finding."""

    id: int
    account: Account
    taken: TakenIn
    checked: Mapping[str, int]
    matched: Mapping[str, int]
    totals: Totals
    open_lines: Sequence[OpenLine]
    open_entries: Sequence[OpenEntry]
    tells_until: date
    findings: list[Finding]
    found: int
    """How many findings there are in all; no more than FINDINGS_MAX of a kind are listed."""
    every_account: Standing = _NOT_ASKED
    """Of all accounts that have a bank, for monitoring: once the run is recorded."""

    @property
    def status(self) -> str:
        return "differences" if self.findings else "clean"

    @property
    def oldest(self) -> date | None:
        """The day of what has been open for longest."""
        days = [line.booked_on for line in self.open_lines] + [entry.dated_on for entry in self.open_entries]
        return min(days, default=None)


def run(books: Books, code: str, delivery: Delivery | None = None, window: int = WINDOW_DAYS) -> Compared:
    """Take in a file of statements, or none, and compare. Findings are a result, not an error.

    AccountNotFound, NeverReconciled without a first file, BadStatement, WrongBankAccount, AlreadyRunning: then nothing
    has changed.
    """
    with localcontext(money.EXACT):  # sums of balances may have more digits than Python's own context keeps
        return books.database.transact_in_snapshot(_run, books, code, delivery, window)


def _run(conn: Connection, books: Books, code: str, delivery: Delivery | None, window: int) -> Compared:
    account = require_account(conn, books, code)
    started_at = reconciliations.begin(conn, reconciliations.of_account(account.id), f"account '{code}'")
    run_id = reconciliations.new_id(conn)
    taken = TakenIn()
    if delivery is not None:
        taken = take_in(conn, books.ledger, account, delivery, window, run_id)
    tells_until = bank_statements.tells_until(conn, books.ledger, account.id)
    if tells_until is None:
        raise errors.NeverReconciled(account=code)

    lines = bank_matches.open_lines(conn, books.ledger, account.id)
    entries = bank_matches.open_entries(conn, books.ledger, account.id)
    terms = Terms(
        window,
        tells_until,
        bank_matches.taken_apart(conn, books.ledger, account.id),
        bank_matches.unmade(conn, books.ledger, account.id),
    )
    matches = _match(account, lines, entries, terms)
    bank_matches.insert(conn, books.ledger, account.id, matches, books.actor, run_id)

    result = _compared(conn, books, account, run_id, taken, (lines, entries), matches, terms)
    detail = detail_of(result)
    ended = Run(run_id, "statement", started_at, result.checked, result.findings, account.id, detail)
    reconciliations.record(conn, books.ledger, books.actor, ended)
    _log(conn, books, result, delivery)
    # Asked before the commit: after it, a database that goes away would make a failure of a run that was recorded.
    return replace(result, every_account=bank_reports.standing(conn, books.ledger))


def require_account(conn: Connection, books: Books, code: str) -> Account:
    account = bank_statements.account(conn, books.ledger, code)
    if account is None:
        raise errors.AccountNotFound(account=code)
    return account


def _match(account: Account, lines: Sequence[OpenLine], entries: Sequence[OpenEntry], terms: Terms) -> list[Match]:
    return matching.match(
        (item_of_line(line, account.exponent) for line in lines),
        (item_of_entry(entry, account.exponent) for entry in entries),
        terms,
    )


def item_of_line(line: OpenLine, exponent: int) -> Item:
    """A line as the rules of `core/matching.py` see it."""
    text = f"{line.counterparty} {line.description}"
    return Item(
        line.id,
        line.booked_on,
        money.minor(line.amount, exponent),
        money.minor(line.fee, exponent),
        likeness.references(line.payment_references),
        likeness.mentions(text),
        likeness.words(f"{text} {' '.join(line.payment_references)}"),
    )


def item_of_entry(entry: OpenEntry, exponent: int) -> Item:
    """An entry as they see it."""
    named = [entry.reference or "", entry.idempotency_key, str(entry.transaction_id)]
    text = entry.description or ""
    return Item(
        entry.seq,
        entry.dated_on,
        money.minor(entry.amount, exponent),
        references=likeness.references(named),
        mentions=likeness.mentions(text),
        words=likeness.words(f"{text} {entry.reference or ''} {' '.join(entry.counterparties)}"),
        reverses=entry.reverses,
    )


def _compared(
    conn: Connection,
    books: Books,
    account: Account,
    run_id: int,
    taken: TakenIn,
    looked_at: tuple[Sequence[OpenLine], Sequence[OpenEntry]],
    matches: Sequence[Match],
    terms: Terms,
) -> Compared:
    gone_lines = {line for one in matches for line in one.lines}
    gone_entries = {seq for one in matches for seq in one.entries}
    lines = [line for line in looked_at[0] if line.id not in gone_lines]
    entries = [entry for entry in looked_at[1] if entry.seq not in gone_entries]
    standing = bank_statements.standing(conn, books.ledger, account.id)
    totals = Totals(
        None if standing is None else standing.balance,
        -account.balance,
        sum((line.amount for line in lines), Decimal(0)),
        sum((entry.amount for entry in entries), Decimal(0)),
    )
    late = [entry for entry in entries if (terms.seen_until - entry.dated_on).days > terms.window]
    return Compared(
        run_id,
        account,
        taken,
        {"statements": taken.statements, "lines": len(looked_at[0]), "entries": len(looked_at[1])},
        dict(sorted(Counter(str(one.rule) for one in matches).items())),
        totals,
        lines,
        entries,
        terms.seen_until,
        _findings(account, lines, late, totals, terms),
        len(lines) + len(late) + bool(totals.unexplained),
    )


def _findings(
    account: Account, lines: Sequence[OpenLine], late: Sequence[OpenEntry], totals: Totals, terms: Terms
) -> list[Finding]:
    """Lines that the books do not have; entries that the bank should have shown by now; what neither explains."""
    found = [
        Finding("bank-line", f"line {line.id} {line.booked_on} {_words(line)}", account.text(line.amount), "no entry")
        for line in lines[:FINDINGS_MAX]
    ]
    found += [
        Finding(
            "book-entry",
            f"account {account.code} seq {entry.seq} transaction {entry.transaction_id} {entry.dated_on}",
            account.text(entry.amount),
            f"no line by {terms.seen_until}",
        )
        for entry in late[:FINDINGS_MAX]
    ]
    if totals.bank is not None and totals.unexplained:
        explained = totals.bank - totals.unexplained
        found.append(Finding("balance", f"account {account.code}", account.text(totals.bank), account.text(explained)))
    return found


def _words(line: OpenLine) -> str:
    texts = (*line.payment_references[:1], line.counterparty, line.description)
    return " ".join(text for text in texts if text)[:120].strip()


def detail_of(compared: Compared) -> dict[str, Any]:
    """What is kept of a run beside its findings: amounts as texts, days as ISO 8601 writes them."""
    exponent = compared.account.exponent
    totals = {**compared.totals._asdict(), "unexplained": compared.totals.unexplained}
    return {
        "currency": compared.account.currency,
        "taken_in": compared.taken._asdict(),
        "matched": dict(compared.matched),
        "totals": {name: None if one is None else money.fixed(one, exponent) for name, one in totals.items()},
        "found": compared.found,
        "open": {"lines": len(compared.open_lines), "entries": len(compared.open_entries)},
        "oldest_open_on": None if compared.oldest is None else str(compared.oldest),
        "tells_until": str(compared.tells_until),
        "open_items": _open_items(compared)[:FINDINGS_MAX],
    }


def _open_items(compared: Compared) -> list[dict[str, Any]]:
    """Lines by id and entries by seq, what has been open for longest first."""
    exponent = compared.account.exponent
    items = [("line", one.id, one.booked_on, one.amount, _words(one)) for one in compared.open_lines]
    items += [
        ("entry", one.seq, one.dated_on, one.amount, one.description or " ".join(one.counterparties))
        for one in compared.open_entries
    ]
    return [
        {"kind": kind, "id": str(id_), "on": str(on), "amount": money.fixed(amount, exponent), "text": text}
        for kind, id_, on, amount, text in sorted(items, key=lambda item: (item[2], item[0], item[1]))
    ]


def _log(conn: Connection, books: Books, result: Compared, delivery: Delivery | None) -> None:
    counts = {"run": result.id, "findings": result.found, "matched": sum(result.matched.values())}
    detail: dict[str, object] = {**counts, **result.taken._asdict()}
    if delivery is not None and delivery.accept is not None:
        detail["accepted"] = delivery.accept
    line = audit.Line("reconcile account", result.account.code, result.status, detail)
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
