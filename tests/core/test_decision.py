"""May money move, and why not: one table in the order of `Reason`, then what the table cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ledgerctl import errors
from ledgerctl.core import requesting
from ledgerctl.core.decision import Decision, Facts, Reason, decide
from ledgerctl.core.model import Account, Kind, Known, Leg, Original, Posted, Refused, Replayed, Request, Side, Standing
from ledgerctl.core.repeats import Replays

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DEBIT, CREDIT = Side.DEBIT, Side.CREDIT


def account(number: int, code: str, type_: str = "liability", currency: str = "EUR", **other: Any) -> Account:
    limits = {"min_balance": 0 if type_ in ("asset", "liability") else None, "max_balance": None}
    exponent = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "UYW": 4}[currency]
    fields = {"exponent": exponent, "status": "active", **limits, **other}
    return Account(id=number, code=code, type=type_, currency=currency, **fields)


ACCOUNTS = {
    one.code: one
    for one in (
        account(1, "alice"),
        account(2, "bob"),
        account(3, "bank", "asset"),
        account(4, "opening", "equity"),
        account(5, "dollars", currency="USD"),
        account(6, "yen", currency="JPY"),
        account(7, "dinars", currency="KWD"),
        account(8, "frozen", status="frozen"),
        account(9, "closed", status="closed"),
        account(10, "small", max_balance=500),
        account(11, "more dollars", currency="USD"),
    )
}
STANDINGS = {code: Standing(0, 0) for code in ACCOUNTS} | {
    "alice": Standing(10_000, 1),
    "bank": Standing(-10_000, 1),
    "dollars": Standing(10_000, 1),
}


def stands(decision: Decision) -> dict[str, Standing]:
    return {code: Standing(where.balance, where.seq) for code, where in decision.standings.items()}


def request(
    legs: Sequence[tuple[str, Side, str, str | None]], key: str = "k", kind: Kind = Kind.JOURNAL, **other: Any
) -> Request:
    made = [Leg(code, side, Decimal(amount), currency) for code, side, amount, currency in legs]
    return requesting.request(UUID(int=abs(hash((key, str(legs)))) % 2**128), key, kind, made, **other)


def transfer(
    source: str, target: str, amount: str, currency: str | None = None, key: str = "k", **other: Any
) -> Request:
    return request([(source, DEBIT, amount, currency), (target, CREDIT, amount, currency)], key, Kind.TRANSFER, **other)


PAID = Original(
    UUID(int=1),
    "transfer",
    (Leg("alice", DEBIT, Decimal("10.00"), "EUR"), Leg("bob", CREDIT, Decimal("10.00"), "EUR")),
    None,
)
REVERSED = PAID._replace(id=UUID(int=2), reversed_by=UUID(int=9))
REVERSAL = PAID._replace(id=UUID(int=3), kind="reversal")
THREE_LEGS = PAID._replace(id=UUID(int=4), legs=(*PAID.legs, Leg("bank", DEBIT, Decimal("1.00"), "EUR")))
ORIGINALS = {one.id: one for one in (PAID, REVERSED, REVERSAL, THREE_LEGS)}


def reverse(original: Original, amount: str | None = None, key: str = "k") -> Request:
    part = None if amount is None else Decimal(amount)
    return requesting.reversal(UUID(int=77), key, original, part, None)


def facts(*known: Known, **accounts: Account) -> Facts:
    return Facts({**ACCOUNTS, **accounts}, STANDINGS, {one.key: one for one in known}, ORIGINALS, NOW)


def known(request: Request, **other: Any) -> Known:
    return Known(request.key, UUID(int=5), request.fingerprint, None, None)._replace(**other)


GOOD = transfer("alice", "bob", "5")
TABLE = [
    (Reason.TOO_FEW_LEGS, request([("alice", DEBIT, "5", None)])),
    (Reason.TOO_FEW_LEGS, request([])),
    (Reason.SAME_ACCOUNT, transfer("alice", "alice", "5")),
    (
        Reason.SAME_ACCOUNT,
        request([("bob", CREDIT, "5", None), ("alice", DEBIT, "9", None), ("bob", DEBIT, "4", None)]),
    ),
    (Reason.DUPLICATE_KEY, transfer("alice", "bob", "5", key="imported", import_id=7, import_row=2)),
    (Reason.IDEMPOTENCY_CONFLICT, transfer("alice", "bob", "6", key="used")),
    (Reason.IDEMPOTENCY_CONFLICT, transfer("alice", "bob", "5", key="used", description="other")),
    (Reason.REVERSAL_OF_REVERSAL, reverse(REVERSAL)),
    (Reason.ALREADY_REVERSED, reverse(REVERSED)),
    (Reason.PARTIAL_REVERSAL, reverse(PAID, "10.01")),
    (Reason.PARTIAL_REVERSAL, reverse(THREE_LEGS, "1.00")),
    (Reason.ACCOUNT_NOT_FOUND, transfer("nobody", "bob", "5")),
    (Reason.ACCOUNT_NOT_FOUND, transfer("alice", "nobody", "5")),
    (Reason.CURRENCY_MISMATCH, transfer("alice", "bob", "5", "USD")),
    (Reason.CURRENCY_MISMATCH, transfer("alice", "dollars", "5")),
    (Reason.TOO_MANY_DECIMALS, transfer("alice", "bob", "5.001")),
    (Reason.TOO_MANY_DECIMALS, transfer("alice", "bob", "5.000")),
    (Reason.TOO_MANY_DECIMALS, request([("yen", DEBIT, "1.0", None), ("yen", DEBIT, "1", None)])),
    (Reason.ACCOUNT_CLOSED, transfer("alice", "closed", "5")),
    (Reason.ACCOUNT_FROZEN, transfer("alice", "frozen", "5")),
    (Reason.UNBALANCED, request([("alice", DEBIT, "5", None), ("bob", CREDIT, "4.99", None)])),
    (Reason.UNBALANCED, request([("alice", DEBIT, "5", None), ("dollars", CREDIT, "5", None)])),
    (Reason.AMOUNT_TOO_LARGE, transfer("opening", "huge", "999999999999999999999999.99")),
    (Reason.INSUFFICIENT_FUNDS, transfer("alice", "bob", "100.01")),
    (Reason.INSUFFICIENT_FUNDS, transfer("opening", "bank", "100.01")),
    (Reason.BALANCE_LIMIT, transfer("alice", "small", "5.01")),
    (Reason.REJECTED_BEFORE, transfer("alice", "bob", "5", key="left out", import_id=8, import_row=3)),
]
HUGE = account(12, "huge")


def judged(asked: Request, *, used: tuple[Known, ...] = ()) -> Any:
    earlier = (known(transfer("alice", "bob", "5", key="used")), known(GOOD, key="imported", import_id=7, import_row=1))
    base = facts(*earlier, *used, huge=HUGE)
    standings = {**STANDINGS, "huge": Standing(10**32 - 1, 1)}
    [outcome] = decide([asked], base._replace(standings=standings, decided_rows=3, decided_by=6)).outcomes
    return outcome


@pytest.mark.parametrize(("reason", "asked"), TABLE)
def test_a_request_is_refused_for_its_reason(reason: Reason, asked: Request) -> None:
    outcome = judged(asked)

    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert str(errors.by_code(outcome.reason)(**outcome.details))


def test_rows_beyond_those_that_were_decided_before_are_decided_now() -> None:
    asked = transfer("alice", "bob", "5", key="the next", import_id=8, import_row=4)

    assert isinstance(judged(asked), Posted)


def test_every_reason_occurs_in_the_order_of_precedence() -> None:
    assert list(dict.fromkeys(reason for reason, _ in TABLE)) == list(Reason)


def test_every_reason_is_the_code_of_one_error() -> None:
    for reason in Reason:
        assert issubclass(errors.by_code(reason), errors.Refusal)


def test_the_earlier_reason_wins() -> None:
    both = request([("nobody", DEBIT, "5.001", "USD"), ("frozen", CREDIT, "4", "EUR")])
    assert judged(both).reason == Reason.ACCOUNT_NOT_FOUND
    assert judged(transfer("alice", "frozen", "500.001")).reason == Reason.TOO_MANY_DECIMALS
    assert judged(transfer("alice", "frozen", "500")).reason == Reason.ACCOUNT_FROZEN
    assert judged(transfer("alice", "small", "500")).reason == Reason.INSUFFICIENT_FUNDS
    assert judged(transfer("frozen", "nobody", "5")).reason == Reason.ACCOUNT_FROZEN
    left_out = transfer("alice", "frozen", "5", key="left out", import_id=8, import_row=3)
    assert judged(left_out).reason == Reason.ACCOUNT_FROZEN


@pytest.mark.parametrize("status", ["frozen", "closed"])
def test_a_replay_stays_a_replay_whatever_became_of_the_account(status: str) -> None:
    asked = transfer("alice", "bob", "500000")
    base = facts(known(asked), alice=replace(ACCOUNTS["alice"], status=status))

    [outcome] = decide([asked], base).outcomes

    assert isinstance(outcome, Replayed)
    assert outcome.known.id == UUID(int=5)


def test_a_transfer_debits_the_first_account_and_credits_the_second() -> None:
    decision = decide([transfer("alice", "bob", "12.5")], facts())

    [posted] = decision.outcomes
    assert isinstance(posted, Posted)
    assert posted.posted_at == NOW
    assert [(entry.account.code, entry.seq, entry.amount, entry.balance) for entry in posted.entries] == [
        ("alice", 2, -1250, 8750),
        ("bob", 1, 1250, 1250),
    ]
    assert stands(decision) == {"alice": Standing(8750, 2), "bob": Standing(1250, 1)}


@pytest.mark.parametrize(
    ("source", "target", "amount", "units"),
    [("yen", "more yen", "5", 5), ("dinars", "more dinars", "1.234", 1234), ("units", "more units", "0.0001", 1)],
)
def test_amounts_are_counted_in_the_currencys_minor_units(source: str, target: str, amount: str, units: int) -> None:
    currency = {"yen": "JPY", "dinars": "KWD", "units": "UYW"}[source]
    pair = {code: account(20 + n, code, "equity", currency) for n, code in enumerate((source, target))}
    base = facts(**pair)._replace(standings=dict.fromkeys(pair, Standing(0, 0)))

    decision = decide([transfer(source, target, amount)], base)

    assert stands(decision) == {source: Standing(-units, 1), target: Standing(units, 1)}


def test_a_request_sees_those_before_it() -> None:
    asked = [transfer("alice", "bob", "60", key="1"), transfer("alice", "bob", "60", key="2"),
             transfer("bob", "alice", "60", key="3"), transfer("alice", "bob", "100", key="4")]  # fmt: skip

    outcomes = decide(asked, facts()).outcomes

    assert [type(outcome) for outcome in outcomes] == [Posted, Refused, Posted, Posted]


def test_a_key_that_stands_twice_in_a_batch_is_posted_once() -> None:
    outcomes = decide([GOOD, GOOD, transfer("alice", "bob", "6")], facts()).outcomes

    assert [type(outcome) for outcome in outcomes] == [Posted, Replayed, Refused]


def test_a_transaction_is_reversed_once_in_a_batch() -> None:
    base = facts()._replace(standings={**STANDINGS, "bob": Standing(5000, 1)})

    first, second = decide([reverse(PAID, key="1"), reverse(PAID, "3.00", key="2")], base).outcomes

    assert isinstance(first, Posted)
    assert isinstance(second, Refused)
    assert second.reason == Reason.ALREADY_REVERSED


def test_a_reversal_in_part_moves_that_part_back() -> None:
    base = facts()._replace(standings={**STANDINGS, "bob": Standing(5000, 1)})

    decision = decide([reverse(PAID, "3.00")], base)

    assert stands(decision) == {"alice": Standing(10_300, 2), "bob": Standing(4700, 2)}


def test_limits_hold_at_every_entry_on_the_normal_side() -> None:
    """An asset grows by a debit: it is the credit that may not take it below its floor."""
    assert isinstance(judged(transfer("bank", "opening", "1000")), Posted)
    assert judged(transfer("opening", "bank", "100.01")).details == {
        "account": "bank", "available": "100.00", "needed": "100.01", "currency": "EUR"
    }  # fmt: skip


def test_any_number_of_legs_and_currencies_is_posted_when_each_currency_balances() -> None:
    asked = request(
        [
            ("alice", DEBIT, "10.00", "EUR"),
            ("bob", CREDIT, "9.50", "EUR"),
            ("opening", CREDIT, "0.30", "EUR"),
            ("opening", CREDIT, "0.20", "EUR"),
            ("dollars", DEBIT, "3", "USD"),
            ("more dollars", CREDIT, "3", "USD"),
        ]
    )

    decision = decide([asked], facts())

    assert stands(decision)["opening"] == Standing(50, 2)
    assert stands(decision)["dollars"] == Standing(9700, 2)


def test_a_key_replayed_from_its_own_row_of_the_same_file_is_honest_and_from_another_row_is_not() -> None:
    def replay(row: int, earlier_import: int, earlier_row: int) -> Replayed:
        asked = transfer("alice", "bob", "5", import_id=9, import_row=row)
        return Replayed(asked, known(asked, import_id=earlier_import, import_row=earlier_row))

    replays = Replays({7})

    [own, other, foreign, again] = replays.judged([replay(5, 7, 5), replay(9, 7, 5), replay(9, 3, 5), replay(12, 3, 5)])

    assert isinstance(own, Replayed) and isinstance(foreign, Replayed)
    assert isinstance(other, Refused) and isinstance(again, Refused)
    assert {other.reason, again.reason} == {Reason.DUPLICATE_KEY}


def test_what_an_attempt_replayed_that_came_to_nothing_is_not_remembered() -> None:
    asked = transfer("alice", "bob", "5", import_id=9, import_row=1)
    of_import, of_transfer = known(asked, import_id=3, import_row=8_000_000), known(asked)
    replays = Replays(set())

    for earlier in (of_import, of_transfer):
        replays.copy().judged([Replayed(asked, earlier)])
        [first, second] = replays.judged([Replayed(asked, earlier)] * 2)

        assert isinstance(first, Replayed)
        assert isinstance(second, Refused)
