"""Amounts: what is read, what is not and why, and that nothing ever rounds."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core import money
from ledgerctl.errors import BadAmount, BadText

exponents = st.sampled_from([0, 2, 3, 4, 8, 18])
units = st.integers(-(10**29), 10**29)


@pytest.mark.parametrize("text", ["1", "12.5", "12.50", "0.01", "1234567890123456789012.123456789012345678", "100"])
def test_plain_numbers_are_read_with_their_digits(text: str) -> None:
    assert format(money.parse(text), "f") == text
    assert money.parse_all([text, "1", text]) == [money.parse(text), Decimal(1), money.parse(text)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("1e3", "exponent"),
        ("1E-3", "exponent"),
        ("NaN", "not a plain number"),
        ("sNaN", "not a plain number"),
        ("Infinity", "not a plain number"),
        ("-5", "negative"),
        ("-0", "negative"),
        ("(5)", "negative"),
        ("0", "zero"),
        ("0.00", "zero"),
        ("1,234.50", "','"),
        ("1.234,50", "','"),
        ("12,50", "','"),
        ("１２", "0-9"),  # noqa: RUF001 - full-width digits are what is tested
        ("٣", "0-9"),
        ("−5", "0-9"),  # noqa: RUF001 - the typographical minus is what is tested
        ("1\u00a0000", "0-9"),
        ("1_000", "not a plain number"),
        ("0x10", "not a plain number"),
        (".5", "not a plain number"),
        ("1.", "not a plain number"),
        ("+5", "not a plain number"),
        ("5 ", "not a plain number"),
        ("5\n", "not a plain number"),
        ("12.34 USD", "not a plain number"),
        ("007", "starts with 0"),
        ("00.5", "starts with 0"),
        ("9" * 25, "more digits"),
        ("1." + "9" * 19, "more digits"),
        ("9" * 1_000_000, "too long"),
        ("1e999999", "exponent"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, problem: str) -> None:
    with pytest.raises(BadAmount) as raised:
        money.parse(text)

    assert problem in raised.value.details["problem"]
    assert len(str(raised.value)) < 200
    assert money.parse_all([text]) is None
    assert money.parse_all(["1", text, "2.50"]) is None


@given(st.text(max_size=12))
def test_what_is_read_is_what_decimal_reads_of_ascii_digits(text: str) -> None:
    try:
        amount = money.parse(text)
    except BadAmount:
        return
    assert amount == Decimal(text) > 0
    assert set(text) <= set("0123456789.")


@pytest.mark.parametrize(
    ("text", "expected"), [("none", None), ("0", "0"), ("-12.50", "-12.50"), ("-0", "0"), ("100", "100")]
)
def test_a_limit_may_be_zero_negative_or_none(text: str, expected: str | None) -> None:
    limit = money.parse_limit(text)

    assert (None if limit is None else format(limit, "f")) == expected


@pytest.mark.parametrize("text", ["", "--5", "1e3", "None", "-", "5-"])
def test_a_limit_is_a_plain_number(text: str) -> None:
    with pytest.raises(BadAmount):
        money.parse_limit(text)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("12.50", "12.50", None),
        ("12.50 EUR", "12.50", "EUR"),
        ("EUR 12.50", "12.50", "EUR"),
        ("1 POINTS", "1", "POINTS"),
    ],
)
def test_an_amount_may_name_its_currency(text: str, amount: str, currency: str | None) -> None:
    assert money.parse_with_currency(text) == (Decimal(amount), currency)


@pytest.mark.parametrize("text", ["12.50  EUR", "12.50 eur", "EUR", "EUR EUR", "1 2 EUR", "12.50EUR"])
def test_an_amount_with_something_else_is_refused(text: str) -> None:
    with pytest.raises(BadAmount):
        money.parse_with_currency(text)


def test_a_currency_code_is_three_to_twelve_capitals_and_digits() -> None:
    assert [code for code in ("EUR", "BTC", "A1B", "POINTS", "X" * 12) if money.currency_code(code) != code] == []
    for code in ("eur", "EU", "1UR", "X" * 13, "EUR\n", "É00"):
        with pytest.raises(BadText):
            money.currency_code(code)


@given(units, exponents)
def test_minor_units_come_back_from_text_and_from_decimal(amount: int, exponent: int) -> None:
    assert money.minor(Decimal(money.text(amount, exponent)), exponent) == amount
    assert money.minor(money.decimal(amount, exponent), exponent) == amount
    assert Decimal(money.text(amount, exponent)) == money.decimal(amount, exponent)


@given(units, exponents)
def test_nothing_depends_on_the_callers_decimal_context(amount: int, exponent: int) -> None:
    with localcontext(prec=3):
        assert money.minor(Decimal(money.text(amount, exponent)), exponent) == amount


@pytest.mark.parametrize(
    ("amount", "exponent", "text"),
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (123456, 2, "1234.56"),
        (7, 0, "7"),
        (1, 18, "0." + "0" * 17 + "1"),
    ],
)
def test_minor_units_are_shown_at_the_exponent(amount: int, exponent: int, text: str) -> None:
    assert money.text(amount, exponent) == text


@pytest.mark.parametrize(
    ("text", "canonical"), [("1.0", "1"), ("1.00", "1"), ("1", "1"), ("100", "100"), ("12.50", "12.5"), ("0.10", "0.1")]
)
def test_equal_amounts_have_one_canonical_text(text: str, canonical: str) -> None:
    assert money.canonical(Decimal(text)) == canonical


@pytest.mark.parametrize(
    ("stored", "exponent", "text"),
    [("1", 2, "1.00"), ("1.5", 2, "1.50"), ("-0.001", 2, "-0.001"), ("5", 0, "5"), ("1E+3", 2, "1000.00")],
)
def test_a_stored_number_is_shown_at_the_exponent_and_damage_is_shown_whole(
    stored: str, exponent: int, text: str
) -> None:
    assert money.fixed(Decimal(stored), exponent) == text


def test_text_from_outside_is_escaped_and_cut() -> None:
    assert money.shown("a\x1b[31mb") == "a\\x1b[31mb"
    assert len(money.shown("x" * 10_000)) == 40
