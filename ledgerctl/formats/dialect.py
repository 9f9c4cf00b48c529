"""How a file is written: what stands between its columns, its decimal sign, its encoding, its dates, its preamble."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from ledgerctl.core import money
from ledgerctl.core.money import shown
from ledgerctl.errors import BadAmount, BadTime

# Every byte of ASCII, and sequences of them that some encodings take for something else.
_ASCII = bytes(range(128)) + b"+AGE- ~{VP~} \x1b$B0l\x1b(B"
_NOT_OF_FILES = {"unicode-escape", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape", "idna", "punycode"}
_COMMA = re.compile(r"-?(?:[1-9][0-9]{0,2}([. \u00a0\u202f])[0-9]{3}(?:\1[0-9]{3})*|[0-9]+)(?:,[0-9]+)?")
_COMMA_HINT = "write digits with a ',' before the decimals, for example 1234,50 or 1.234,50"
_DAY = datetime(2026, 11, 23, tzinfo=UTC)
_OF_TIME = re.compile(r"(?<!%)(?:%%)*%[HIMSfpcX]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a file differs from RFC 4180 in UTF-8 with amounts such as 1234.50 and dates such as 2026-01-31."""

    delimiter: str = ","
    decimal: str = "."
    """`.`, or `,` for amounts such as 1.234,50."""
    encoding: str = "utf-8"
    date: str = ""
    """Of effective_at, as strptime reads it: `%d.%m.%Y`."""
    skip_lines: int = 0
    """Lines before the header that are no part of the table."""

    def wrong(self) -> tuple[str, str] | None:
        """The field that cannot be used as it is, and why; None when all is well."""
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            return "delimiter", f"it must be one character, not '{shown(self.delimiter)}'"
        if self.decimal not in (".", ","):
            return "decimal", f"it must be . or , and not '{shown(self.decimal)}'"
        if not _is_text_encoding(self.encoding):
            return "encoding", f"'{shown(self.encoding)}' is not an encoding of text that contains ASCII"
        if self.date and not _is_date_format(self.date):
            return "date", f"'{shown(self.date)}' is not a format with year, month and day, such as %d.%m.%Y"
        return None

    def amount(self, text: str) -> str:
        """The amount with a decimal point and without groups. BadAmount."""
        if self.decimal == ".":
            return text
        if not _COMMA.fullmatch(text):
            raise BadAmount(text=shown(text), problem="it is not a number with a decimal comma", hint=_COMMA_HINT)
        whole, comma, cents = text.partition(",")
        return re.sub("[^0-9-]", "", whole) + ("." if comma else "") + cents

    def read_amount(self, text: str) -> Decimal:
        """What `money.parse` makes of the amount; BadAmount, in the words of the file."""
        plain = self.amount(text)
        try:
            return money.parse(plain)
        except BadAmount as error:
            if self.decimal == ".":
                raise
            raise BadAmount(text=shown(text), problem=error.details["problem"], hint=_COMMA_HINT) from None

    def time(self, text: str) -> str:
        """The date or time as ISO 8601 writes it. BadTime."""
        return _iso(text, self.date) if self.date else text


PLAIN = Dialect()


@lru_cache(maxsize=1024)
def _iso(text: str, form: str) -> str:
    try:
        found = datetime.strptime(text, form)  # noqa: DTZ007 - a zone is read where the format has one
    except ValueError:
        hint = f"write it as {form}, for example {_DAY:{form}}"
        raise BadTime(text=shown(text), problem=f"it is not written as {form}", hint=hint) from None
    return found.isoformat() if _OF_TIME.search(form) else found.date().isoformat()


def _is_text_encoding(name: str) -> bool:
    try:
        known = codecs.lookup(name).name
        return known not in _NOT_OF_FILES and _ASCII.decode(name) == _ASCII.decode("ascii")
    except (LookupError, ValueError, TypeError):
        return False


def _is_date_format(form: str) -> bool:
    """Whether a day written in it is read back as the same day."""
    try:
        return datetime.strptime(_DAY.strftime(form), form).replace(tzinfo=UTC) == _DAY
    except ValueError:
        return False
