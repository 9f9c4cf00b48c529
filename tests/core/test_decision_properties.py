"""What holds for every batch: money is conserved, a replay posts nothing, and a naive model decides the same."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerctl.core import decision, requesting
from ledgerctl.core.decision import Facts, decide
from ledgerctl.core.model import Account, Kind, Known, Leg, Outcome, Posted, Refused, Replayed, Request, Side, Standing

NOW = datetime(2026, 1, 31, tzinfo=UTC)
EXPONENTS = {"EUR": 2, "JPY": 0, "KWD": 3}
CODES = [f"account-{number}" for number in range(5)]

accounts = st.builds(
    lambda type_, currency, status, floor, ceiling: {
        "type": type_, "currency": currency, "exponent": EXPONENTS[currency], "status": status,
        "min_balance": floor, "max_balance": ceiling,
    },
    st.sampled_from(["asset", "liability", "equity", "income", "expense"]),
    st.sampled_from(["EUR", "EUR", "EUR", "JPY", "KWD"]),
    st.sampled_from(["active"] * 8 + ["frozen", "closed"]),
    st.sampled_from([None, None, 0, -5000]),
    st.sampled_from([None, None, None, 20_000]),
)  # fmt: skip
amounts = st.integers(1, 30_000).flatmap(
    lambda units: st.sampled_from([0, 1, 2, 3]).map(lambda places: Decimal(units).scaleb(-places))
)
legs = st.builds(
    Leg,
    st.sampled_from([*CODES, "nobody"]),
    st.sampled_from(Side),
    amounts,
    st.sampled_from([None, None, None, "EUR", "JPY"]),
)
keys = st.sampled_from([f"key-{number}" for number in range(12)])


@st.composite
def transfers(draw: st.DrawFn) -> Request:
    source, target = draw(st.lists(st.sampled_from(CODES), min_size=2, max_size=2, unique=True))
    currency = draw(st.sampled_from([None, None, "EUR", "EUR", "JPY"]))
    return requesting.transfer(
        UUID(int=draw(st.integers(1, 2**64))), draw(keys), source, target, draw(amounts), currency
    )


@st.composite
def journals(draw: st.DrawFn) -> Request:
    some = draw(st.lists(legs, max_size=4))
    return requesting.request(UUID(int=draw(st.integers(1, 2**64))), draw(keys), Kind.JOURNAL, some)


@st.composite
def books(draw: st.DrawFn) -> Facts:
    made = {code: Account(id=number, code=code, **draw(accounts)) for number, code in enumerate(CODES, 1)}
    standings = {code: Standing(0, 0) for code in made}
    return Facts(made, standings, {}, {}, NOW)


batches = st.lists(transfers() | journals(), max_size=25)


def after(facts: Facts, decided: Any) -> Facts:
    used = {
        one.request.key: Known(one.request.key, one.request.id, one.request.fingerprint, None, None)
        for one in decided.outcomes
        if isinstance(one, Posted)
    }
    return facts._replace(standings={**facts.standings, **decided.standings}, known={**facts.known, **used})


def total(facts: Facts) -> Counter[str]:
    sums: Counter[str] = Counter()
    for code, standing in facts.standings.items():
        sums[facts.accounts[code].currency] += standing.balance
    return sums


@settings(max_examples=150, deadline=None)
@given(books(), batches)
def test_money_is_conserved_and_history_has_no_gap(facts: Facts, batch: list[Request]) -> None:
    decided = decide(batch, facts)

    assert total(after(facts, decided)) == total(facts)
    balances = {code: [0] for code in CODES}
    for outcome in decided.outcomes:
        for entry in outcome.entries if isinstance(outcome, Posted) else ():
            history = balances[entry.account.code]
            assert entry.seq == len(history)
            assert entry.balance == history[-1] + entry.amount
            history.append(entry.balance)
    for code, standing in decided.standings.items():
        assert (standing.balance, standing.seq) == (balances[code][-1], len(balances[code]) - 1)


@settings(max_examples=100, deadline=None)
@given(books(), batches)
def test_the_facts_stay_as_they_are(facts: Facts, batch: list[Request]) -> None:
    before = copy.deepcopy(facts)

    decide(batch, facts)

    assert facts == before


@settings(max_examples=150, deadline=None)
@given(books(), batches)
def test_a_replay_posts_nothing(facts: Facts, batch: list[Request]) -> None:
    first = decide(batch, facts)
    posted = [outcome.request for outcome in first.outcomes if isinstance(outcome, Posted)]

    again = decide(posted, after(facts, first))

    assert all(isinstance(outcome, Replayed) for outcome in again.outcomes)
    assert again.standings == {}


@settings(max_examples=150, deadline=None)
@given(books(), batches, st.integers(0, 25))
def test_a_batch_in_two_parts_is_decided_alike(facts: Facts, batch: list[Request], cut: int) -> None:
    whole = decide(batch, facts)

    first = decide(batch[:cut], facts)
    second = decide(batch[cut:], after(facts, first))

    assert list(map(_seen, [*first.outcomes, *second.outcomes])) == list(map(_seen, whole.outcomes))
    assert {**first.standings, **second.standings} == whole.standings


@settings(max_examples=300, deadline=None)
@given(books(), batches)
def test_the_short_look_at_a_transfer_passes_what_the_guards_pass(facts: Facts, batch: list[Request]) -> None:
    ahead = decision._Ahead({}, {}, {})
    for request in batch:
        judged = decision._judge(request, facts, ahead)

        short = decision._ordinary(request, facts, ahead)

        assert short is None or short == judged
        if isinstance(judged, Posted):
            decision._fold(judged, ahead)


@settings(max_examples=300, deadline=None)
@given(books(), batches)
def test_the_decision_equals_a_naive_model(facts: Facts, batch: list[Request]) -> None:
    assert [_words(outcome) for outcome in decide(batch, facts).outcomes] == _naive(facts, batch)


def _seen(outcome: Outcome) -> Any:
    """An outcome, whoever told of the key's earlier use: the books, or the batch itself."""
    earlier = getattr(outcome, "known", None)
    return outcome if earlier is None else (type(outcome), outcome.request, earlier.id, earlier.fingerprint)


def _words(outcome: object) -> str:
    return outcome.reason if isinstance(outcome, Refused) else type(outcome).__name__


def _naive(facts: Facts, batch: list[Request]) -> list[str]:
    """The rules once more, slowly, in fractions of the currency and from plain dicts."""
    balance = {code: Fraction(0) for code in facts.accounts}
    used: dict[str, bytes] = {}
    said: list[str] = []
    for request in batch:
        word, moved = _naive_one(facts, balance, used, request)
        said.append(word)
        if word == "Posted":
            balance.update(moved)
            used[request.key] = request.fingerprint
    return said


def _naive_one(
    facts: Facts, balance: dict[str, Fraction], used: dict[str, bytes], request: Request
) -> tuple[str, dict[str, Fraction]]:
    sides = {side: {leg.account for leg in request.legs if leg.side is side} for side in Side}
    if len(request.legs) < 2:
        return "TOO_FEW_LEGS", {}
    if sides[Side.DEBIT] & sides[Side.CREDIT]:
        return "SAME_ACCOUNT", {}
    if request.key in used:
        return ("Replayed" if used[request.key] == request.fingerprint else "IDEMPOTENCY_CONFLICT"), {}

    of_source = facts.accounts[request.legs[0].account].currency if request.kind is Kind.TRANSFER else None
    for leg in request.legs:
        account = facts.accounts.get(leg.account)
        if account is None:
            return "ACCOUNT_NOT_FOUND", {}
        if (leg.currency or of_source or account.currency) != account.currency:
            return "CURRENCY_MISMATCH", {}
        written = f"{leg.amount:f}"
        if len(written.partition(".")[2]) > account.exponent:
            return "TOO_MANY_DECIMALS", {}
        if account.status != "active":
            return f"ACCOUNT_{account.status.upper()}", {}

    sums: Counter[str] = Counter()
    for leg in request.legs:
        sums[facts.accounts[leg.account].currency] += Fraction(leg.amount) * (1 if leg.side is Side.CREDIT else -1)  # type: ignore[assignment]  # a Counter of fractions
    if any(sums.values()):
        return "UNBALANCED", {}

    moved = dict(balance)
    for leg in request.legs:
        account = facts.accounts[leg.account]
        moved[leg.account] += Fraction(leg.amount) * (1 if leg.side is Side.CREDIT else -1)
        seen = moved[leg.account] * (-1 if account.type in ("asset", "expense") else 1) * 10**account.exponent
        if account.min_balance is not None and seen < account.min_balance:
            return "INSUFFICIENT_FUNDS", {}
        if account.max_balance is not None and seen > account.max_balance:
            return "BALANCE_LIMIT", {}
    return "Posted", moved
