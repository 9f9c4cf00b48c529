"""A CSV of accounts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from ledgerctl.core.model import NewAccount
from ledgerctl.core.rows import Rejected
from ledgerctl.errors import BadAmount, BadFile, BadText, TooManyDecimals, UnknownCurrency
from ledgerctl.formats import account_csv
from ledgerctl.formats.dialect import PLAIN, Dialect
from ledgerctl.formats.records import Input

Give = Callable[[bytes | str], Input]
EXPONENTS = {"EUR": 2, "JPY": 0}


def read(source: Input, dialect: Dialect = PLAIN, **constants: str) -> tuple[list[NewAccount], list[Rejected], int]:
    return account_csv.read(source, {}, constants, dialect, EXPONENTS)


def test_a_row_is_an_account_with_the_defaults_of_its_type(given: Give) -> None:
    accounts, rejects, rows = read(
        given("code,currency,type,name\nbank,EUR,asset,The bank\ncustomers:a,EUR,,\nfees,JPY,income,\n")
    )

    assert (rejects, rows) == ([], 3)
    assert accounts == [
        NewAccount("bank", "asset", "EUR", 2, "The bank", Decimal(0), None, None),
        NewAccount("customers:a", "liability", "EUR", 2, None, Decimal(0), None, None),
        NewAccount("fees", "income", "JPY", 0, None, None, None, None),
    ]


def test_limits_are_read_and_none_is_no_limit(given: Give) -> None:
    accounts, _, _ = read(given("code,currency,min_balance,max_balance\na,EUR,none,none\nb,EUR,-10.5,100\nc,EUR,,\n"))

    assert [(one.min_balance, one.max_balance) for one in accounts] == [
        (None, None),
        (Decimal("-10.5"), Decimal(100)),
        (Decimal(0), None),
    ]


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("a b,EUR,,,", "BAD_ACCOUNT_CODE", "'a b' is not an account code"),
        (",EUR,,,", "BAD_ACCOUNT_CODE", "'' is not an account code"),
        ("a,XXX,,,", "UNKNOWN_CURRENCY", "the ledger has no currency 'XXX'"),
        ("a,,,,", "UNKNOWN_CURRENCY", "the ledger has no currency ''"),
        ("a,EUR,debtor,,", "BAD_TEXT", "'debtor' is not one of asset, liability, equity, income, expense"),
        ("a,EUR,,1e3,", "BAD_AMOUNT", "exponents are not read"),
        ("a,EUR,,,-0.001", "TOO_MANY_DECIMALS", "-0.001 has more decimals than EUR allows (2)"),
        ("a,JPY,,,1.5", "TOO_MANY_DECIMALS", "1.5 has more decimals than JPY allows (0)"),
        ("a,EUR", "BAD_ROW", "it has 2 cells where the header has 5"),
    ],
)
def test_a_bad_row_has_its_number_and_its_reason(given: Give, line: str, code: str, words: str) -> None:
    accounts, [reject], rows = read(given(f"code,currency,type,min_balance,max_balance\ngood,EUR,,,\n{line}\n"))

    assert [one.code for one in accounts] == ["good"]
    assert (reject.row, reject.code, rows) == (2, code, 2)
    assert words in reject.message


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("a b,EUR,,,", "code"),
        ("a,XXX,,,", "currency"),
        ("a,EUR,debtor,,", "type"),
        ("a,EUR,,1e3,", "min_balance"),
        ("a,EUR,,,0.001", "max_balance"),
    ],
)
def test_a_bad_row_names_its_field(given: Give, line: str, field: str) -> None:
    _, [reject], _ = read(given(f"code,currency,type,min_balance,max_balance\n{line}\n"))

    assert reject.field == field


def test_the_same_account_twice_counts_once_and_another_one_of_its_code_is_a_bad_row(given: Give) -> None:
    accounts, [reject], rows = read(given("code,currency\na,EUR\na,EUR\na,JPY\n"))

    assert [one.code for one in accounts] == ["a"]
    assert (reject.row, reject.code, rows) == (3, "ACCOUNT_EXISTS", 3)
    assert "stands in an earlier row with other attributes" in reject.message


def test_a_missing_column_is_named_and_a_constant_stands_in_for_it(given: Give) -> None:
    with pytest.raises(BadFile, match="there is no column 'currency'"):
        read(given("code\na\n"))

    accounts, _, _ = read(given("code\na\n"), currency="EUR")
    assert [one.currency for one in accounts] == ["EUR"]


def test_an_empty_part_of_a_template_is_a_bad_row(given: Give) -> None:
    source = given("id,currency\n,EUR\n")
    _, [reject], _ = account_csv.read(source, {"code": "customers:{id}"}, {}, PLAIN, EXPONENTS)

    assert reject == Rejected(1, "code", "BAD_TEXT", "the column 'id' is empty")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"currency": "eur"}, UnknownCurrency),
        ({"type": "Asset"}, BadText),
        ({"min_balance": "-"}, BadAmount),
        ({"max_balance": "NaN"}, BadAmount),
        ({"max_balance": "0.001"}, TooManyDecimals),
        ({"name": "x" * 201}, BadText),
        ({"name": "\x1b[31m"}, BadText),
    ],
)
def test_a_wrong_text_is_refused(change: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        account_csv.new_account({"code": "a", "currency": "EUR", **change}, EXPONENTS)


def test_minus_zero_is_zero() -> None:
    account = account_csv.new_account({"code": "a", "currency": "EUR", "min_balance": "-0.00"}, EXPONENTS)
    assert not account.min_balance
    assert not str(account.min_balance).startswith("-")


def test_limits_are_read_in_the_dialect_of_the_file(given: Give) -> None:
    content = "code;currency;min_balance;max_balance\na;EUR;-1.000,50;none\nb;EUR;none;12.50\n"

    [account], [reject], _ = read(given(content), Dialect(";", ","))

    assert (str(account.min_balance), account.max_balance) == ("-1000.50", None)
    assert (reject.row, reject.field, reject.code) == (2, "max_balance", "BAD_AMOUNT")
