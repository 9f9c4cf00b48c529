"""ISO 20022 camt.053."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile, BadStatement
from ledgerctl.formats.bank import camt053
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

Give = Callable[[bytes | str], Input]
BOOKED = '<Amt Ccy="EUR">5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-01-31</Dt></BookgDt>'


def balance(code: str, amount: str, day: str = "2026-01-30", currency: str = "EUR") -> str:
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{amount}</Amt>'
        f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def message(*entries: str, balances: str = balance("OPBD", "0") + balance("CLBD", "0"), version: str = "02") -> str:
    """A message on one line, with these contents of its entries."""
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt><Stmt><Id>S</Id>'
        f"<Acct><Id><Othr><Id>0000000001</Id></Othr></Id><Ccy>EUR</Ccy></Acct>{balances}"
        f"{''.join(f'<Ntry>{entry}</Ntry>' for entry in entries)}</Stmt></BkToCstmrStmt></Document>"
    )


def details(*texts: str) -> str:
    return f"<NtryDtls>{''.join(f'<TxDtls>{text}</TxDtls>' for text in texts)}</NtryDtls>"


@pytest.fixture
def line(given: Give) -> Callable[[str], StatementLine]:
    """What is read from one entry."""

    def read(entry: str) -> StatementLine:
        [[only]] = [one.lines for one in camt053.read(given(message(entry)))]
        return only

    return read


@pytest.fixture
def refusal(given: Give) -> Callable[[str], str]:
    def read(text: str) -> str:
        with pytest.raises(BadStatement) as raised:
            camt053.read(given(text))
        return str(raised.value)

    return read


def test_a_statement_is_read_with_its_balances_lines_and_places(given: Give) -> None:
    [statement] = camt053.read(given(made_up.CAMT053))

    assert statement == Statement(
        place="statement 1, line 5",
        identifier="S-7",
        account="XX00TEST0000000001",
        currency="EUR",
        opening=Balance(Decimal("1000.00"), date(2026, 1, 30)),
        closing=Balance(Decimal("1087.50"), date(2026, 2, 2)),
        lines=(
            StatementLine(
                place="entry 1 of statement 1, line 12",
                booked_on=date(2026, 1, 31),
                valued_on=date(2026, 1, 31),
                amount=Decimal("-12.50"),
                references=("E2E-7", "BANK-9"),
                counterparty="Corner Shop",
                description="Coffee and cake",
            ),
            StatementLine(
                place="entry 2 of statement 1, line 22",
                booked_on=date(2026, 2, 2),
                valued_on=None,
                amount=Decimal("100.00"),
                counterparty="Jane Made-Up",
                description="Rent",
            ),
        ),
    )


@pytest.mark.parametrize("version", ["01", "02", "04", "08", "13"])
def test_every_version_of_the_family_is_read(given: Give, version: str) -> None:
    [statement] = camt053.read(given(message(BOOKED, version=version)))

    assert statement.lines[0].amount == 5


@pytest.mark.parametrize(
    "root",
    ["<Document/>", '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"/>', "<html><body/></html>"],
)
def test_other_messages_are_no_camt_053(given: Give, root: str) -> None:
    with pytest.raises(BadFile, match=r"no camt\.053"):
        camt053.read(given(root))


def test_a_message_without_a_statement_is_refused(given: Give) -> None:
    text = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt/></Document>'

    with pytest.raises(BadFile, match="there is no Stmt in it"):
        camt053.read(given(text))


@pytest.mark.parametrize(
    ("entry", "amount"),
    [
        (BOOKED, "5"),
        (BOOKED.replace("CRDT", "DBIT"), "-5"),
        (BOOKED.replace("<Sts>", "<RvslInd>true</RvslInd><Sts>"), "5"),
        (BOOKED.replace("CRDT", "DBIT").replace("<Sts>", "<RvslInd>true</RvslInd><Sts>"), "-5"),
    ],
)
def test_the_indicator_says_the_direction_of_a_reversal_too(
    line: Callable[[str], StatementLine], entry: str, amount: str
) -> None:
    assert line(entry).amount == Decimal(amount)


@pytest.mark.parametrize("status", ["BOOK", "<Cd>BOOK</Cd>"])
def test_what_is_booked_is_a_line(line: Callable[[str], StatementLine], status: str) -> None:
    assert line(BOOKED.replace("BOOK", status)).amount == 5


@pytest.mark.parametrize("status", ["PDNG", "INFO", "<Cd>PDNG</Cd>", "<Cd>INFO</Cd>", "<Cd>FUTR</Cd>"])
def test_what_is_pending_or_told_only_is_left_out_and_still_counted(given: Give, status: str) -> None:
    [statement] = camt053.read(given(message(BOOKED.replace("BOOK", status), BOOKED)))

    assert [line.place for line in statement.lines] == ["entry 2 of statement 1, line 1"]


@pytest.mark.parametrize(
    ("balances", "opening", "closing"),
    [
        (balance("OPBD", "1") + balance("PRCD", "2") + balance("OPAV", "3") + balance("CLBD", "4"), "1", "4"),
        (balance("PRCD", "2") + balance("ITBD", "3") + balance("CLAV", "4") + balance("CLBD", "5"), "2", "5"),
        (balance("CLBD", "4"), None, "4"),
        (balance("OPBD", "4"), "4", None),
        (
            balance("OPBD", "2", "2026-01-02") + balance("OPBD", "1", "2026-01-01")
            + balance("CLBD", "4", "2026-01-02") + balance("CLBD", "2", "2026-01-01"),
            "1", "4",
        ),
    ],
)  # fmt: skip
def test_only_booked_balances_count(given: Give, balances: str, opening: str | None, closing: str | None) -> None:
    [statement] = camt053.read(given(message(BOOKED, balances=balances)))

    found = [one and str(one.amount) for one in (statement.opening, statement.closing)]
    assert found == [opening, closing]


def test_balances_that_do_not_count_may_be_in_another_currency(given: Give) -> None:
    [statement] = camt053.read(given(message(balances=balance("OPBD", "1") + balance("CLAV", "2", currency="USD"))))

    assert statement.currency == "EUR"


def test_an_account_without_a_currency_has_that_of_its_amounts(given: Give) -> None:
    [statement] = camt053.read(given(message(BOOKED, balances="").replace("<Ccy>EUR</Ccy>", "")))

    assert statement.currency == "EUR"


def test_amounts_keep_all_their_digits(line: Callable[[str], StatementLine]) -> None:
    entry = BOOKED.replace(">5<", ">123456789012345678.12345<").replace("CRDT", "DBIT")

    assert str(line(entry).amount) == "-123456789012345678.12345"


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("<Dt>2026-01-31</Dt>", date(2026, 1, 31)),
        ("<Dt>2026-01-31+01:00</Dt>", date(2026, 1, 31)),
        ("<DtTm>2026-01-31T23:59:59.999-05:00</DtTm>", date(2026, 1, 31)),
        ("<DtTm>2026-01-31T00:00:00Z</DtTm>", date(2026, 1, 31)),
    ],
)
def test_a_day_is_that_of_the_zone_it_is_written_in(
    line: Callable[[str], StatementLine], written: str, day: date
) -> None:
    assert line(BOOKED.replace("<Dt>2026-01-31</Dt>", written)).booked_on == day


def test_an_entry_without_a_day_of_booking_is_booked_on_its_value_date(line: Callable[[str], StatementLine]) -> None:
    read = line(BOOKED.replace("BookgDt", "ValDt"))

    assert (read.booked_on, read.valued_on) == (date(2026, 1, 31), date(2026, 1, 31))


def test_a_batch_is_one_line_with_the_references_of_all_its_payments(line: Callable[[str], StatementLine]) -> None:
    payments = [
        f"<Refs><EndToEndId>E-{n}</EndToEndId><TxId>T-{n}</TxId></Refs>"
        f"<RltdPties><Dbtr><Nm>Payer {n}</Nm></Dbtr></RltdPties><RmtInf><Ustrd>Dues {n}</Ustrd></RmtInf>"
        for n in (1, 2)
    ]
    batch = "<Btch><MsgId>M-1</MsgId></Btch>"

    read = line(
        BOOKED + "<AcctSvcrRef>B-1</AcctSvcrRef>" + details(*payments).replace("<TxDtls>", batch + "<TxDtls>", 1)
    )

    assert read.amount == 5
    assert read.references == ("E-1", "E-2", "T-1", "T-2", "M-1", "B-1")
    assert (read.counterparty, read.description) == ("Payer 1, Payer 2", "Dues 1 Dues 2")


def test_a_very_large_batch_keeps_the_references_of_the_batch(line: Callable[[str], StatementLine]) -> None:
    payments = [
        f"<Refs><EndToEndId>E-{n}</EndToEndId></Refs><RmtInf><Ustrd>{'x' * 140}</Ustrd></RmtInf>" for n in range(999)
    ]

    read = line(BOOKED + "<AcctSvcrRef>B-1</AcctSvcrRef>" + details(*payments))

    assert (len(read.references), read.references[0], read.references[-1]) == (100, "E-0", "B-1")
    assert len(read.description) == 1000


def test_a_creditors_reference_names_the_payment_and_what_is_not_provided_does_not(
    line: Callable[[str], StatementLine],
) -> None:
    read = line(
        BOOKED
        + details(
            "<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
            "<RmtInf><Strd><CdtrRefInf><Ref>RF18 5390</Ref></CdtrRefInf></Strd></RmtInf>"
        )
    )

    assert read.references == ("RF18 5390",)


@pytest.mark.parametrize(
    ("indicator", "reversal", "name"),
    [("CRDT", "false", "Payer"), ("DBIT", "false", "Paid"), ("CRDT", "true", "Paid"), ("DBIT", "true", "Payer")],
)
def test_the_counterparty_is_the_other_side_and_a_reversal_goes_back_to_it(
    line: Callable[[str], StatementLine], indicator: str, reversal: str, name: str
) -> None:
    entry = BOOKED.replace("CRDT", indicator).replace("<Sts>", f"<RvslInd>{reversal}</RvslInd><Sts>")
    parties = "<RltdPties><Dbtr><Nm>Payer</Nm></Dbtr><Cdtr><Pty><Nm>Paid</Nm></Pty></Cdtr></RltdPties>"

    assert line(entry + details(parties)).counterparty == name


def test_what_a_bank_adds_in_a_namespace_of_its_own_is_left_alone(line: Callable[[str], StatementLine]) -> None:
    foreign = '<x:Amt xmlns:x="urn:bank" Ccy="USD">999</x:Amt>'

    assert line(foreign + BOOKED).amount == 5


def test_texts_are_one_clean_line(line: Callable[[str], StatementLine]) -> None:
    read = line(BOOKED + "<AddtlNtryInf>two\n\tlines &amp; &#x85; <![CDATA[<more>]]></AddtlNtryInf>")

    assert read.description == "two lines & <more>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_encoding_is_what_the_declaration_says(given: Give, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + message(BOOKED + "<AddtlNtryInf>Müller</AddtlNtryInf>")

    [[line]] = [one.lines for one in camt053.read(given(text.encode(encoding)))]

    assert line.description == "Müller"


@pytest.mark.parametrize("encoding", ["nonsense", "shift_jis", "rot13", "utf-7"])
def test_an_encoding_that_is_not_known_is_refused(given: Give, encoding: str) -> None:
    with pytest.raises((BadFile, BadStatement)):
        camt053.read(given(f'<?xml version="1.0" encoding="{encoding}"?>' + message(BOOKED)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (message(BOOKED, BOOKED.replace("EUR", "USD")), "entry 2 of statement 1, line 1: an amount in 'USD'"),
        (message(BOOKED.replace(' Ccy="EUR"', "")), "entry 1 of statement 1, line 1: an amount in ''"),
        (message(balances=balance("OPBD", "1", currency="SEK")), "statement 1, line 1: an amount in 'SEK'"),
        (message(BOOKED.replace(">5<", ">-5<")), "entry 1 of statement 1, line 1, Amt: '-5' is not an amount"),
        (message(BOOKED.replace(">5<", ">5,00<")), "'5,00' is not an amount"),
        (message(BOOKED.replace(">5<", "><")), "it is empty where an amount should stand"),
        (message(BOOKED.replace("CRDT", "BOTH")), "CdtDbtInd is neither CRDT nor DBIT but 'BOTH'"),
        (message(BOOKED.replace("<CdtDbtInd>CRDT</CdtDbtInd>", "")), "Ntry has no CdtDbtInd"),
        (message(BOOKED.replace("BOOK<", "MAYBE<")), "an entry of the status 'MAYBE' is not known"),
        (message(BOOKED.replace("<Sts>BOOK</Sts>", "")), "Ntry has no Sts"),
        (message(BOOKED + '<Amt Ccy="EUR">6</Amt>'), "entry 1 of statement 1, line 1: Ntry has more than one Amt"),
        (message(BOOKED.replace("2026-01-31", "2026-02-30")), "there is no day 2026-02-30"),
        (message(BOOKED.replace("2026-01-31", "31.01.2026")), "'31.01.2026' is not a day"),
        (message(BOOKED.replace("BookgDt", "Other")), "the entry has neither a BookgDt nor a ValDt"),
        (message(BOOKED).replace("<Othr><Id>0000000001</Id></Othr>", ""), "Stmt has no Acct/Id/Othr/Id"),
        (message(BOOKED).replace("<Ccy>EUR</Ccy>", "<Ccy>euro</Ccy>"), "'euro' is not a currency code"),
        (message(balances="").replace("<Ccy>EUR</Ccy>", ""), "neither the account nor a balance names a currency"),
        (message(BOOKED)[:-5], "line 1, column"),
        (message(BOOKED + "&undefined;"), "undefined entity"),
        (message("<a>" * 70 + "</a>" * 70), "its elements stand in each other more than 64 deep"),
    ],
)
def test_what_breaks_the_rules_is_refused_with_its_place(refusal: Callable[[str], str], text: str, words: str) -> None:
    said = refusal(text)

    assert words in said
    assert "line 1" in said


def bomb() -> str:
    """The billion laughs, with ten times as many."""
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 11))
    return f'<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY l0 "lol">{entities}]>\n' + message(f"{BOOKED}&l10;")


OUTSIDE = '<?xml version="1.0"?>\n<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n' + message(f"{BOOKED}&x;")
DTD = '<?xml version="1.0"?>\n<!DOCTYPE d SYSTEM "http://127.0.0.1:9/x.dtd">\n' + message(BOOKED)


@pytest.mark.parametrize("text", [bomb(), OUTSIDE, DTD], ids=["bomb", "file", "dtd"])
def test_a_document_type_is_refused_where_it_begins_before_anything_is_expanded(
    refusal: Callable[[str], str], text: str
) -> None:
    started = time.perf_counter()

    assert "line 2: it declares a document type" in refusal(text)
    assert time.perf_counter() - started < 1
