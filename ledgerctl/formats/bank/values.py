"""Values that every reader of statements makes alike: days, amounts, texts, references; and what is wrong with one.

The readers raise `Misread` with its place; whoever knows the file's name makes a BadStatement of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from ledgerctl.core.money import EXACT, is_currency_code, shown
from ledgerctl.errors import BadStatement

REFERENCE_MAX = 255
COUNTERPARTY_MAX = 200
DESCRIPTION_MAX = 1000
_REFERENCES_MAX = 100
_OTHERS_MAX = 20
_SAYS_NOTHING = {"", "NONREF", "NOTPROVIDED", "NOT PROVIDED", "NOTAVAILABLE"}
_DIGITS = re.compile(r"([+-]?)([0-9]{1,24})(?:([.,])([0-9]{0,18}))?")


class Misread(Exception):
    """What a file may not hold, and where it does."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem


@contextmanager
def of_file(name: str) -> Iterator[None]:
    """A Misread inside is a BadStatement of that file."""
    try:
        yield
    except Misread as error:
        raise BadStatement(file=name, place=error.place, problem=error.problem) from None


@contextmanager
def within(place: str) -> Iterator[None]:
    """A Misread inside stands in that part of the file, too."""
    try:
        yield
    except Misread as error:
        raise Misread(f"{place}, {error.place}", error.problem) from None


def amount(text: str, place: str, points: str, signs: str = "") -> Decimal:
    """Digits with at most one of `points` before the decimals and one of `signs` in front; exact."""
    if not text:
        raise Misread(place, "it is empty where an amount should stand")
    found = _DIGITS.fullmatch(text)
    if not found or found[1] not in signs or (found[3] or "") not in points:
        raise Misread(place, f"'{shown(text)}' is not an amount")
    return EXACT.plus(Decimal(f"{found[1]}{found[2]}.{found[4] or ''}"))  # which makes 0 of -0


def day(year: str, month: str, of_month: str, place: str) -> date:
    """The day that three runs of ASCII digits name."""
    try:
        return date(int(year), int(month), int(of_month))
    except ValueError:
        raise Misread(place, f"there is no day {year}-{month}-{of_month}") from None


def currency(text: str, place: str) -> str:
    if not is_currency_code(text):
        raise Misread(place, f"'{shown(text)}' is not a currency code")
    return text


def tidy(text: str, longest: int) -> str:
    """Text fit to be kept and shown: one line without control characters, single spaces, cut at `longest`."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if unicodedata.category(char) in ("Cc", "Cs") else char for char in text)
        text = unicodedata.normalize("NFC", text)
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def references(own: Iterable[str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """The holder's own references, then the bank's and a batch's, each once; none that says that there is none.

    Of a batch with very many payments the first are kept, a hundred in all.
    """
    last = _telling(others, _OTHERS_MAX)
    return tuple(dict.fromkeys([*_telling(own, _REFERENCES_MAX - len(last)), *last]))


def _telling(texts: Iterable[str], most: int) -> list[str]:
    found: dict[str, None] = {}
    for text in texts:
        reference = tidy(text, REFERENCE_MAX)
        if reference.upper() not in _SAYS_NOTHING and len(found) < most:
            found[reference] = None
    return list(found)
