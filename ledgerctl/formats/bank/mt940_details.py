"""What field :86: of an MT940 says of a line: references, counterparty and purpose.

Three ways to write it are known. German banks number their subfields (Deutsche Kreditwirtschaft, Anlage 3 of the
DFÜ-Abkommen, "Belegung des Feldes 86"): `166?00GUTSCHRIFT?20EREF+1?22SVWZ+Rent?32Jane Doe`, where some use another
character than `?`. Dutch banks and SWIFT's own recommendation name theirs: `/EREF/1/NAME/Jane Doe/REMI/Rent`. All else
is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_NUMBERED = re.compile(r"[0-9]{3}([?>])[0-9]{2}")
_PURPOSE = re.compile(r"2[0-9]|6[0-9]")
_NAME = ("32", "33")
_KEY = re.compile(
    r"(?<![A-Za-z])(EREF|KREF|MREF|CRED|DEBT|SVWZ|ABWA|ABWE|PURP|MDAT|SQTP|ORCR|ORMR|DDAT|COAM|OAMT|IBAN|BIC)\+"
)
_FULL = 27
"""Characters of a subfield: a text that fills one goes on in the next, a reference that does not fill it is over."""
_LINE_FULL = 65
"""Characters of a line, the tag of the first counted: a word goes on in the next line when it fills this one."""

_NAMED = re.compile(
    r"/(EREF|KREF|CREF|PREF|IREF|MARF|CSID|ORDP|BENM|NAME|ID|ADDR|REMI|ISDT|RTRN|PURP|ULTD|ULTB|TRTP|IBAN|BIC|CNTP"
    r"|TRCD|OCMT|CHGS|EXCH|CDTRREFTP|CDTRREF|SVCL|SUBJ)(?=/)"
)
_REMITTANCE = re.compile(r"(?:USTD|STRD)/+(?:CUR/|ISO/)?")


class Details(NamedTuple):
    references: tuple[str, ...] = ()
    counterparty: str = ""
    description: str = ""


def read(lines: Sequence[str]) -> Details:
    """What the lines of one field say; never an error, since all of it is text for people."""
    joined = "".join(lines)
    if numbered := _NUMBERED.match(joined):
        return _numbered(joined, numbered[1])
    if _NAMED.match(joined):
        return _named(joined)
    tagged = [f":86:{line}" if not number else line for number, line in enumerate(lines)]
    return Details(description="".join(line if len(line) >= _LINE_FULL else f"{line} " for line in tagged)[4:])


def _numbered(text: str, mark: str) -> Details:
    parts = re.split(rf"{re.escape(mark)}([0-9]{{2}})", text)
    subfields = list(zip(parts[1::2], parts[2::2], strict=True))
    purposes = [value for number, value in subfields if _PURPOSE.fullmatch(number)]
    name = "".join(value for number, value in subfields if number in _NAME)
    keyed, text = _keyed(purposes)
    if not text.strip():
        text = next((value for number, value in subfields if number == "00"), "")
    return Details(_own(keyed), name or keyed.get("ABWA", "") or keyed.get("ABWE", ""), text)


def _keyed(purposes: Sequence[str]) -> tuple[Mapping[str, str], str]:
    """The values of the keys (`EREF+`), and the text: that of `SVWZ+`, and what stands behind no key."""
    keyed: dict[str, list[str]] = {}
    text: list[str] = []
    current, full = text, False
    for purpose in purposes:
        unkeyed, *pairs = _KEY.split(purpose)
        if current is not text and not full and unkeyed.strip():
            current = text
        current.append(unkeyed)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            current = text if key == "SVWZ" else keyed.setdefault(key, [])
            current.append(value)
        full = len(purpose) >= _FULL
        if current is text and not full:
            text.append(" ")
    return {key: "".join(values) for key, values in keyed.items()}, "".join(text)


def _named(text: str) -> Details:
    parts = _NAMED.split(text)
    named: dict[str, str] = {}
    for key, value in zip(parts[1::2], parts[2::2], strict=True):
        if value.strip("/ "):
            named.setdefault(key, value.strip("/ "))
    counterparty = named.get("NAME", "")
    if not counterparty and (party := named.get("CNTP", "").split("/"))[2:]:  # account, BIC, name, city
        counterparty = party[2]
    remittance = named.get("REMI", "")
    prefix = _REMITTANCE.match(remittance)
    return Details(_own(named), counterparty, remittance[prefix.end() :] if prefix else remittance)


def _own(values: Mapping[str, str]) -> tuple[str, ...]:
    keys = ("EREF", "KREF", "CREF", "PREF", "CDTRREF")
    return tuple(values[key] for key in keys if key in values)
