"""Statements in CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl.config import StatementMap
from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile, BadStatement, BadUsage
from ledgerctl.formats.bank import csv_statements
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

Give = Callable[[bytes | str], Input]
PLAIN = {"date": "day", "amount": "amount"}
GROSS = {"date": "day", "gross": "gross", "fee": "fee"}
SIDES = {"date": "day", "debit": "debit", "credit": "credit"}


def mapped(columns: dict[str, str], **settings: Any) -> StatementMap:
    return StatementMap(map=columns, **{"set": {"currency": "EUR"}, **settings})


@pytest.fixture
def lines(given: Give) -> Callable[..., list[StatementLine]]:
    """The lines of a file of one account and currency."""

    def read(text: str, how: StatementMap) -> list[StatementLine]:
        [statement] = csv_statements.read(given(text), how)
        return list(statement.lines)

    return read


@pytest.fixture
def refusal(given: Give) -> Callable[..., str]:
    def read(text: str, how: StatementMap) -> str:
        with pytest.raises(BadStatement) as raised:
            csv_statements.read(given(text), how)
        return str(raised.value)

    return read


def test_a_file_is_an_extract_with_the_rows_that_are_wanted(given: Give) -> None:
    [statement] = csv_statements.read(given(made_up.CSV), made_up.CSV_MAP)

    assert statement == Statement(
        place="row 1, line 2",
        identifier="",
        account="",
        currency="EUR",
        opening=None,
        closing=Balance(Decimal("1087.50"), date(2026, 2, 2)),
        lines=(
            StatementLine(
                place="row 1, line 2",
                booked_on=date(2026, 1, 31),
                valued_on=None,
                amount=Decimal("-12.5"),
                references=("ORDER-7", "BANK-9"),
                counterparty="Corner Shop",
                description="Coffee and cake",
            ),
            StatementLine(
                place="row 3, line 4",
                booked_on=date(2026, 2, 2),
                valued_on=None,
                amount=Decimal("100.00"),
                references=("BANK-10",),
                counterparty="Jane Made-Up",
                description="Rent",
            ),
        ),
    )


def test_every_account_and_currency_has_a_statement_of_its_own(given: Give) -> None:
    text = "day,amount,cur,acct\n2026-01-01,1,eur,A\n2026-01-01,2,USD,A\n2026-01-02,3,EUR,B\n2026-01-03,4,EUR,A\n"
    how = mapped({**PLAIN, "currency": "cur", "account": "{acct}-1"}, set={})

    read = csv_statements.read(given(text), how)

    assert [(one.account, one.currency, [int(line.amount) for line in one.lines]) for one in read] == [
        ("A-1", "EUR", [1, 4]),
        ("A-1", "USD", [2]),
        ("B-1", "EUR", [3]),
    ]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5", "5"), ("-5.00", "-5.00"), ("+5", "5"), ("-9.5", "-9.5"), ("9.", "9"), ("000.00", "0.00"), (" 5 ", "5"),
        ("-0.00", "0.00"), (f"-{'9' * 24}.{'9' * 18}", f"-{'9' * 24}.{'9' * 18}"),
    ],
)  # fmt: skip
def test_amounts_are_exact(lines: Callable[..., list[StatementLine]], text: str, amount: str) -> None:
    [line] = lines(f"day,amount\n2026-01-31,{text}\n", mapped(PLAIN))

    assert str(line.amount) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("-1.234,56", "-1234.56"), ("1234,5", "1234.5"), ("+1 234 567,89", "1234567.89"), ("9,", "9"), ("500", "500"),
        ("1'234,00", "1234.00"), ("0,00", "0.00"),
    ],
)  # fmt: skip
def test_with_a_decimal_comma_digits_may_stand_in_groups(
    lines: Callable[..., list[StatementLine]], text: str, amount: str
) -> None:
    [line] = lines(f"day;amount\n2026-01-31;{text}\n", mapped(PLAIN, delimiter=";", decimal=","))

    assert str(line.amount) == amount


@pytest.mark.parametrize(
    "text", ["12..34", "1,234.00", "1e3", "NaN", "$5", "(5)", "5-", "--5", ".", "\u0665", "1_0", "x"]
)
def test_what_is_no_amount_is_refused_with_its_row_and_line(refusal: Callable[..., str], text: str) -> None:
    said = refusal(f'day,amount\n2026-01-31,1\n2026-01-31,"{text}"\n', mapped(PLAIN))

    assert "'given.csv', row 2, line 3, amount: '" in said
    assert "' is not an amount" in said


@pytest.mark.parametrize("text", ["12.50", "1.23,00", "1.234.00", "1 234.567,00", "1,234,56"])
def test_with_a_decimal_comma_a_point_stands_between_groups_only(refusal: Callable[..., str], text: str) -> None:
    said = refusal(f"day;amount\n2026-01-31;{text}\n", mapped(PLAIN, delimiter=";", decimal=","))

    assert "row 1, line 2, amount" in said


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("", "2026-01-31"),
        ("", "2026-01-31 6:11:59"),
        ("", "2026-01-31T23:59:59Z"),
        ("", "2026-01-31 15:40:00 -0700"),
        ("%d/%m/%Y", "31/01/2026"),
        ("%d/%m/%Y", "31/01/2026 23:59"),
        ("%d %b %Y", "31 Jan 2026 23:59:59.123"),
        ("%d.%m.%Y %H:%M", "31.01.2026 23:59"),
    ],
)
def test_a_time_behind_the_day_is_left_out(lines: Callable[..., list[StatementLine]], form: str, text: str) -> None:
    [line] = lines(f"day,amount\n{text},1\n", mapped(PLAIN, date=form))

    assert line.booked_on == date(2026, 1, 31)


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("", "2026-02-30", "there is no day 2026-02-30"),
        ("", "31.01.2026", "'31.01.2026' is not a day such as 2026-01-31"),
        ("", "", "'' is not a day"),
        ("%d/%m/%Y", "2026-01-31", "it is not written as %d/%m/%Y"),
    ],
)
def test_what_is_no_day_is_refused(refusal: Callable[..., str], form: str, text: str, words: str) -> None:
    said = refusal(f"day,amount\n{text},1\n", mapped(PLAIN, date=form))

    assert "row 1, line 2, date: " in said
    assert words in said


def test_debits_and_credits_may_have_columns_of_their_own(lines: Callable[..., list[StatementLine]]) -> None:
    text = "day,debit,credit\n2026-01-01,5.00,\n2026-01-01,,7\n2026-01-01,0.00,7\n2026-01-01,0,0\n"

    assert [line.amount for line in lines(text, mapped(SIDES))] == [Decimal("-5.00"), 7, Decimal("7.00"), 0]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("-5,", "row 1, line 2, debit: -5 is negative"),
        (",-5", "row 1, line 2, credit: -5 is negative"),
        ("5,7", "row 1, line 2: it is a debit of 5 and a credit of 7 at once"),
        (",", "row 1, line 2: it has neither a debit nor a credit"),
    ],
)
def test_a_row_is_a_debit_or_a_credit_and_both_are_positive(
    refusal: Callable[..., str], cells: str, words: str
) -> None:
    assert words in refusal(f"day,debit,credit\n2026-01-01,{cells}\n", mapped(SIDES))


@pytest.mark.parametrize(("sign", "fee"), [("added", "-0.30"), ("subtracted", "0.30")])
def test_what_is_left_of_a_gross_amount_is_the_amount(
    lines: Callable[..., list[StatementLine]], sign: str, fee: str
) -> None:
    text = f"day,gross,fee,net\n2026-01-01,10.00,{fee},9.70\n"

    for columns in (GROSS, {**GROSS, "amount": "net"}):
        [line] = lines(text, mapped(columns, fee_sign=sign))
        assert (line.amount, line.fee) == (Decimal("9.70"), Decimal("-0.30"))


def test_a_net_amount_that_does_not_follow_is_refused(refusal: Callable[..., str]) -> None:
    said = refusal("day,gross,fee,net\n2026-01-01,10.00,0.30,9.70\n", mapped({**GROSS, "amount": "net"}))

    assert "row 1, line 2: its gross of 10.00 and its fee of 0.30 do not make 9.70" in said


def test_a_fee_may_have_several_columns_of_which_some_are_empty(lines: Callable[..., list[StatementLine]]) -> None:
    columns = {"date": "day", "gross": "in-out", "fee": "a (x)+b+c", "debit": "nd", "credit": "nc"}
    text = (
        "day,in,out,a (x),b,c,nd,nc\n2026-01-01,10,,0.1,,0.2,,9.7\n2026-01-02,,40,,0.2,,40.2,\n2026-01-03,,,,,,38.1,\n"
    )

    read = lines(text, mapped(columns, fee_sign="subtracted"))

    assert [line.amount for line in read] == [Decimal("9.7"), Decimal("-40.2"), Decimal("-38.1")]
    assert [str(line.fee) for line in read] == ["-0.3", "-0.2", "0"]


def test_a_column_may_have_a_sign_in_its_name(lines: Callable[..., list[StatementLine]]) -> None:
    text = "day,net-amount,net\n2026-01-01,5,7\n"

    assert lines(text, mapped({**PLAIN, "amount": "net-amount"}))[0].amount == 5
    assert lines(text, mapped({**PLAIN, "amount": "net-amount-net"}))[0].amount == -2


def test_an_empty_amount_is_refused_and_so_is_an_empty_balance(refusal: Callable[..., str]) -> None:
    assert "row 1, line 2, amount: it is empty" in refusal("day,amount\n2026-01-01,\n", mapped(PLAIN))
    assert "row 1, line 2, gross: it is empty" in refusal("day,gross,fee\n2026-01-01,,\n", mapped(GROSS))
    assert "row 1, line 2, balance: it is empty" in refusal(
        "day,amount,left\n2026-01-01,1,\n", mapped({**PLAIN, "balance": "left"})
    )


ROWS = [("2026-01-01", "5", "15"), ("2026-01-02", "-3", "12"), ("2026-01-02", "1.50", "13.50")]


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]], ids=["oldest first", "newest first"])
def test_a_running_balance_is_checked_and_its_last_one_closes(given: Give, rows: list[tuple[str, str, str]]) -> None:
    text = "day,amount,left\n" + "".join(f"{','.join(row)}\n" for row in rows)

    [statement] = csv_statements.read(given(text), mapped({**PLAIN, "balance": "left"}))

    assert statement.closing == Balance(Decimal("13.50"), date(2026, 1, 2))
    assert [str(line.amount) for line in statement.lines] == [row[1] for row in rows]


def test_of_rows_that_tie_both_ways_round_the_days_say_which_is_last(given: Give) -> None:
    text = "day,amount,left\n2026-01-02,0,5\n2026-01-01,0,5\n"

    [statement] = csv_statements.read(given(text), mapped({**PLAIN, "balance": "left"}))

    assert statement.closing == Balance(Decimal(5), date(2026, 1, 2))


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ([*ROWS, ("2026-01-03", "1", "99")], ("row 4, line 5", "row 3, line 4")),
        ([("2026-01-03", "1", "99"), *ROWS[::-1]], ("row 1, line 2", "row 2, line 3")),
    ],
)
def test_a_balance_that_does_not_tie_is_refused_with_its_row(
    refusal: Callable[..., str], rows: list[tuple[str, str, str]], places: tuple[str, str]
) -> None:
    text = "day,amount,left\n" + "".join(f"{','.join(row)}\n" for row in rows)
    made = f"its balance is 99, but its amount of 1 and the balance before it of 13.50 ({places[1]}) make 14.50"

    assert f"{places[0]}: {made}" in refusal(text, mapped({**PLAIN, "balance": "left"}))


def test_balances_of_two_currencies_run_side_by_side(given: Give) -> None:
    text = "day,amount,left,cur\n2026-01-01,1,1,EUR\n2026-01-01,5,5,USD\n2026-01-02,1,2,EUR\n2026-01-02,-5,0,USD\n"

    read = csv_statements.read(given(text), mapped({**PLAIN, "balance": "left", "currency": "cur"}, set={}))

    assert [one.closing and one.closing.amount for one in read] == [2, 0]


def test_a_template_of_which_a_part_is_empty_says_nothing(lines: Callable[..., list[StatementLine]]) -> None:
    text = "day,amount,kind,id\n2026-01-01,1,A,7\n2026-01-01,1,A,\n"

    read = lines(text, mapped({**PLAIN, "reference": "{kind}-{id}", "description": "kind"}))

    assert [(line.references, line.description) for line in read] == [(("A-7",), "A"), ((), "A")]


def test_a_row_with_line_ends_in_it_does_not_shift_the_lines_of_others(
    lines: Callable[..., list[StatementLine]],
) -> None:
    text = 'day,amount,text\n2026-01-01,1,"two\nlines"\n2026-01-01,1,x\n'

    read = lines(text, mapped({**PLAIN, "description": "text"}))

    assert [(line.place, line.description) for line in read] == [("row 1, line 2", "two lines"), ("row 2, line 4", "x")]


def test_lines_before_the_header_are_skipped_and_other_encodings_read(given: Give) -> None:
    text = "Konto 0001\n\nTag|Betrag|Text\n31.01.2026|1,50|Müller\n"
    how = mapped(
        {"date": "Tag", "amount": "Betrag", "description": "Text"},
        delimiter="|", decimal=",", encoding="latin-1", date="%d.%m.%Y", skip_lines=2,
    )  # fmt: skip

    [statement] = csv_statements.read(given(text.encode("latin-1")), how)

    assert (statement.lines[0].place, statement.lines[0].description) == ("row 1, line 4", "Müller")


@pytest.mark.parametrize(
    ("text", "how", "words"),
    [
        ("day,sum\n", mapped(PLAIN), "there is no column 'amount' for the field 'amount'"),
        ("day,amount\n", mapped({**PLAIN, "reference": "id"}), "there is no column 'id' for the field 'reference'"),
        ("day,amount\n", mapped({**PLAIN, "amount": "amount+fee"}), "there is no column 'fee' for the field 'amount'"),
        ("day,amount\n", mapped(PLAIN, only={"state": ["DONE"]}), "there is no column 'state'"),
        ("day,amount,amount\n", mapped(PLAIN), "its header names 'amount' twice"),
        ("day,amount\n", mapped(PLAIN), "it has no rows"),
        ("day,amount\n2026-01-01,1\n", mapped(PLAIN, only={"day": []}), "none of its 1 rows is one that the map wants"),
        ("", mapped(PLAIN), "it is empty"),
    ],
)
def test_a_file_that_the_map_does_not_fit_is_refused_whole(
    given: Give, text: str, how: StatementMap, words: str
) -> None:
    with pytest.raises(BadFile) as raised:
        csv_statements.read(given(text), how)

    assert words in str(raised.value)


def test_a_row_with_another_number_of_cells_is_refused(refusal: Callable[..., str]) -> None:
    assert "row 1, line 2: it has 1 cells where the header has 2" in refusal("day,amount\n2026-01-01\n", mapped(PLAIN))


def test_a_row_without_a_currency_is_refused(refusal: Callable[..., str]) -> None:
    how = mapped({**PLAIN, "currency": "cur"}, set={})

    assert "row 1, line 2, currency: '' is not a currency code" in refusal("day,amount,cur\n2026-01-01,1,\n", how)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (StatementMap(), "the map has no column for 'date'"),
        (mapped({"amount": "a"}), "the map has no column for 'date'"),
        (mapped(PLAIN, set={}), "the map has no column for 'currency'"),
        (mapped({"date": "d"}), "the map needs amount, or debit and credit, or gross and fee; it has none of them"),
        (mapped({"date": "d", "gross": "g"}), "it has gross"),
        (mapped({**PLAIN, "debit": "d"}), "it has amount, debit"),
        (mapped({**PLAIN, "to": "x"}), "the map knows no field 'to'"),
        (mapped({**PLAIN, "currency": "c"}), "'currency' stands in map and in set"),
        (mapped(PLAIN, set={"currency": "EUR", "amount": "5"}), "'amount' cannot be the same for all rows"),
        (mapped(PLAIN, delimiter=",,"), "delimiter of the map: it must be one character"),
        (mapped(PLAIN, encoding="rot13"), "encoding of the map"),
        (mapped(PLAIN, date="%H"), "date of the map"),
    ],
)
def test_a_map_that_cannot_be_followed_is_refused_before_the_file_is_read(
    given: Give, how: StatementMap, words: str
) -> None:
    with pytest.raises(BadUsage) as raised:
        csv_statements.read(given(""), how)

    assert words in str(raised.value)


def test_a_tab_may_be_written_as_it_is_in_other_maps(lines: Callable[..., list[StatementLine]]) -> None:
    assert lines("day\tamount\n2026-01-01\t1\n", replace(mapped(PLAIN), delimiter="\\t"))[0].amount == 1
