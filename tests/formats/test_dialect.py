"""How a file is written: decimal commas, encodings, dates, preambles."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from ledgerctl.core.model import Request
from ledgerctl.core.rows import Rejected
from ledgerctl.errors import BadAmount, BadFile
from ledgerctl.formats.dialect import PLAIN, Dialect
from ledgerctl.formats.records import Input, Records
from ledgerctl.formats.transfer_csv import TransferFile

Give = Callable[[bytes | str], Input]


def amounts(source: Input, dialect: Dialect) -> list[Decimal | str]:
    file = TransferFile(source, {}, {}, dialect)
    [chunk] = file.chunks(file.survey(), 1, 100)
    return [row.legs[0].amount if isinstance(row, Request) else row.code for row in chunk.rows]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5", "5"),
        ("1234,50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1.234.567,8", "1234567.8"),
        ("1 234 567,8", "1234567.8"),
        ("1\u00a0234,50", "1234.50"),
        ("1\u202f234", "1234"),
        ("1.234", "1234"),
        ("0,05", "0.05"),
    ],
)
def test_a_decimal_comma_is_the_point(given: Give, text: str, amount: str) -> None:
    assert amounts(given(f"from;to;amount\na;b;{text}\n"), Dialect(";", ",")) == [Decimal(amount)]


@pytest.mark.parametrize(
    "text", ["0.123", "12.50", "1.23,4", "1.2345,6", "12.34.567", "1.234 567", "1,2,3", ",5", "5,", "1234.567,00",
             "-1,00", "0,00", "01,5", "1e3", "\u0661", "", "1'234,50"],
)  # fmt: skip
def test_what_is_not_clearly_one_amount_is_none(given: Give, text: str) -> None:
    assert amounts(given(f"from;to;amount\na;b;{text}\n"), Dialect(";", ",")) == ["BAD_AMOUNT"]


def test_without_a_decimal_comma_groups_are_refused_as_ever(given: Give) -> None:
    assert amounts(given("from;to;amount\na;b;1.234,50\na;b;1.50\n"), Dialect(";")) == ["BAD_AMOUNT", Decimal("1.50")]


def test_the_sums_of_a_survey_are_read_alike(given: Give) -> None:
    file = TransferFile(given("from;to;amount\na;b;1.000,50\na;b;0,50\na;b;1.5\n"), {}, {}, Dialect(";", ","))

    assert file.survey(amounts=True).amounts == {(None, "a"): Decimal(1001)}


@pytest.mark.parametrize(
    ("form", "text", "sent"),
    [
        ("%d.%m.%Y", "31.01.2026", "2026-01-31T00:00:00+00:00"),
        ("%d.%m.%Y %%H", "31.01.2026 %H", "2026-01-31T00:00:00+00:00"),
        ("%d/%m/%y", "31/01/26", "2026-01-31T00:00:00+00:00"),
        ("%Y%m%d %H:%M", "20260131 13:05", "2026-01-31T13:05:00+00:00"),
        ("%Y%m%d %H:%M%z", "20260131 13:05+0200", "2026-01-31T11:05:00+00:00"),
    ],
)
def test_dates_are_read_as_their_format_says(given: Give, form: str, text: str, sent: str) -> None:
    file = TransferFile(given(f"from,to,amount,effective_at\na,b,1,{text}\na,b,1,\n"), {}, {}, Dialect(date=form))
    [chunk] = file.chunks(file.survey(), 1, 10)

    [first, second] = [row for row in chunk.rows if isinstance(row, Request)]
    assert first.effective_at is not None
    assert first.effective_at.isoformat() == sent
    assert second.effective_at is None


def test_a_date_is_the_same_payload_however_it_was_written(given: Give) -> None:
    written = [("2026-01-31", PLAIN), ("31.01.2026", Dialect(date="%d.%m.%Y"))]
    prints = []
    for text, dialect in written:
        file = TransferFile(given(f"from,to,amount,effective_at\na,b,1,{text}\n"), {}, {}, dialect)
        [chunk] = file.chunks(file.survey(), 1, 10)
        prints += [row.fingerprint for row in chunk.rows if isinstance(row, Request)]

    assert len(prints) == 2
    assert len(set(prints)) == 1


def test_a_date_of_another_format_is_a_bad_row_that_names_it(given: Give) -> None:
    file = TransferFile(given("from,to,amount,effective_at\na,b,1,2026-01-31\n"), {}, {}, Dialect(date="%d.%m.%Y"))
    [chunk] = file.chunks(file.survey(), 1, 10)

    [bad] = chunk.rows
    assert isinstance(bad, Rejected)
    assert (bad.field, bad.code) == ("effective_at", "BAD_TIME")
    assert "%d.%m.%Y" in bad.message


def test_other_encodings_are_read_when_they_are_named(given: Give) -> None:
    content = "a,b\nLuk\u00e1\u0161,\u017d\n".encode("cp1250")

    assert list(Records(given(content), Dialect(encoding="cp1250"))) == [["Luk\u00e1\u0161", "\u017d"]]
    with pytest.raises(BadFile, match="line 2, byte 4 is not UTF-8"):
        list(Records(given(content)))
    with pytest.raises(BadFile, match=r"line 2, byte 2 is not cp1252 \(0x81\)$"):
        list(Records(given(b"a,b\n1\x81,2\n"), Dialect(encoding="cp1252")))


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_preamble_is_skipped_and_rows_count_from_the_header(given: Give, bom: bytes) -> None:
    records = Records(given(bom + b'Export of "today\n\na,b\n1,2\n"3\n3",4\n5,6\n'), Dialect(skip_lines=2))

    [rows] = records.chunks(10)

    assert records.header == ["a", "b"]
    assert (len(rows), records.record) == (3, 3)
    assert list(records.lines) == [4, 5, 7]


def test_a_preamble_longer_than_the_file_leaves_nothing(given: Give) -> None:
    with pytest.raises(BadFile, match="it is empty"):
        Records(given("a,b\n"), Dialect(skip_lines=2))


@pytest.mark.parametrize(
    ("dialect", "field"),
    [
        (Dialect(""), "delimiter"), (Dialect(";;"), "delimiter"), (Dialect('"'), "delimiter"),
        (Dialect(decimal=";"), "decimal"),
        *((Dialect(encoding=name), "encoding") for name in (
            "utf-16", "nix", "rot13", "utf-7", "hex", "unicode_escape", "raw_unicode_escape", "idna", "punycode",
            "iso2022_jp", "hz", "undefined", "",
        )),
        (Dialect(date="%d.%m."), "date"), (Dialect(date="dd.mm.yyyy"), "date"), (Dialect(date="%Q"), "date"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(dialect: Dialect, field: str) -> None:
    wrong = dialect.wrong()

    assert wrong is not None
    assert wrong[0] == field


@pytest.mark.parametrize(
    "dialect",
    [PLAIN, Dialect("\t", ",", "latin-1", "%d.%m.%Y", 3), Dialect(encoding="UTF8"), Dialect(encoding="utf-8-sig")],
)
def test_what_can_be_used_is_not(dialect: Dialect) -> None:
    assert dialect.wrong() is None


@pytest.mark.parametrize(
    ("text", "problem"), [("-1,00", "it is negative"), ("0,00", "it is zero"), ("1.5", "decimal comma")]
)
def test_an_amount_with_a_comma_is_refused_in_the_words_of_its_file(text: str, problem: str) -> None:
    with pytest.raises(BadAmount, match=f"'{text}' is not an amount: .*{problem}") as refused:
        Dialect(decimal=",").read_amount(text)

    assert "','" in refused.value.advice
