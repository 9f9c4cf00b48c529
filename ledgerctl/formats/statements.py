"""Statements of banks and payment providers, in whatever format: bytes in, values of core/statements.py out.

A format is known by what the file holds and never by its name. Every file that breaks the rules of its format is
refused with the place where it does; whether a statement's balances tie to its lines, and to the statement before it,
is for whoever stores it to judge.
"""

from __future__ import annotations

import codecs
import re

from ledgerctl.config import StatementMap
from ledgerctl.core.money import shown
from ledgerctl.core.statements import Statement
from ledgerctl.errors import BadFile, BadUsage
from ledgerctl.formats.bank import camt053, csv_statements, mt940, ofx
from ledgerctl.formats.records import Input

FORMATS = ("csv", "mt940", "camt053", "ofx")

_HEAD = 64 * 1024
_MT940 = re.compile(rb"\{1:|(?:^|[\r\n]):(?:20|21|25|28C?|60[FM]|61|62[FM]|940):")
_CAMT053 = re.compile(rb"urn:iso:std:iso:20022:tech:xsd:camt\.053\.")
_OFX = re.compile(rb"OFXHEADER|<OFX\s*>")
_DELIMITERS = re.compile(rb"[,;\t|]")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_HINT = f"say what it is: --format {' or '.join(FORMATS)}"


def read(source: Input, format: str | None, map: StatementMap | None) -> list[Statement]:
    """The statements of the file, at least one, in its order; without a `format` its content says what it is.

    BadFile when it is not of that format at all, BadStatement when it breaks the format's rules, BadUsage for a CSV
    without a map or with one that cannot be followed. Nothing else comes out, whatever the bytes.
    """
    if format is not None and format not in FORMATS:
        raise BadUsage(detail=f"there is no format '{shown(format)}'; there are: {', '.join(FORMATS)}")
    chosen = format or detect(_head(source), source.name)
    if chosen == "csv":
        if map is None:
            raise BadUsage(
                detail="a CSV is read by a map", hint="name one of [statement.maps.NAME] in the configuration"
            )
        return csv_statements.read(source, map)
    if chosen == "mt940":
        return mt940.read(source)
    return camt053.read(source) if chosen == "camt053" else ofx.read(source)


def detect(head: bytes, name: str) -> str:
    """The format of a file that begins so, decompressed; `name` is for the message. BadFile when nothing fits."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    if not head.strip():
        raise BadFile(file=name, problem="it is empty")
    is_marked_up = head.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"<", b"OFXHEADER"))
    if is_marked_up and _CAMT053.search(head):
        return "camt053"
    if is_marked_up and _OFX.search(head):
        return "ofx"
    if is_marked_up:
        raise BadFile(file=name, problem="it is XML or HTML, but neither camt.053 nor OFX", hint=_HINT)
    if _MT940.search(head):
        return "mt940"
    if _BINARY.search(head) or not _DELIMITERS.search(head):
        raise BadFile(file=name, problem="it is no statement in a format that is known", hint=_HINT)
    return "csv"


def _head(source: Input) -> bytes:
    try:
        return source.content().read(_HEAD)
    except OSError as error:
        raise BadFile(file=source.name, problem=(error.strerror or str(error)).lower()) from None
