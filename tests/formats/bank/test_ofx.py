"""OFX 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile, BadStatement
from ledgerctl.formats.bank import ofx, ofx_tags
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

Give = Callable[[bytes | str], Input]
PAID = "<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260131<TRNAMT>-5.00<FITID>F-1<NAME>Shop</STMTTRN>"


def download(*transactions: str, balance: str = "<BALAMT>5<DTASOF>20260202", header: str = "") -> str:
    """A download on one line, behind its header."""
    return (
        f"{header}<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1<STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>0001</BANKACCTFROM>"
        f"<BANKTRANLIST>{''.join(transactions)}</BANKTRANLIST><LEDGERBAL>{balance}</LEDGERBAL>"
        "</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    )


@pytest.fixture
def line(given: Give) -> Callable[[str], StatementLine]:
    """What is read from one transaction."""

    def read(transaction: str) -> StatementLine:
        [[only]] = [one.lines for one in ofx.read(given(download(transaction)))]
        return only

    return read


@pytest.fixture
def refusal(given: Give) -> Callable[[str | bytes], str]:
    def read(text: str | bytes) -> str:
        with pytest.raises(BadStatement) as raised:
            ofx.read(given(text))
        return str(raised.value)

    return read


def test_a_download_is_an_extract_with_a_closing_balance(given: Give) -> None:
    [statement] = ofx.read(given(made_up.OFX_SGML))

    assert statement == Statement(
        place="statement 1, line 14",
        identifier="20260131/20260202",
        account="99999999/0000000001",
        currency="EUR",
        opening=None,
        closing=Balance(Decimal("1087.50"), date(2026, 2, 2)),
        lines=(
            StatementLine(
                place="transaction 1 of statement 1, line 17",
                booked_on=date(2026, 1, 31),
                valued_on=None,
                amount=Decimal("-12.50"),
                references=("319", "F-9"),
                counterparty="Corner Shop",
                description="Coffee & cake",
            ),
            StatementLine(
                place="transaction 2 of statement 1, line 20",
                booked_on=date(2026, 2, 2),
                valued_on=date(2026, 2, 3),
                amount=Decimal("100.00"),
                references=("RENT-2", "F-10"),
                counterparty="Jane Made-Up",
            ),
        ),
    )


def test_a_card_is_read_like_an_account_and_xml_like_sgml(given: Give) -> None:
    [statement] = ofx.read(given(made_up.OFX_XML))

    assert (statement.account, statement.closing) == ("0000111122223333", Balance(Decimal("-12.50"), date(2026, 2, 2)))
    assert [line.amount for line in statement.lines] == [Decimal("-12.50")]
    assert statement.lines[0].counterparty == "Corner <Shop>"


def test_several_accounts_of_a_download_are_several_statements(given: Give) -> None:
    text = download(PAID)
    response = text[text.index("<STMTTRNRS>") : text.index("</BANKMSGSRSV1>")]

    read = ofx.read(given(text.replace(response, response + response.replace("0001", "0002"))))

    assert [(one.account, one.place) for one in read] == [
        ("0001", "statement 1, line 1"),
        ("0002", "statement 2, line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "amount"),
    [("5", "5"), ("+5.00", "5.00"), ("-5,25", "-5.25"), ("0005.5", "5.5"), ("-0.00", "0.00"), ("1,234", "1.234")],
)
def test_amounts_have_a_point_or_a_comma_and_no_groups(
    line: Callable[[str], StatementLine], text: str, amount: str
) -> None:
    assert str(line(PAID.replace("-5.00", text)).amount) == amount


@pytest.mark.parametrize(
    "text",
    [
        "20260131",
        "202601312359",
        "20260131235959",
        "20260131235959.999",
        "20260131235959[-5:EST]",
        "20260131000000.000[+5.30:IST]",
        "20260131120000[0:GMT]",
        "20260131120000 [-3]",
    ],
)
def test_a_day_is_that_of_the_zone_it_is_written_in(line: Callable[[str], StatementLine], text: str) -> None:
    assert line(PAID.replace("20260131", text)).booked_on == date(2026, 1, 31)


def test_a_transaction_needs_neither_name_nor_memo_nor_number(line: Callable[[str], StatementLine]) -> None:
    read = line("<STMTTRN><DTPOSTED>20260131<TRNAMT>1<CHECKNUM>000</STMTTRN>")

    assert (read.references, read.counterparty, read.description) == ((), "", "")


def test_a_payee_with_an_address_has_a_name_too(line: Callable[[str], StatementLine]) -> None:
    assert line(PAID.replace("<NAME>Shop", "<PAYEE><NAME>Shop<CITY>Town</PAYEE>")).counterparty == "Shop"


def test_a_value_that_is_missing_takes_no_other_into_itself(line: Callable[[str], StatementLine]) -> None:
    read = line(PAID.replace("<NAME>Shop", "<MEMO>\n<NAME>\n<SIC>"))

    assert (read.counterparty, read.description) == ("", "")


def test_what_stands_behind_an_empty_value_stands_beside_it_and_not_in_it() -> None:
    tree = ofx_tags.tree("<OFX><A><B>x<C></C></OFX>", 0)

    assert [(one.name, one.text, one.children) for one in tree.children] == [
        ("A", "", []),
        ("B", "x", []),
        ("C", "", []),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A &amp; B &lt;C&gt;", "A & B <C>"),
        ("A & B; AT&T", "A & B; AT&T"),
        ("&#67;af&#xE9;", "Café"),
        ("<![CDATA[A & <B>]]>", "A & <B>"),
        ("A<!-- not said --> B", "A B"),
        ("A&nbsp;B", "A B"),
    ],
)
def test_named_characters_are_read_and_an_ampersand_alone_is_one(
    line: Callable[[str], StatementLine], text: str, name: str
) -> None:
    assert line(PAID.replace("Shop", text)).counterparty == name


@pytest.mark.parametrize(
    ("encoding", "header"),
    [
        ("utf-8", "CHARSET:1252\n"),
        ("utf-8-sig", ""),
        ("cp1252", "ENCODING:USASCII\nCHARSET:1252\n"),
        ("cp1252", ""),
        ("cp1252", "CHARSET:NONE\n"),
        ("latin-1", "CHARSET:8859-1\n"),
        ("latin-1", '<?xml version="1.0" encoding="ISO-8859-1"?>\n'),
    ],
)
def test_text_is_utf_8_or_else_what_the_header_says(given: Give, encoding: str, header: str) -> None:
    text = download(PAID.replace("Shop", "Müller"), header=header)

    [[line]] = [one.lines for one in ofx.read(given(text.encode(encoding)))]

    assert line.counterparty == "Müller"


@pytest.mark.parametrize(
    ("header", "byte", "words"),
    [
        ("CHARSET:932\n", b"\xfc", "line 2: it is not UTF-8, and the encoding '932' of its header is not read"),
        ("CHARSET:1252\n", b"\x81", "line 2: the byte 0x81 is no character of Windows-1252"),
    ],
)
def test_bytes_of_no_encoding_are_refused_with_their_line(
    refusal: Callable[[str | bytes], str], header: str, byte: bytes, words: str
) -> None:
    assert words in refusal(download(PAID, header=header).encode().replace(b"Shop", byte))


def test_an_account_may_have_no_balance(given: Give) -> None:
    [statement] = ofx.read(given(download(PAID).replace("<LEDGERBAL><BALAMT>5<DTASOF>20260202</LEDGERBAL>", "")))

    assert statement.closing is None


@pytest.mark.parametrize(
    "text", ["hello", "<OFX></OFX>", "<OFX><BANKMSGSRSV1><STMTTRNRS><TRNUID>1</STMTTRNRS></BANKMSGSRSV1></OFX>"]
)
def test_a_file_without_a_statement_is_refused(given: Give, text: str) -> None:
    with pytest.raises(BadFile):
        ofx.read(given(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (download(PAID, PAID.replace("-5.00", "$120")), "transaction 2 of statement 1, line 1, TRNAMT: '$120' is not"),
        (download(PAID.replace("-5.00", "1,234.00")), "line 1, TRNAMT: '1,234.00' is not an amount"),
        (download(PAID.replace("<TRNAMT>-5.00", "")), "transaction 1 of statement 1, line 1: STMTTRN has no TRNAMT"),
        (download(PAID.replace("<FITID>", "<TRNAMT>5<FITID>")), "STMTTRN has more than one TRNAMT"),
        (download(PAID.replace("<DTPOSTED>20260131", "")), "STMTTRN has no DTPOSTED"),
        (download(PAID.replace("20260131", "20260231")), "there is no day 2026-02-31"),
        (download(PAID.replace("20260131", "31.01.2026")), "DTPOSTED '31.01.2026' is not a time of OFX"),
        (download(PAID, balance="<BALAMT></BALAMT><DTASOF>20260202"), "statement 1, line 1, BALAMT: it is empty"),
        (download(PAID, balance="<BALAMT>5"), "LEDGERBAL has no DTASOF"),
        (download(PAID).replace("<CURDEF>EUR", ""), "statement 1, line 1: STMTRS has no CURDEF"),
        (download(PAID).replace("EUR", "euro"), "'euro' is not a currency code"),
        (download(PAID).replace("<ACCTID>0001", ""), "BANKACCTFROM has no ACCTID"),
        (download(PAID).replace("BANKACCTFROM", "OTHERACCTFROM"), "STMTRS names no account"),
        (download(PAID.replace("<FITID>", "<CURRENCY><CURRATE>1<CURSYM>USD</CURRENCY><FITID>")), "an amount in 'USD'"),
        (download(PAID.replace("<FITID>", "<CORRECTFITID>F-0<FITID>")), "it corrects the transaction 'F-0'"),
        (download(PAID).replace("</STMTRS>", "</WRONG>"), "</WRONG> ends what did not begin"),
        (download(PAID)[:-6], "the file ends within <OFX>: its end is missing"),
        (download(PAID).replace("</STMTTRN>", "</STMTTRN>text"), "text stands behind </STMTTRN>: 'text'"),
        (download(PAID) * 2, "<OFX> stands behind the end of <OFX>"),
        (
            download(PAID.replace("Shop", "a < b")),
            "'< b</STMTTRN></BANKT' is not a tag of OFX",
        ),
        (download(PAID.replace("Shop", "&lol;")), "'&lol;' is no character that OFX names"),
        (download(PAID.replace("Shop", "&#xD800;")), "'&#xD800;' is no character that OFX names"),
        (download(PAID.replace("Shop", "&#9999999;")), "'&#9999999;' is no character that OFX names"),
        (download(PAID.replace("Shop", "<![CDATA[x")), "is not a tag of OFX"),
        (download("<A>" * 70), "its elements stand in each other more than 64 deep"),
        (download(PAID, header='<!DOCTYPE OFX [<!ENTITY lol "lol">]>'), "it declares a document type"),
    ],
)
def test_what_breaks_the_rules_is_refused_with_its_place(
    refusal: Callable[[str | bytes], str], text: str, words: str
) -> None:
    said = refusal(text)

    assert words in said
    assert "line 1" in said
