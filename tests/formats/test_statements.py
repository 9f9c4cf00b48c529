"""Statements in any format: which it is, and that the formats say the same of the same account."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from ledgerctl.config import StatementMap
from ledgerctl.core.statements import Balance, Statement
from ledgerctl.errors import BadFile, BadUsage
from ledgerctl.formats import statements
from ledgerctl.formats.bank import whole
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

Give = Callable[[bytes | str], Input]
FILES = Path(__file__).parent.parent / "data" / "statements"


def read_file(name: str) -> list[Statement]:
    with (FILES / name).open("rb") as stream:
        return statements.read(Input(name, stream), None, None)


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (made_up.MT940, "mt940"),
        (made_up.CAMT053, "camt053"),
        (made_up.OFX_SGML, "ofx"),
        (made_up.OFX_XML, "ofx"),
        (made_up.CSV, "csv"),
        ("\ufeff" + made_up.CAMT053, "camt053"),
        ("{1:F01TESTXX00AXXX0000000000}{2:I940TESTXX00XXXXN}{4:\n" + made_up.MT940, "mt940"),
        ("\r\n\r\n<OFX>", "ofx"),
        ("Day;Amount\n", "csv"),
    ],
)
def test_a_format_is_known_by_its_content(text: str, format: str) -> None:
    assert statements.detect(text.encode(), "a.txt") == format


def test_a_message_in_utf_16_is_known_too() -> None:
    assert statements.detect(made_up.CAMT053.encode("utf-16"), "a.xml") == "camt053"


@pytest.mark.parametrize(
    "data",
    [b"", b" \n", b"<html>log in, please</html>", b"%PDF-1.7\x00\x01,", b"hello", b"<Document xmlns='urn:other'/>"],
)
def test_what_fits_no_format_is_refused_with_the_option_that_names_one(data: bytes) -> None:
    with pytest.raises(BadFile) as raised:
        statements.detect(data, "a.csv")

    assert "'a.csv'" in str(raised.value)
    assert "--format csv or mt940 or camt053 or ofx" in raised.value.advice or not data.strip()


def test_every_format_says_the_same_of_the_same_account(given: Give) -> None:
    texts = (made_up.MT940, made_up.CAMT053, made_up.OFX_SGML, made_up.CSV)
    read = [statements.read(given(text), None, made_up.CSV_MAP) for text in texts]

    for [statement] in read:
        assert statement.currency == "EUR"
        assert statement.closing == Balance(Decimal("1087.50"), date(2026, 2, 2))
        assert [(line.booked_on, line.amount) for line in statement.lines] == [
            (date(2026, 1, 31), Decimal("-12.50")),
            (date(2026, 2, 2), Decimal("100.00")),
        ]
        assert statement.lines[0].counterparty == "Corner Shop"
        assert not statement.difference


def test_compressed_files_are_read_as_what_is_in_them(given: Give) -> None:
    assert statements.read(given(gzip.compress(made_up.MT940.encode())), None, None) == statements.read(
        given(made_up.MT940), None, None
    )


def test_a_format_that_is_named_wins_and_one_that_there_is_not_is_refused(given: Give) -> None:
    with pytest.raises(BadFile, match="no line begins with :20:"):
        statements.read(given(made_up.CAMT053), "mt940", None)
    with pytest.raises(BadUsage, match="there is no format 'qif'"):
        statements.read(given(made_up.CAMT053), "qif", None)


def test_a_csv_needs_a_map(given: Give) -> None:
    with pytest.raises(BadUsage) as raised:
        statements.read(given(made_up.CSV), None, None)

    assert "[statement.maps.NAME]" in raised.value.advice


@pytest.mark.parametrize("format", ["mt940", "camt053", "ofx"])
def test_what_decompresses_to_more_than_any_statement_has_is_refused(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "SIZE_MAX", 1 << 20)
    bomb = gzip.compress(b" " * ((1 << 20) + 1))

    with pytest.raises(BadFile, match="more than 1 MB when it is decompressed"):
        statements.read(Input("bomb.gz", io.BytesIO(bomb)), format, None)


def test_statements_of_a_german_bank_tie_and_chain() -> None:
    read = read_file("sepa_mt9401.sta")

    assert (len(read), sum(len(one.lines) for one in read)) == (26, 97)
    assert [one for one in read if one.difference] == []
    pages: dict[str, list[Statement]] = {}
    for one in read:
        pages.setdefault(one.account, []).append(one)
    assert len(pages) == 20
    for after in (one for account in pages.values() for one in account[1:]):
        before = pages[after.account][pages[after.account].index(after) - 1]
        assert before.closing is not None
        assert after.opening is not None
        assert before.closing.amount == after.opening.amount
    assert read[0].lines[5].amount == Decimal("-204.88")  # RCR: a credit that was taken back
    assert read[0].lines[0].references == ("TFNR 40005 00005", "TFNr 40005 MSGID", "0724710345313905")


def test_statements_of_a_dutch_bank_tie_without_a_line_between_them() -> None:
    first, second = read_file("rabobank-iban.sta")

    assert (first.account, first.currency) == ("NL71RABO0123456789", "EUR")
    assert not (first.difference or second.difference)
    assert first.closing == second.opening
    assert first.lines[1].counterparty == "JOHN DOE"
    assert first.lines[1].description.startswith("Reference 201301234")


def test_two_statements_of_one_message_tie_and_chain() -> None:
    first, second = read_file("camt053.v2.multi.statement.xml")

    assert not (first.difference or second.difference)
    assert first.closing is not None
    assert second.opening is not None
    assert first.closing.amount == second.opening.amount
    assert (second.lines[0].amount, second.lines[0].counterparty) == (Decimal("-7.00"), "Company Name 2")


def test_a_download_in_sgml_and_one_with_a_header_of_xml_are_read() -> None:
    [bank], [card] = read_file("bank_medium.ofx"), read_file("anzcc.ofx")

    assert (bank.account, bank.currency, len(bank.lines)) == ("160000100/12300 000012345678", "CAD", 3)
    assert bank.closing == Balance(Decimal("382.34"), date(2009, 5, 23))
    assert bank.lines[0].counterparty == "MCDONALD'S #112"
    assert (card.account, card.lines[0].amount) == ("1234123412341234", Decimal("-5.50"))
    assert card.closing == Balance(Decimal("-123.45"), date(2017, 5, 10))
    assert (bank.opening, card.opening) == (None, None)


def test_only_a_csv_needs_the_map(given: Give) -> None:
    assert statements.read(given(made_up.MT940), None, StatementMap()) == statements.read(
        given(made_up.MT940), None, None
    )
