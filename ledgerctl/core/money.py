"""Amounts: exact text in, whole minor units inside, exact text out. Nothing here ever rounds.

Amounts arrive as text and become a positive `Decimal` that keeps the digits as written. Once the currency is known
they are counted in its minor units (cents for EUR, yen for JPY, thousandths for KWD) as plain integers, which
cannot lose a digit; they leave as text at the currency's exponent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Clamped, Context, Decimal, DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow
from functools import lru_cache

from ledgerctl.errors import BadAmount, BadText

EXACT = Context(prec=60, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact, FloatOperation, Clamped])
"""Raises rather than rounds: Python's own context would drop the 29th digit without a word."""

EXPONENT_MAX = 18
LIMIT = Decimal("1e30")
"""Amounts and balances stay below this in absolute value; the database's CHECK says the same."""

_UNITS = tuple(Decimal(1).scaleb(-exponent) for exponent in range(EXPONENT_MAX + 1))

# Own grammar before Decimal(), which also takes 1e3, NaN, 1_000 and the digits of every script.
AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,23})(?:\.[0-9]{1,18})?")
_AMOUNTS = re.compile(rf"(?:{AMOUNT.pattern}\n)+")
CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,11}")


def parse(text: str) -> Decimal:
    """The positive amount that `text` says, with its digits as written; BadAmount for anything else."""
    if not AMOUNT.fullmatch(text):
        raise BadAmount(text=shown(text), problem=_problem(text))
    amount = Decimal(text)
    if not amount:
        raise BadAmount(text=text, problem="it is zero")
    return amount


def parse_all(texts: Sequence[str]) -> list[Decimal] | None:
    """What `parse` makes of each, in a third of the time; None when it would refuse one of them."""
    joined = "\n".join(texts) + "\n"
    if not _AMOUNTS.fullmatch(joined) or joined.count("\n") != len(texts):
        return None
    amounts = list(map(Decimal, texts))
    return amounts if all(amounts) else None


def parse_limit(text: str) -> Decimal | None:
    """A limit of an account: like an amount, but it may be zero or negative; `none` for no limit."""
    if text == "none":
        return None
    digits = text.removeprefix("-")
    if not AMOUNT.fullmatch(digits):
        raise BadAmount(text=shown(text), problem=_problem(digits))
    return Decimal(text) + 0  # -0 becomes 0


def parse_with_currency(text: str) -> tuple[Decimal, str | None]:
    """`12.50`, `12.50 EUR` or `EUR 12.50`: the amount, and the currency if one is named."""
    words = text.split(" ")
    if len(words) == 2 and CURRENCY.fullmatch(words[0]):
        words.reverse()
    if len(words) == 2 and CURRENCY.fullmatch(words[1]):
        return parse(words[0]), words[1]
    return parse(text), None


@lru_cache(maxsize=256)
def is_currency_code(text: str) -> bool:
    """Three to twelve capitals and digits, starting with a letter: EUR, BTC, POINTS."""
    return CURRENCY.fullmatch(text) is not None


def currency_code(text: str) -> str:
    """`text` if it can be a currency's code, else BadText."""
    if not is_currency_code(text):
        raise BadText(field="currency", problem=f"'{shown(text)}' is not a currency code")
    return text


def decimals(amount: Decimal) -> int:
    """How many digits were written after the point; `12.50` has two."""
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def fits(amount: Decimal, exponent: int) -> bool:
    """Whether no more digits were written after the point than the currency has."""
    return amount.same_quantum(_UNITS[exponent]) or decimals(amount) <= exponent


def minor(amount: Decimal, exponent: int) -> int:
    """The amount in minor units. The caller has seen that it has no more than `exponent` decimals."""
    return int(amount.scaleb(exponent, EXACT))


def decimal(units: int, exponent: int) -> Decimal:
    """Minor units as a Decimal at the currency's exponent."""
    return EXACT.scaleb(Decimal(units), -exponent)


def text(units: int, exponent: int) -> str:
    """Minor units as people and programs read them: `-1234.50`, `100` for a currency without decimals."""
    if not exponent:
        return str(units)
    digits = str(abs(units)).rjust(exponent + 1, "0")
    return f"{'-' if units < 0 else ''}{digits[:-exponent]}.{digits[-exponent:]}"


def fixed(amount: Decimal, exponent: int) -> str:
    """A NUMERIC as text at its currency's exponent. One that has more decimals, which is damage, is shown whole."""
    return f"{amount:.{exponent}f}" if decimals(amount) <= exponent else format(amount, "f")


def canonical(amount: Decimal) -> str:
    """One text for equal amounts: no trailing zeros, no exponent. `1.0` and `1.00` are both `1`."""
    written = format(amount, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def shown(text: str) -> str:
    """Text from outside, made fit for an error message: escaped and cut."""
    escaped = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    return escaped if len(escaped) <= 40 else f"{escaped[:37]}..."


def _problem(text: str) -> str:
    if not text.strip():
        return "it is empty"
    if len(text) > 60:
        return "it is too long"
    if not text.isascii():
        return "only the digits 0-9 are read"
    if text.startswith(("-", "(")):
        return "it is negative"
    if "," in text:
        return "a ',' is neither read as a decimal point nor between groups of digits"
    if re.fullmatch(r"[+0-9._]*[0-9.][eE][+-]?[0-9]+", text):
        return "exponents are not read"
    if re.fullmatch(r"0[0-9.]+", text):
        return "it starts with 0"
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return "it has more digits than the ledger can count"
    return "it is not a plain number"
