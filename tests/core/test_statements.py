"""Statements as values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ledgerctl.core.statements import Balance, Statement, StatementLine

DAY = date(2026, 1, 31)


def statement(opening: str | None, closing: str | None, *amounts: str) -> Statement:
    before, after = (None if text is None else Balance(Decimal(text), DAY) for text in (opening, closing))
    lines = tuple(StatementLine("line 1", DAY, None, Decimal(amount)) for amount in amounts)
    return Statement("line 1", "1", "0001", "EUR", before, after, lines)


@pytest.mark.parametrize(
    ("opening", "closing", "amounts", "difference"),
    [
        ("10", "12.50", ["5", "-2.50"], "0"),
        ("10", "10", [], "0"),
        ("10", "13", ["5", "-2.50"], "0.50"),
        ("-10", "-12", ["-2", "0.01"], "-0.01"),
        (None, "10", ["5"], "0"),
        ("10", None, ["5"], "0"),
        (f"{'9' * 24}.00", f"{'9' * 24}.01", ["0.02"], "-0.01"),
        ("0", "1000000000000000000000000.000000000000000001", [f"1{'0' * 24}"], "0.000000000000000001"),
    ],
)
def test_the_difference_is_exact_however_large_the_balances(
    opening: str | None, closing: str | None, amounts: list[str], difference: str
) -> None:
    assert statement(opening, closing, *amounts).difference == Decimal(difference)
