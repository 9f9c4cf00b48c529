"""A CSV of transfers: rows in, requests out, and keys that never change."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given as always
from hypothesis import strategies as st

from ledgerctl.core.model import Request
from ledgerctl.core.rows import Rejected, derived_prefix
from ledgerctl.errors import BadFile, FileChanged
from ledgerctl.formats.dialect import PLAIN, Dialect
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile, derived_key

Give = Callable[[bytes | str], Input]


def rows(source: Input, **options: dict[str, str]) -> list[Request | Rejected]:
    """What the file asks for, a value a row."""
    return read(TransferFile(source, options.get("columns", {}), options.get("constants", {})))


def read(file: TransferFile, size: int = 2) -> list[Request | Rejected]:
    return [row for chunk in file.chunks(file.survey(), 7, size) for row in chunk.rows]


def keys(source: Input, delimiter: str = ",", **options: dict[str, str]) -> list[str]:
    file = TransferFile(source, options.get("columns", {}), options.get("constants", {}), Dialect(delimiter))
    return [row.key for row in read(file) if isinstance(row, Request)]


def test_a_row_is_a_request(given: Give) -> None:
    text = (
        "to,amount,from,currency,idempotency_key,description,reference,effective_at\n"
        "customers:alice,12.50,bank,EUR,k-1,Rent,inv-7,2026-01-31\n"
    )

    [row] = rows(given(text))

    assert isinstance(row, Request)
    assert [(leg.account, leg.side.value, str(leg.amount), leg.currency) for leg in row.legs] == [
        ("bank", "debit", "12.50", "EUR"),
        ("customers:alice", "credit", "12.50", "EUR"),
    ]
    assert (row.key, row.kind, row.description, row.reference) == ("k-1", "transfer", "Rent", "inv-7")
    assert row.effective_at is not None
    assert row.effective_at.isoformat() == "2026-01-31T00:00:00+00:00"
    assert (row.import_id, row.import_row) == (7, 1)


def test_what_a_row_leaves_empty_is_absent(given: Give) -> None:
    [row] = rows(given("from,to,amount,currency,description,reference,effective_at\nbank,alice,1,,,,\n"))

    assert isinstance(row, Request)
    assert (row.description, row.reference, row.effective_at, row.metadata) == (None, None, None, None)
    assert row.legs[0].currency is None


def test_the_survey_has_the_hash_the_rows_and_the_accounts(given: Give) -> None:
    content = b"from,to,amount\nbank,alice,1\nbank,bob,1\nnot valid,bob,1\nshort\n,,\n"

    survey = TransferFile(given(content), {}, {}).survey()

    assert survey.sha256 == sha256(content).digest()
    assert survey.rows == 5
    assert survey.accounts == {"bank", "alice", "bob"}


def test_the_key_of_a_row_derives_from_the_bytes_and_its_number() -> None:
    assert derived_key(bytes(range(32)), 12) == "f1:000102030405060708090a0b0c0d0e0f:12"


def test_derived_keys_are_frozen(given: Give) -> None:
    """They are stored for ever: a change here posts every file a second time."""
    content = b'from,to,amount\r\nbank,alice,1\r\n"bank","ali\nce",1\r\nbank,bob,2\r\n'

    assert keys(given(content)) == [
        "f1:3bae1db58907258994a76f9551bff1d6:1",
        "f1:3bae1db58907258994a76f9551bff1d6:3",
    ]
    assert sha256(content).hexdigest().startswith("3bae1db58907258994a76f9551bff1d6")


def test_derived_keys_are_the_same_whatever_the_options(given: Give) -> None:
    content = "from,to,amount,other\nbank,alice,1,x\nbank,bob,2,x\n"

    plain = keys(given(content))

    assert len(plain) == 2
    assert keys(given(content), columns={"to": "c:{to}", "description": "other"}) == plain
    assert keys(given(content), constants={"currency": "EUR", "from": "cash", "reference": "r"}) == plain


@pytest.mark.parametrize(
    ("line", "field", "code", "words"),
    [
        ("bank,alice,1e3,EUR,k", "amount", "BAD_AMOUNT", "exponents are not read"),
        ("bank,alice,NaN,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,Infinity,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,-5,EUR,k", "amount", "BAD_AMOUNT", "it is negative"),
        ("bank,alice,(5),EUR,k", "amount", "BAD_AMOUNT", "it is negative"),
        ("bank,alice,0,EUR,k", "amount", "BAD_AMOUNT", "it is zero"),
        ("bank,alice,0.00,EUR,k", "amount", "BAD_AMOUNT", "it is zero"),
        ("bank,alice,,EUR,k", "amount", "BAD_AMOUNT", "it is empty"),
        ("bank,alice,12.50 USD,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice, 12,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,+5,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,1_000,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,007,EUR,k", "amount", "BAD_AMOUNT", "it starts with 0"),
        ("bank,alice,.5,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice,5.,EUR,k", "amount", "BAD_AMOUNT", "it is not a plain number"),
        ('bank,alice,"1,234.50",EUR,k', "amount", "BAD_AMOUNT", "a ',' is neither read as a decimal point nor"),
        ("bank,alice,１２,EUR,k", "amount", "BAD_AMOUNT", "only the digits 0-9 are read"),  # noqa: RUF001
        ("bank,alice,−5,EUR,k", "amount", "BAD_AMOUNT", "only the digits 0-9 are read"),  # noqa: RUF001
        ('bank,alice,"5\n",EUR,k', "amount", "BAD_AMOUNT", "it is not a plain number"),
        ("bank,alice," + "9" * 25 + ",EUR,k", "amount", "BAD_AMOUNT", "more digits than the ledger can count"),
        ("bank,alice," + "9" * 100 + ",EUR,k", "amount", "BAD_AMOUNT", "it is too long"),
        ("bank,alice,1,eur,k", "currency", "BAD_TEXT", "'eur' is not a currency code"),
        ("bank,alice,1,€,k", "currency", "BAD_TEXT", "'€' is not a currency code"),
        (",alice,1,EUR,k", "from", "BAD_ACCOUNT_CODE", "'' is not an account code"),
        ("the bank,alice,1,EUR,k", "from", "BAD_ACCOUNT_CODE", "'the bank' is not an account code"),
        ("bank,élise,1,EUR,k", "to", "BAD_ACCOUNT_CODE", "'élise' is not an account code"),
        ("bank," + "x" * 129 + ",1,EUR,k", "to", "BAD_ACCOUNT_CODE", "is not an account code"),
        ("bank,alice,1,EUR,", "idempotency_key", "BAD_TEXT", "it is empty"),
        ("bank,alice,1,EUR, ", "idempotency_key", "BAD_TEXT", "it is empty"),
        ("bank,alice,1,EUR," + "k" * 256, "idempotency_key", "BAD_TEXT", "it is longer than 255 characters (256)"),
        ("bank,alice,1,EUR,k\x1b[31m", "idempotency_key", "BAD_TEXT", "it holds a control character: 'k\\x1b[31m'"),
        ("bank,alice,1", None, "BAD_ROW", "it has 3 cells where the header has 5"),
        ("bank,alice,1,EUR,k,extra", None, "BAD_ROW", "it has 6 cells where the header has 5"),
    ],
)
def test_a_bad_row_names_its_field_and_its_reason(
    given: Give, line: str, field: str | None, code: str, words: str
) -> None:
    good = "bank,alice,1,EUR,good"

    [_, row, _] = rows(given(f"from,to,amount,currency,idempotency_key\n{good}\n{line}\n{good}\n"))

    assert isinstance(row, Rejected)
    assert (row.row, row.field, row.code) == (2, field, code)
    assert words in row.message
    assert "\x1b" not in row.message


@pytest.mark.parametrize(
    ("column", "cell", "code"),
    [
        ("description", "x" * 1001, "BAD_TEXT"),
        ("description", "a\x07b", "BAD_TEXT"),
        ("reference", "x" * 256, "BAD_TEXT"),
        ("effective_at", "31.01.2026", "BAD_TIME"),
        ("effective_at", "2026-02-30", "BAD_TIME"),
        ("effective_at", "now", "BAD_TIME"),
    ],
)
def test_a_bad_text_or_time_names_its_field(given: Give, column: str, cell: str, code: str) -> None:
    [row] = rows(given(f"from,to,amount,{column}\nbank,alice,1,{cell}\n"))

    assert isinstance(row, Rejected)
    assert (row.field, row.code) == (column, code)


def test_a_megabyte_in_a_cell_is_a_bad_row_with_a_short_message(given: Give) -> None:
    big = "x" * (1 << 20)
    for line in (f"{big},alice,1,d", f"bank,alice,{big},d", f"bank,alice,1,{big}"):
        [row] = rows(given(f"from,to,amount,description\n{line}\n"))
        assert isinstance(row, Rejected)
        assert len(row.message) < 200


@pytest.mark.parametrize(
    ("header", "missing"),
    [("to,amount", "from"), ("from,amount", "to"), ("from,to", "amount"), ("From,to,amount", "from")],
)
def test_a_missing_column_is_named_with_those_there_are(given: Give, header: str, missing: str) -> None:
    with pytest.raises(BadFile) as caught:
        TransferFile(given(f"{header}\n1,2,3\n"), {}, {}).survey()

    assert f"there is no column '{missing}'" in str(caught.value)
    assert f"its columns are: {', '.join(header.split(','))}" in caught.value.advice
    assert f"--map {missing}=COLUMN" in caught.value.advice


def test_options_stand_in_for_missing_columns(given: Give) -> None:
    [row] = rows(
        given("who,how much\n874,1\n"),
        columns={"to": "bank:{who}", "amount": "how much"},
        constants={"from": "cash", "currency": "CZK"},
    )

    assert isinstance(row, Request)
    assert [leg.account for leg in row.legs] == ["cash", "bank:874"]
    assert row.legs[0].currency == "CZK"


def test_an_empty_part_of_a_template_is_a_bad_row(given: Give) -> None:
    [row] = rows(given("from,to,amount,bank,key\nbank,alice,1,,k\n"), columns={"to": "b:{bank}:{to}"})

    assert row == Rejected(1, "to", "BAD_TEXT", "the column 'bank' is empty", "", "k")


def test_a_row_that_cannot_be_read_has_its_key_if_that_can_be_told(given: Give) -> None:
    keyed = "from,to,amount,key\nbank,alice,x,k\nbank,alice,x,\nbank,alice,x,a\x1fb\nbank,alice,1\n"
    assert [row.key for row in rows(given(keyed))] == ["k", None, None, None]

    derived = b"from,to,amount\nbank,alice,x\nbank\n"
    assert [row.key for row in rows(given(derived.decode()))] == [
        derived_key(sha256(derived).digest(), n) for n in (1, 2)
    ]


def test_a_file_that_changed_between_the_passes_is_refused(given: Give) -> None:
    file = TransferFile(given("from,to,amount\nbank,alice,1\n"), {}, {})
    survey = file.survey()
    changed = TransferFile(given("from,to,amount\nbank,alice,2\n"), {}, {})

    with pytest.raises(FileChanged, match="changed while it was read"):
        list(changed.chunks(survey, 7, 2))


def test_a_file_that_grew_between_the_passes_is_refused(given: Give) -> None:
    source = given("from,to,amount\nbank,alice,1\n")
    file = TransferFile(source, {}, {})
    survey = file.survey()
    source.stream.seek(0, io.SEEK_END)
    source.stream.write(b"bank,alice,2\n")

    with pytest.raises(FileChanged):
        list(file.chunks(survey, 7, 2))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_no_row_is_given_that_the_survey_did_not_read(given: Give, compress: Callable[[bytes], bytes]) -> None:
    """Rows may be posted before the end of the file: what comes out has to be what was hashed."""
    row = "bank,alice,1.00,{:>90}\n"
    content = "from,to,amount,description\n" + "".join(map(row.format, range(30_000)))
    survey = TransferFile(given(compress(content.encode())), {}, {}).survey()
    at = len(content) - 1_000_000
    changed = TransferFile(given(compress(f"{content[:at]}{content[at:].replace('1.00', '9.00')}".encode())), {}, {})

    found: list[Request | Rejected] = []
    with pytest.raises(FileChanged):
        for chunk in changed.chunks(survey, 7, 100):
            found += chunk.rows

    assert 10_000 < len(found) < 20_000
    assert {str(row.legs[0].amount) for row in found if isinstance(row, Request)} == {"1.00"}


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1])
def test_a_file_that_lost_its_end_between_the_passes_is_refused(given: Give, size: int) -> None:
    head = b"from,to,amount,description\n"
    content = head + b"bank,alice,1," + b"x" * (size - len(head) - 14) + b"\n"
    assert len(content) == size
    survey = TransferFile(given(content + b"bank,alice,2,y\n"), {}, {}).survey()

    with pytest.raises(FileChanged):
        list(TransferFile(given(content), {}, {}).chunks(survey, 7, 1))


def test_a_column_called_key_is_the_key(given: Give) -> None:
    file = TransferFile(given("from,to,amount,key\nbank,alice,1,mine\n"), {}, {})
    survey = file.survey()

    [chunk] = file.chunks(survey, 7, 10)

    assert (survey.keyed, [row.key for row in chunk.requests()]) == (True, ["mine"])
    assert file.sources()["idempotency_key"] == "column 'key'"
    assert [row.key for row in file.head(1) if isinstance(row, Request)] == ["mine"]


def test_a_file_with_both_names_of_the_key_has_to_say_which_is_meant(given: Give) -> None:
    source = given("from,to,amount,key,idempotency_key\nbank,alice,1,mine,yours\n")

    with pytest.raises(BadFile, match="a column 'idempotency_key' and a column 'key'"):
        TransferFile(source, {}, {}).survey()
    for meant, key in (("key", "mine"), ("idempotency_key", "yours")):
        [row] = TransferFile(source, {"idempotency_key": meant}, {}).head(1)
        assert isinstance(row, Request)
        assert row.key == key


def test_a_date_in_another_form_is_asked_for_in_that_form(given: Give) -> None:
    file = TransferFile(
        given("from,to,amount,effective_at\nbank,alice,1,2026-01-31\n"), {}, {}, Dialect(date="%d.%m.%Y")
    )

    [row] = file.head(1)

    assert isinstance(row, Rejected)
    assert (row.field, row.hint) == ("effective_at", "write it as %d.%m.%Y, for example 23.11.2026")


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("bank,alice,1,euro,", ("currency", "'euro' is not a currency code")),
        ("bank,alice,1,EUR," + "x" * 1001, ("description", "it is longer than 1000 characters (1001)")),
        ("bank", (None, "it has 1 cell where the header has 5")),
    ],
)
def test_what_is_wrong_names_its_field_once(given: Give, cells: str, told: tuple[str | None, str]) -> None:
    [row] = TransferFile(given(f"from,to,amount,currency,description\n{cells}\n"), {}, {}).head(1)

    assert isinstance(row, Rejected)
    assert (row.field, row.message) == told


def test_the_rows_of_a_header_alone_are_none(given: Give) -> None:
    assert rows(given("from,to,amount\n")) == []


def test_quoted_semicolon_files_with_crlf_are_read(given: Give) -> None:
    file = TransferFile(given('"from";to;"amount"\r\n"bank";"alice";1.50\r\nbank;bob;"2"\r\n'), {}, {}, Dialect(";"))
    found = read(file)

    assert [row.legs[1].account for row in found if isinstance(row, Request)] == ["alice", "bob"]


@always(st.binary(max_size=200).map(lambda tail: b"from,to,amount,currency,idempotency_key\n" + tail))
def test_any_bytes_are_requests_rejections_or_a_bad_file(content: bytes) -> None:
    with suppress(BadFile):
        for row in rows(Input("random", io.BytesIO(content))):
            assert isinstance(row, (Request, Rejected))


TEXT = st.text(st.characters(exclude_characters='"\0', exclude_categories=["Cs"]), max_size=12)


@always(st.lists(st.lists(TEXT, min_size=7, max_size=7), max_size=4))
def test_any_cells_are_requests_or_rejections(table: list[list[str]]) -> None:
    lines = [",".join(f'"{cell}"' for cell in row) for row in table]
    content = "\n".join(["from,to,amount,currency,description,reference,effective_at", *lines, ""]).encode()

    found = rows(Input("random", io.BytesIO(content)))

    assert len(found) == len(table)


_CELLS = {
    "from": ["bank", "a:1", "", "no code", "\u00e4"],
    "to": ["alice", "bank", "", "x" * 129],
    "amount": ["1", "12.50", "0.10", "0", "-1", "1e3", "1\n2", "", "9" * 25],
    "currency": ["EUR", "", "eur", "JPY"],
    "idempotency_key": ["", "  ", "k-{}", "caf\u00e9-{}", "cafe\u0301-{}", "k" * 256, "tab\t{}"],
    "description": ["", "Rent", "two\nlines", "\u00fcber", "bell\x07", "d" * 1001],
    "reference": ["", "inv-7", "r" * 256],
    "effective_at": ["", "2026-01-31", "2026-01-31T10:00:00+02:00", "31.01.2026", "\uff12026-01-31"],
}
_FOREIGN = _CELLS | {
    "amount": ["1,50", "1.234,50", "1 234,5", "1", "0,00", "1.50", "-1,50", "1,2,3", ""],
    "effective_at": ["", "31.01.2026", "01.12.2026", "2026-01-31", "31.02.2026", "x"],
}
_WAYS_TO_READ = [
    (_CELLS, {}, {}, PLAIN),
    (_CELLS, {"from": "{from}:{to}", "description": "{reference}-{description}"}, {}, PLAIN),
    (_CELLS, {"idempotency_key": "order-{reference}-{idempotency_key}"}, {"currency": "EUR", "to": "fees"}, PLAIN),
    (_FOREIGN, {}, {"reference": "imported"}, Dialect(decimal=",", date="%d.%m.%Y")),
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[TransferFile, TransferFile]:
    """The same rows twice, and the second time one behind them that is too short: all are then read one by one."""
    cells, columns, constants, dialect = draw(st.sampled_from(_WAYS_TO_READ))
    good = {name: values[:2] for name, values in cells.items()} | {"idempotency_key": ["k-{}", "order {}"]}
    cells = draw(st.sampled_from([cells, good]))
    names = [name for name in cells if name != "idempotency_key" or draw(st.booleans())]
    if not all(name in names or name in constants for name in columns):
        columns = {}
    row = st.tuples(*(st.sampled_from(cells[name]) for name in names))
    rows = [
        [cell.format(number) for cell in one] for number, one in enumerate(draw(st.lists(row, min_size=1, max_size=8)))
    ]
    text = "".join(",".join(f'"{cell}"' for cell in one) + "\n" for one in [names, *rows])
    at_once, one_by_one = (
        TransferFile(Input("x", io.BytesIO(content.encode())), columns, constants, dialect)
        for content in (text, f"{text}short\n")
    )
    return at_once, one_by_one


@always(tables())
def test_rows_read_at_once_are_those_read_one_by_one(files: tuple[TransferFile, TransferFile]) -> None:
    hashes = [file.survey().sha256 for file in files]

    found, expected = (
        [
            row._replace(id=UUID(int=0), key=row.key.removeprefix(derived_prefix(digest)))
            if isinstance(row, Request)
            else row._replace(key=(row.key or "").removeprefix(derived_prefix(digest)))
            for row in read(file, 9)
        ]
        for file, digest in zip(files, hashes, strict=True)
    )

    assert found == expected[:-1]
