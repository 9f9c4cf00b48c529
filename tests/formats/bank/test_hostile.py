"""Whatever the bytes, a reader of statements gives statements or a LedgerError, and in good time."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgerctl.core.statements import Statement
from ledgerctl.errors import BadFile, BadStatement, BadUsage
from ledgerctl.formats import statements
from ledgerctl.formats.records import Input
from tests.formats.bank import made_up

WELL_FORMED = {
    "mt940": [made_up.MT940],
    "camt053": [made_up.CAMT053],
    "ofx": [made_up.OFX_SGML, made_up.OFX_XML],
    "csv": [made_up.CSV],
}
PIECES = [
    b"", b"\0", b"\n", b"\r", b"\r\n\r\n", b"<", b">", b"&", b";", b'"', b",", b":", b"?", b"-", b"/", b"+", b"\x85",
    b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 40, b"\xd9\xa5", b"NaN", b"1e9", b"-0", b"0000",
    b":61:", b":62F:", b":86:", b":20:", b"\n-\n", b"?20", b"EREF+", b"/REMI/", b"</STMTTRN>", b"<STMTTRN>", b"<!--",
    b"<![CDATA[", b"]]>", b"&#0;", b"&#x110000;", b"&amp;", b"<!DOCTYPE x [", b"encoding='utf-7'", b"<Ntry>", b"<Dt>",
    b"[-5:EST]",
]  # fmt: skip


def outcome(data: bytes, format: str | None) -> list[Statement] | str:
    """The statements, or what was said against them."""
    try:
        return statements.read(Input("given", io.BytesIO(data)), format, made_up.CSV_MAP)
    except (BadFile, BadStatement, BadUsage) as error:
        return str(error)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """With a few pieces cut out, doubled, moved or put in."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice((0, 1, 2, 10, 80)))
        piece = chance.choice((chance.choice(PIECES), data[start:end] * 2, bytes([chance.randrange(256)])))
        place = chance.choice((start, start, chance.randrange(len(data) + 1)))
        data = data[:start] + data[end:]
        data = data[:place] + piece + data[place:]
    return data


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("format", statements.FORMATS)
def test_a_damaged_file_gives_statements_or_says_what_is_wrong(format: str, seed: int) -> None:
    chance = random.Random(seed)
    said = 0
    for _ in range(500):
        text = chance.choice(WELL_FORMED[format])
        found = outcome(mutated(text.encode(), chance), chance.choice((format, format, None)))
        said += isinstance(found, str)

    assert 0 < said < 500


@pytest.mark.parametrize("format", ["mt940", "camt053", "ofx"])
def test_a_file_that_ends_too_early_is_refused_or_does_not_tie(format: str) -> None:
    """A closing balance of MT940 may be cut among its digits; what is missing else is the end of the envelope."""
    for text in WELL_FORMED[format]:
        data = text.encode()
        whole = outcome(data, format)
        assert isinstance(whole, list)
        for size in range(len(data)):
            found = outcome(data[:size], format)
            assert isinstance(found, str) or found == whole or any(one.difference for one in found)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.sampled_from([*statements.FORMATS, None]))
def test_any_bytes_give_statements_or_an_error_that_is_told(data: bytes, format: str | None) -> None:
    outcome(data, format)


def mt940(*middle: str) -> bytes:
    lines = [":20:R", ":25:1", ":60F:C260130EUR0,", *middle, ":62F:C260202EUR0,", "-"]
    return "\n".join(lines).encode()


def camt053(entries: str) -> bytes:
    end = made_up.CAMT053.index("<Ntry>")
    return f"{made_up.CAMT053[:end]}{entries}</Stmt></BkToCstmrStmt></Document>".encode()


ENTRY = (
    '<Ntry><Amt Ccy="EUR">5</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>'
    "<BookgDt><Dt>2026-01-31</Dt></BookgDt>{}</Ntry>"
)
PAYMENT = "<TxDtls><Refs><EndToEndId>E</EndToEndId></Refs><RmtInf><Ustrd>text</Ustrd></RmtInf></TxDtls>"
LINE = ":61:260131C5,NTRFNONREF"
HEADER = made_up.CSV.split("\n")[0] + "\n"
LARGE: dict[str, Callable[[], bytes | str]] = {
    "many statements": lambda: mt940() * 3000,
    "many lines": lambda: mt940(*[LINE, ":86:text"] * 10_000),
    "a text of many lines": lambda: mt940(LINE, ":86:x", *["y" * 65] * 10_000),
    "a text of many fields": lambda: mt940(LINE, *[":86:x"] * 10_000),
    "a very long line": lambda: mt940(":61:260131C5,NTRF" + "x/" * 500_000),
    "a very long reference": lambda: mt940(":61:260131C5,NTRF//" + "/" * 1_000_000),
    "many subfields": lambda: mt940(LINE, ":86:166?20" + "EREF+1?21SVWZ+2?22" * 20_000),
    "many marks": lambda: mt940(LINE, ":86:166?20" + "?" * 1_000_000),
    "many names": lambda: mt940(LINE, ":86:" + "/EREF/1/REMI/2" * 50_000),
    "many dashes": lambda: mt940(LINE, ":86:x", *["-" + "X" * 50 + "y"] * 10_000),
    "a batch": lambda: camt053(ENTRY.format(f"<NtryDtls>{PAYMENT * 10_000}</NtryDtls>")),
    "many entries": lambda: camt053(ENTRY.format("") * 10_000),
    "a long text": lambda: camt053(ENTRY.format(f"<AddtlNtryInf>{'x ' * 1_000_000}</AddtlNtryInf>")),
    "a text in pieces": lambda: camt053(ENTRY.format(f"<AddtlNtryInf>{'x&amp;<![CDATA[y]]>' * 50_000}</AddtlNtryInf>")),
    "many other elements": lambda: camt053("<x/>" * 50_000),
    "many unclosed leaves": lambda: f"<OFX>{('<A>' + '<B>' * 50 + '</A>') * 1000}</OFX>",
    "leaves within leaves": lambda: f"<OFX>{'<A>' * 50}{'<B>x' * 50_000}</OFX>",
    "many transactions": lambda: made_up.OFX_XML.replace(
        "</BANKTRANLIST>", "<STMTTRN><DTPOSTED>20260131<TRNAMT>5</STMTTRN>" * 10_000 + "</BANKTRANLIST>"
    ),
    "many ampersands": lambda: made_up.OFX_SGML.replace("Corner", "&" * 1_000_000),
    "many comments": lambda: made_up.OFX_SGML.replace("Corner", "<!-- -->" * 50_000),
    "many open comments": lambda: made_up.OFX_SGML.replace("Corner", "<!-- " * 200_000),
    "many beginnings": lambda: "<OFX  " * 200_000,
    "many rows": lambda: HEADER + "31/01/2026,,,,,0,EUR,5,DONE\n" * 10_000,
    "a wide header": lambda: f"{','.join(map(str, range(50_000)))}\n",
    "a long cell": lambda: made_up.CSV.replace("-12.5", "1" * 1_000_000),
    "many times": lambda: made_up.CSV.replace("31/01/2026 23:59", "1" + " 1:11" * 200_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_no_file_takes_longer_than_its_size_deserves(name: str) -> None:
    """All have up to a few million bytes: what is quadratic in them takes many times as long."""
    data = LARGE[name]()
    started = time.process_time()

    outcome(data if isinstance(data, bytes) else data.encode(), None)

    assert time.process_time() - started < 6
