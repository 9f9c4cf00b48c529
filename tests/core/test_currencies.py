"""The generated ISO 4217 table: fresh, complete, and ISO's figures where the world disagrees."""

from __future__ import annotations

import iso4217
import pytest

from ledgerctl.core.currencies import EXPONENTS
from tools import generate_currencies


def test_the_table_is_what_the_script_would_write() -> None:
    written = generate_currencies.TARGET.read_bytes().decode()
    assert written == generate_currencies.render(), "run: python tools/generate_currencies.py"


def test_the_table_is_sorted_and_has_every_currency_with_a_minor_unit() -> None:
    exponents = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert exponents == EXPONENTS
    assert list(EXPONENTS) == sorted(EXPONENTS)


@pytest.mark.parametrize(
    ("exponent", "codes"),
    [
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (2, "AUD BRL CAD CHF CNY CZK EUR GBP HUF IDR INR MXN NOK SEK TRY TWD USD XCG ZAR"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    ],
)
def test_decimals_are_those_of_iso(exponent: int, codes: str) -> None:
    assert {code: EXPONENTS[code] for code in codes.split()} == dict.fromkeys(codes.split(), exponent)


def test_only_the_listed_currencies_have_other_than_two_decimals() -> None:
    unusual = [code for code, exponent in EXPONENTS.items() if exponent != 2]
    assert len(unusual) == 17 + 7 + 2


@pytest.mark.parametrize("code", ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"])
def test_two_decimals_where_cldr_shows_none(code: str) -> None:
    assert EXPONENTS[code] == 2


def test_iraq_has_three_decimals_where_cldr_shows_none() -> None:
    assert EXPONENTS["IQD"] == 3


@pytest.mark.parametrize("code", ["XAU", "XAG", "XPT", "XPD", "XDR", "XSU", "XUA", "XBA", "XTS", "XXX"])
def test_codes_without_a_minor_unit_are_left_out(code: str) -> None:
    assert code not in EXPONENTS
