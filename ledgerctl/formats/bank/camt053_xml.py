"""The XML of a camt.053: statements with their entries, by expat, with nothing in it that could expand.

A document type is refused where it begins, before any entity of it is known: neither a bomb of entities nor a file that
one of them names is ever read. ISO 20022 messages have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from ledgerctl.core.money import shown
from ledgerctl.formats.bank.elements import DEPTH_MAX, Element
from ledgerctl.formats.bank.values import Misread

NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.[0-9]{2}")
_STATEMENT = ["Document", "BkToCstmrStmt", "Stmt"]


class NotThis(Exception):
    """The file is no camt.053 at all; it says why."""


@dataclass(slots=True)
class Parsed:
    """A statement without its entries, and these; of the whole message nothing else is kept."""

    statement: Element
    entries: list[Element] = field(default_factory=list)


def statements(data: bytes) -> list[Parsed]:
    """Every Stmt of the message. Misread, NotThis."""
    handler = _Handler()
    try:
        handler.parser.Parse(data, True)
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise Misread(place, f"it is not well-formed XML: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError):  # from the codec that the declaration names
        raise NotThis("it is in an encoding that is not known") from None
    return handler.statements


class _Handler:
    """What expat calls; `open` are the elements that have begun and not ended."""

    def __init__(self) -> None:
        self.statements: list[Parsed] = []
        self.open: list[Element] = []
        self.texts: list[str] = []
        """Of the element that was opened last."""
        self.namespace = ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.texts.append
        self.parser.StartDoctypeDeclHandler = self.refuse_doctype

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber

    def refuse_doctype(self, *_: object) -> NoReturn:
        raise Misread(f"line {self.line}", "it declares a document type, which no camt.053 has and which is not read")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if not self.open:
            self.require_camt053(namespace, local)
        if len(self.open) >= DEPTH_MAX:
            raise Misread(f"line {self.line}", f"its elements stand in each other more than {DEPTH_MAX} deep")
        # What a bank adds in a namespace of its own is not one of ours, whatever it is called.
        self.open.append(Element(local if namespace == self.namespace else name, self.line))
        self.open[-1].currency = attributes.get("Ccy", "")
        self.texts.clear()
        if self.is_in_statement():
            self.statements.append(Parsed(self.open[-1]))

    def end(self, _name: str) -> None:
        done = self.open.pop()
        if not done.children:
            done.text = "".join(self.texts).strip()
        self.texts.clear()
        if not self.open:
            return
        if done.name == "Ntry" and self.is_in_statement():
            self.statements[-1].entries.append(done)
        elif len(self.open) >= len(_STATEMENT):
            self.open[-1].children.append(done)

    def is_in_statement(self) -> bool:
        """Whether the element that is open is a Stmt of the message."""
        return len(self.open) == len(_STATEMENT) and [one.name for one in self.open] == _STATEMENT

    def require_camt053(self, namespace: str, local: str) -> None:
        if local != "Document" or not NAMESPACE.fullmatch(namespace):
            raise NotThis(f"it is XML, but no camt.053: it begins with '{shown(local)}' of '{shown(namespace)}'")
        self.namespace = namespace
