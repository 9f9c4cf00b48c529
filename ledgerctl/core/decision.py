"""May money move? The one place that decides it, without a database and without a clock.

`decide` takes requests in order and everything known about them, and returns one outcome a request. A request sees
the effects of those before it in the same batch. Guards are flat and stand in their order of precedence, which is
the order of `Reason`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from ledgerctl.core import money
from ledgerctl.core.model import (
    Account,
    Earlier,
    Entry,
    Kind,
    Leg,
    Original,
    Outcome,
    Posted,
    Refused,
    Replayed,
    Request,
    Side,
    Standing,
    Stands,
    Status,
)


class Reason(StrEnum):
    """Why not, in order of precedence; each value is the code of an error class."""

    TOO_FEW_LEGS = "TOO_FEW_LEGS"
    SAME_ACCOUNT = "SAME_ACCOUNT"
    DUPLICATE_KEY = "DUPLICATE_KEY"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    REVERSAL_OF_REVERSAL = "REVERSAL_OF_REVERSAL"
    ALREADY_REVERSED = "ALREADY_REVERSED"
    PARTIAL_REVERSAL = "PARTIAL_REVERSAL"
    ACCOUNT_NOT_FOUND = "ACCOUNT_NOT_FOUND"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    TOO_MANY_DECIMALS = "TOO_MANY_DECIMALS"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    UNBALANCED = "UNBALANCED"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    BALANCE_LIMIT = "BALANCE_LIMIT"
    REJECTED_BEFORE = "REJECTED_BEFORE"


# Looked up once: an enum's member costs as much to reach as a whole comparison.
_TRANSFER, _DEBIT, _CREDIT, _ACTIVE = Kind.TRANSFER, Side.DEBIT, Side.CREDIT, Status.ACTIVE.value


class Facts(NamedTuple):
    """What is known under the locks. Accounts and standings are by code; `now` is the database's clock."""

    accounts: Mapping[str, Account]
    standings: Mapping[str, Stands]
    known: Mapping[str, Earlier]
    originals: Mapping[UUID, Original]
    now: datetime
    decided_rows: int = 0
    """Up to which row of this file an earlier import, `decided_by`, has decided: what it left out stays out."""
    decided_by: int = 0


class Decision(NamedTuple):
    """One outcome a request, in order; where the accounts that were touched stand afterwards; the keys used up."""

    outcomes: list[Outcome]
    standings: dict[str, Stands]
    known: dict[str, Earlier]

    def posted(self) -> list[Posted]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Posted)]


class _Ahead(NamedTuple):
    """What the requests decided so far have changed."""

    standings: dict[str, Stands]
    known: dict[str, Earlier]
    reversed_by: dict[UUID, UUID]


def decide(requests: Iterable[Request], facts: Facts) -> Decision:
    """Every request judged on the facts and on what those before it changed. Pure: the facts stay as they are."""
    ahead = _Ahead({}, {}, {})
    outcomes: list[Outcome] = []
    for request in requests:
        outcome = _ordinary(request, facts, ahead) or _judge(request, facts, ahead)
        if isinstance(outcome, Posted):
            _fold(outcome, ahead)
        outcomes.append(outcome)
    return Decision(outcomes, ahead.standings, ahead.known)


def _fold(posted: Posted, ahead: _Ahead) -> None:
    request, _, entries = posted
    for entry in entries:
        ahead.standings[entry.account.code] = entry
    ahead.known[request.key] = request
    if request.reverses is not None:
        ahead.reversed_by[request.reverses] = request.id


def _ordinary(request: Request, facts: Facts, ahead: _Ahead) -> Posted | None:
    """A transfer that no guard can have anything against, or None for one that `_judge` must look at.

    Most rows of a file are of this kind, and asking all at once takes a third of the time. It only ever says yes: what
    it lets pass the guards let pass too (tests/core/test_decision_properties.py), and they alone say no, and why.
    """
    key, legs = request.key, request.legs
    if request.kind is not _TRANSFER or len(legs) != 2 or key in ahead.known or key in facts.known:
        return None
    (source, debited, amount, currency), (target, credited, other_amount, other_currency) = legs
    debit, credit = facts.accounts.get(source), facts.accounts.get(target)
    if (
        debit is None
        or credit is None
        or debit is credit
        or debited is not _DEBIT
        or credited is not _CREDIT
        or amount is not other_amount
        or debit.currency != credit.currency
        or (currency is not None and currency != debit.currency)
        or other_currency != currency
        or debit.status != _ACTIVE
        or credit.status != _ACTIVE
        or request.reverses is not None
        or (facts.decided_rows and (request.import_row or 0) <= facts.decided_rows)
        or not money.fits(amount, debit.exponent)
    ):
        return None
    units = money.minor(amount, debit.exponent)
    before = ahead.standings.get(source) or facts.standings[source]
    other_before = ahead.standings.get(target) or facts.standings[target]
    balance, other_balance = before.balance - units, other_before.balance + units
    if not (debit.lowest <= balance <= debit.highest and credit.lowest <= other_balance <= credit.highest):
        return None
    entry = Entry(debit, before.seq + 1, -units, balance)
    return Posted(request, facts.now, (entry, Entry(credit, other_before.seq + 1, units, other_balance)))


def _judge(request: Request, facts: Facts, ahead: _Ahead) -> Outcome:
    if len(request.legs) < 2:
        return Refused(request, Reason.TOO_FEW_LEGS, {})
    if (account := _on_both_sides(request.legs)) is not None:
        return Refused(request, Reason.SAME_ACCOUNT, {"account": account})

    # The key before anything that changes with time: a replay stays a replay after a freeze.
    earlier = ahead.known.get(request.key) or facts.known.get(request.key)
    if earlier is not None:
        return _repeated(request, earlier)

    if request.reverses is not None:
        refusal = _reversal_refusal(request, facts.originals[request.reverses], ahead)
        if refusal is not None:
            return refusal

    default = _common_currency(request, facts)
    for leg in request.legs:
        refusal = _account_refusal(request, leg, facts.accounts.get(leg.account), leg.currency or default)
        if refusal is not None:
            return refusal

    entries = _entries(request.legs, facts, ahead)
    for currency, exponent, difference in _sums(entries):
        if difference:
            return Refused(
                request,
                Reason.UNBALANCED,
                {"currency": currency, "difference": money.text(abs(difference), exponent)},
            )
    for entry in entries:
        refusal = _limit_refusal(request, entry)
        if refusal is not None:
            return refusal
    if request.import_row is not None and request.import_row <= facts.decided_rows:
        return Refused(request, Reason.REJECTED_BEFORE, {"import_id": facts.decided_by})

    return Posted(request, facts.now, entries)  # past the guards nothing refuses


def _on_both_sides(legs: tuple[Leg, ...]) -> str | None:
    debited = {leg.account for leg in legs if leg.side == Side.DEBIT}
    return next((leg.account for leg in legs if leg.side == Side.CREDIT and leg.account in debited), None)


def _repeated(request: Request, earlier: Earlier) -> Outcome:
    if request.import_id is not None and earlier.import_id == request.import_id:
        return Refused(request, Reason.DUPLICATE_KEY, {"key": request.key}, earlier)
    if earlier.fingerprint == request.fingerprint:
        return Replayed(request, earlier)
    details = {"key": request.key, "transaction_id": str(earlier.id), "fields": "payload"}
    return Refused(request, Reason.IDEMPOTENCY_CONFLICT, details, earlier)


def _reversal_refusal(request: Request, original: Original, ahead: _Ahead) -> Refused | None:
    about = {"transaction_id": str(original.id)}
    if original.kind == Kind.REVERSAL:
        return Refused(request, Reason.REVERSAL_OF_REVERSAL, about)
    reversed_by = original.reversed_by or ahead.reversed_by.get(original.id)
    if reversed_by is not None:
        return Refused(request, Reason.ALREADY_REVERSED, {**about, "reversed_by": str(reversed_by)})

    amount, whole, currency = request.legs[0].amount, original.legs[0].amount, original.legs[0].currency
    if [leg.amount for leg in request.legs] == [leg.amount for leg in original.legs]:
        return None
    about["amount"] = format(amount, "f")
    if len(original.legs) != 2:
        return Refused(request, Reason.PARTIAL_REVERSAL, {**about, "problem": "it has more than two entries"})
    if amount > whole:
        problem = f"it moved only {whole:f} {currency}"
        return Refused(request, Reason.PARTIAL_REVERSAL, {**about, "problem": problem})
    return None


def _common_currency(request: Request, facts: Facts) -> str | None:
    """A transfer that names no currency is in that of the account it debits; the other must agree."""
    if request.kind != Kind.TRANSFER:
        return None
    source = facts.accounts.get(request.legs[0].account)
    return source.currency if source is not None else None


def _account_refusal(request: Request, leg: Leg, account: Account | None, currency: str | None) -> Refused | None:
    if account is None:
        return Refused(request, Reason.ACCOUNT_NOT_FOUND, {"account": leg.account})
    if currency is not None and currency != account.currency:
        about: dict[str, Any] = {"account": leg.account, "expected": account.currency, "currency": currency}
        return Refused(request, Reason.CURRENCY_MISMATCH, about)
    if not money.fits(leg.amount, account.exponent):
        about = {"amount": format(leg.amount, "f"), "currency": account.currency, "exponent": account.exponent}
        return Refused(request, Reason.TOO_MANY_DECIMALS, about)
    if account.status == Status.CLOSED:
        return Refused(request, Reason.ACCOUNT_CLOSED, {"account": leg.account})
    if account.status == Status.FROZEN:
        return Refused(request, Reason.ACCOUNT_FROZEN, {"account": leg.account})
    return None


def _entries(legs: tuple[Leg, ...], facts: Facts, ahead: _Ahead) -> tuple[Entry, ...]:
    moving: dict[str, Standing] = {}
    entries = []
    for leg in legs:
        account = facts.accounts[leg.account]
        units = money.minor(leg.amount, account.exponent)
        amount = units if leg.side == Side.CREDIT else -units
        before = moving.get(leg.account) or ahead.standings.get(leg.account) or facts.standings[leg.account]
        after = moving[leg.account] = Standing(before.balance + amount, before.seq + 1)
        entries.append(Entry(account, after.seq, amount, after.balance))
    return tuple(entries)


def _sums(entries: tuple[Entry, ...]) -> list[tuple[str, int, int]]:
    """The sum of each currency: its code, its exponent, its minor units."""
    sums: dict[str, tuple[int, int]] = {}
    for entry in entries:
        exponent, total = sums.get(entry.account.currency, (entry.account.exponent, 0))
        sums[entry.account.currency] = (exponent, total + entry.amount)
    return [(currency, exponent, total) for currency, (exponent, total) in sums.items()]


def _limit_refusal(request: Request, entry: Entry) -> Refused | None:
    account = entry.account
    if abs(entry.balance) >= 10 ** (30 + account.exponent):
        about = {"account": account.code, "limit": format(money.LIMIT, "f")}
        return Refused(request, Reason.AMOUNT_TOO_LARGE, about)

    balance = account.normal * entry.balance
    before = balance - account.normal * entry.amount
    if account.min_balance is not None and balance < account.min_balance:
        available = money.text(before - account.min_balance, account.exponent)
        needed = money.text(abs(entry.amount), account.exponent)
        about = {"account": account.code, "available": available, "needed": needed, "currency": account.currency}
        return Refused(request, Reason.INSUFFICIENT_FUNDS, about)
    if account.max_balance is not None and balance > account.max_balance:
        limit = money.text(account.max_balance, account.exponent)
        about = {
            "account": account.code,
            "limit": limit,
            "balance": money.text(balance, account.exponent),
            "currency": account.currency,
        }
        return Refused(request, Reason.BALANCE_LIMIT, about)
    return None
