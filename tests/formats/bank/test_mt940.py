"""SWIFT MT940."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile, BadStatement, BadUsage
from ledgerctl.formats.bank import mt940
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

Give = Callable[[bytes | str], Input]


def message(*middle: str, opening: str = "C260130EUR0,", closing: str = "C260202EUR0,") -> str:
    """A statement with these lines between its balances."""
    head = [":20:REF", ":25:99999999/0000000001", ":28C:1/1", f":60F:{opening}"]
    return "\n".join([*head, *middle, f":62F:{closing}", "-", ""])


@pytest.fixture
def line(given: Give) -> Callable[..., StatementLine]:
    """What is read from one field :61: and the lines behind it."""

    def read(*texts: str) -> StatementLine:
        [[only]] = [one.lines for one in mt940.read(given(message(*texts)))]
        return only

    return read


@pytest.fixture
def refusal(given: Give) -> Callable[[str], str]:
    """What is said of a text that is refused."""

    def read(text: str) -> str:
        with pytest.raises(BadStatement) as raised:
            mt940.read(given(text))
        return str(raised.value)

    return read


def test_a_statement_is_read_with_its_balances_lines_and_places(given: Give) -> None:
    [statement] = mt940.read(given(made_up.MT940))

    assert statement == Statement(
        place="line 1",
        identifier="00007/001",
        account="99999999/0000000001",
        currency="EUR",
        opening=Balance(Decimal("1000.00"), date(2026, 1, 30)),
        closing=Balance(Decimal("1087.50"), date(2026, 2, 2)),
        lines=(
            StatementLine(
                place="line 5",
                booked_on=date(2026, 1, 31),
                valued_on=date(2026, 1, 31),
                amount=Decimal("-12.50"),
                references=("E2E-7", "ORDER-7", "BANK-9"),
                counterparty="Corner Shop",
                description="Coffee and c ake",
            ),
            StatementLine(
                place="line 8",
                booked_on=date(2026, 2, 2),
                valued_on=date(2026, 1, 31),
                amount=Decimal("100.00"),
                references=("BANK-10",),
                description="Rent of Jane Made-Up",
            ),
        ),
    )
    assert statement.difference == 0


@pytest.mark.parametrize(
    ("mark", "amount"),
    [
        ("C", "5"),
        ("D", "-5"),
        ("RC", "-5"),
        ("RD", "5"),
        ("CR", "5"),
        ("DR", "-5"),
        ("RCR", "-5"),
        ("RDR", "5"),
        ("d", "-5"),
        ("rc", "-5"),
    ],
)
def test_a_mark_says_the_sign_a_reversal_turns_it_and_a_letter_of_the_currency_may_follow(
    line: Callable[..., StatementLine], mark: str, amount: str
) -> None:
    assert line(f":61:2601310131{mark}5,00NTRFNONREF").amount == Decimal(amount)


@pytest.mark.parametrize(
    ("days", "booked_on", "valued_on"),
    [
        ("2601310131", date(2026, 1, 31), date(2026, 1, 31)),
        ("260131", date(2026, 1, 31), date(2026, 1, 31)),
        ("260131    ", date(2026, 1, 31), date(2026, 1, 31)),
        ("2512310102", date(2026, 1, 2), date(2025, 12, 31)),
        ("2601021231", date(2025, 12, 31), date(2026, 1, 2)),
        ("2602300301", date(2026, 3, 1), date(2026, 2, 28)),
        ("2402300301", date(2024, 3, 1), date(2024, 2, 29)),
        ("2602290230", date(2026, 2, 28), date(2026, 2, 28)),
        ("9912310103", date(2000, 1, 3), date(1999, 12, 31)),
        ("8001011231", date(1979, 12, 31), date(1980, 1, 1)),
    ],
)
def test_the_day_of_booking_is_next_to_the_value_date_and_february_has_thirty_days_for_banks(
    line: Callable[..., StatementLine], days: str, booked_on: date, valued_on: date
) -> None:
    read = line(f":61:{days}C5,00NTRFNONREF")

    assert (read.booked_on, read.valued_on) == (booked_on, valued_on)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0,12", "0.12"), ("00,12", "0.12"), ("380115,", "380115"), ("380115,1", "380115.1"), ("500", "500")],
)
def test_amounts_are_exact_with_or_without_decimals(line: Callable[..., StatementLine], text: str, amount: str) -> None:
    assert line(f":61:260131C{text}NTRFNONREF").amount == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("NONREF", ()),
        ("NONREF//NONREF", ()),
        ("ORDER-7", ("ORDER-7",)),
        ("NONREF//BANK-9", ("BANK-9",)),
        ("KREF+//BANK-9", ("BANK-9",)),
        ("29-07-2026 10:05//BANK-9", ("29-07-2026 10:05", "BANK-9")),
        ("ORDER-WITH-MORE-THAN-SIXTEEN//BANK-9", ("ORDER-WITH-MORE-THAN-SIXTEEN", "BANK-9")),
        ("", ()),
    ],
)
def test_the_customers_reference_stands_before_the_banks(
    line: Callable[..., StatementLine], text: str, references: tuple[str, ...]
) -> None:
    assert line(f":61:260131C5,00NTRF{text}").references == references


def test_supplementary_details_are_told_behind_the_text(line: Callable[..., StatementLine]) -> None:
    assert line(":61:260131C5,00NTRFNONREF", "/OCMT/USD6,/", ":86:Rent").description == "Rent /OCMT/USD6,/"


def test_the_details_of_a_line_may_come_in_several_fields(line: Callable[..., StatementLine]) -> None:
    assert line(":61:260131C5,00NTRFNONREF", ":86:Rent", ":86:of May").description == "Rent of May"


def test_a_line_of_text_may_look_like_a_field_that_there_is_not(line: Callable[..., StatementLine]) -> None:
    assert line(":61:260131C5,00NTRFNONREF", ":86:paid at 12", ":10:00").description == "paid at 12 :10:00"


def test_pages_are_statements_of_their_own_whatever_stands_around_them(given: Give) -> None:
    first = message(closing="C260202EUR5,").replace(":62F:", ":62M:")
    second = message(opening="C260202EUR5,").replace(":60F:", ":60M:")
    envelope = "{1:F01TESTXX00AXXX0000000000}{2:I940TESTXX00XXXXN}{4:\r\n"
    text = envelope + first.replace("\n-\n", "\n-}{5:{CHK:000000000000}}\n\n") + ":940:\n" + second

    pages = mt940.read(given(text))

    assert [page.opening and page.opening.amount for page in pages] == [0, 5]
    assert [page.place for page in pages] == ["line 2", "line 10"]


def test_a_statement_needs_no_lines_and_no_end_but_its_closing_balance(given: Give) -> None:
    text = message(opening="C260130TRY0000000000000000,00", closing="D260130TRY0000000000000012,00")

    [statement] = mt940.read(given(text.replace("\n-\n", "")))

    assert (statement.currency, statement.lines) == ("TRY", ())
    assert statement.closing == Balance(Decimal(-12), date(2026, 1, 30))


def test_what_the_bank_says_of_the_whole_statement_belongs_to_no_line(given: Give) -> None:
    text = message(":86:before", ":61:260131C5,NTRFNONREF").replace("\n-\n", "\n:64:C260202EUR9,\n:86:after\n-XXX\n")

    [[line]] = [one.lines for one in mt940.read(given(text))]

    assert line.description == ""


def test_a_statement_without_a_number_is_called_by_its_reference(given: Give) -> None:
    identifiers = [
        mt940.read(given(message().replace(":28C:1/1\n", number)))[0].identifier for number in ("", ":28C:0\n")
    ]

    assert identifiers == ["REF", "REF"]


def test_texts_hold_no_control_characters_and_are_cut(line: Callable[..., StatementLine]) -> None:
    read = line(":61:260131C5,NTRFNONREF", ":86:a\x07b\x00c\x85d  e", "f" * 2000)

    assert read.description.startswith("a b c d e f")
    assert (len(read.description), read.description[-1]) == (1000, "…")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_text_is_utf_8_or_else_latin_1(given: Give, encoding: str) -> None:
    text = message(":61:260131C5,NTRFNONREF", ":86:Müller zahlt").replace("\n", "\r\n")

    [[line]] = [one.lines for one in mt940.read(given(text.encode(encoding)))]

    assert line.description == "Müller zahlt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (message(":61:260131C5.00NTRFNONREF"), "line 5: '260131C5.00NTRFNONREF' is not a statement line"),
        (message(":61:260131C5 000,00NTRFNONREF"), "line 5: '260131C5 000,00NTRFNONREF' is not a statement line"),
        (message(":61:260131C1234567890123,4567NTRFNONREF"), "line 5: '260131C1234567890123,4567NTRFNONREF' is not"),
        (message(":61:260131C5,00"), "line 5: '260131C5,00' is not a statement line"),
        (message(":61:260131C5,0,0NTRFNONREF"), "line 5: '5,0,0' is not an amount"),
        (message(":61:260131X5,00NTRFNONREF"), "line 5: '260131X5,00NTRFNONREF' is not a statement line"),
        (message(":61:261331C5,00NTRFNONREF"), "line 5: there is no day 2026-13-31"),
        (message(":61:260231C5,00NTRFNONREF"), "line 5: there is no day 2026-02-31"),
        (message(":61:26013102C5,00NTRFNONREF"), "line 5: there is no day 2026-02-"),
        (message(opening="X260130EUR0,"), "line 4: 'X260130EUR0,' is not a balance"),
        (message(opening="C260130eur0,"), "line 4: 'eur' is not a currency code"),
        (message(opening="C260130EUR"), "line 4: it is empty where an amount should stand"),
        (message(opening="C260130EUR0.50"), "line 4: '0.50' is not an amount"),
        (message("more"), "line 4: 'C260130EUR0, more' is not a balance"),
        (message(closing="C260202USD0,"), "line 5: it closes in USD and opened in EUR"),
        (message(":25:x"), "line 5: :25: does not belong here"),
        (message(":60F:C260130EUR0,"), "line 5: it is the second :60: of the statement that began in line 1"),
        (message().replace("-\n", ":62F:C260202EUR9,\n"), "line 6: it is the second :62:"),
        (message().replace("-\n", ":61:260131C5,NTRFNONREF\n"), "line 6: :61: does not belong here"),
        (message() + ":61:260131C5,NTRFNONREF\n", "line 7: :61: stands outside of a statement"),
        (message(":16:260131C5,NTRFNONREF"), "line 5: :16: is not a field of an MT940"),
        (":62F:C260202EUR0,\n-", "line 1: :62F: stands outside of a statement"),
        (":20:REF\n:25:1\n:60F:C260130EUR0,\n-\n", "line 3: the statement that began in line 1 ends without closing"),
        (":20:REF\n:25:1\n:62F:C260130EUR0,\n-\n", "line 3: :62F: does not belong here"),
        (":20:REF\n:25:1\n:86:text\n:60F:C260130EUR0,\n", "line 3: :86: does not belong here"),
        (":20:REF\n:60F:C260130EUR0,\n:62F:C260130EUR0,\n", "line 3: the statement that began in line 1 ends without"),
        (message() + ":20:REF\n:25:1\n", "line 8: the statement that began in line 7 ends without opening balance"),
    ],
)
def test_what_breaks_the_rules_is_refused_with_its_line(refusal: Callable[[str], str], text: str, words: str) -> None:
    assert f"'given.csv', {words}" in refusal(text)


def test_digits_of_other_scripts_are_no_digits(refusal: Callable[[str], str]) -> None:
    assert "is not an amount" in refusal(message(":61:260131C\u0665,00NTRFNONREF"))


def test_a_file_without_a_statement_is_refused(given: Give) -> None:
    with pytest.raises(BadFile, match="no line begins with :20:"):
        mt940.read(given("hello\n"))


def test_without_the_library_it_is_said_how_to_get_it(given: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "mt940":
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(BadUsage) as raised:
        mt940.read(given(made_up.MT940))
    assert raised.value.advice == "pip install 'ledgerctl[bank]'"
