"""The tags of an OFX file as elements: the SGML of OFX 1.x, where values need no end tag, and the XML of 2.x alike.

Banks mix the two, so both are read by one grammar: a tag with a value is a leaf whether its end tag stands there or
not; a tag without one is an aggregate if its end tag follows, else an empty leaf. There is no document type and no
entity but the named characters: what declares or names another is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ledgerctl.core.money import shown
from ledgerctl.formats.bank.elements import DEPTH_MAX, Element
from ledgerctl.formats.bank.values import Misread

_START = re.compile(r"<OFX\s*>")
DECLARATION = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_TOKEN = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)\]\]>|<!--.*?-->|<(?P<end>/?)(?P<name>[A-Za-z0-9_.]{1,64})\s*>|[^<]+", re.DOTALL
)
_CHARACTER = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{0,31}));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "nbsp": " ", "quot": '"', "apos": "'"}
"""OFX 1.6, 2.3.2.1, and what XML has besides."""


class Tag(NamedTuple):
    name: str
    is_end: bool
    value: str
    """The text behind a tag that is no end tag."""
    line: int


def body(text: str) -> int | None:
    """Where the tags begin, behind the header of either version; None when the text is no OFX."""
    found = _START.search(text)
    return found.start() if found else None


def tree(text: str, start: int) -> Element:
    """The element OFX. Misread."""
    root = Element("", 1)
    open_ = [root]
    leaf = ""
    for tag in _tags(text, start):
        if tag.is_end:
            if tag.name != leaf:
                _close(open_, tag)
            leaf = ""
            continue
        if len(open_) == 1 and root.children:
            raise Misread(f"line {tag.line}", f"<{tag.name}> stands behind the end of <OFX>")
        element = Element(tag.name, tag.line, tag.value)
        open_[-1].children.append(element)
        leaf = tag.name if tag.value else ""
        if not tag.value:
            open_.append(element)
        if len(open_) > DEPTH_MAX:
            raise Misread(f"line {tag.line}", f"its elements stand in each other more than {DEPTH_MAX} deep")
    if len(open_) > 1:
        last = text.count("\n") + 1
        raise Misread(f"line {last}", f"the file ends within <{open_[1].name}>: its end is missing")
    return root.one("OFX")


def _close(open_: list[Element], tag: Tag) -> None:
    """End that aggregate. What was opened in it and not closed are empty leaves, not the parents of what follows."""
    names = [one.name for one in open_]
    if tag.name not in names:
        raise Misread(f"line {tag.line}", f"</{tag.name}> ends what did not begin")
    while open_[-1].name != tag.name:
        empty = open_.pop()
        open_[-1].children.extend(empty.children)
        empty.children = []
    open_.pop()


def _tags(text: str, start: int) -> Iterator[Tag]:
    name, is_end, begun, values = "", True, 0, list[str]()
    line = text.count("\n", 0, start) + 1
    position = start
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise Misread(f"line {line}", f"'{shown(text[position : position + 20])}' is not a tag of OFX")
        if found["name"] is not None:
            if name:
                yield _tag(name, is_end, values, begun)
            name, is_end, begun, values = found["name"].upper(), bool(found["end"]), line, []
        elif found["cdata"] is not None:
            values.append(found["cdata"])
        elif not found[0].startswith("<"):
            values.append(_plain(found[0], line))
        line += found[0].count("\n")
        position = found.end()
    if name:
        yield _tag(name, is_end, values, begun)


def _tag(name: str, is_end: bool, values: list[str], line: int) -> Tag:
    value = "".join(values).strip()
    if is_end and value:
        raise Misread(f"line {line}", f"text stands behind </{name}>: '{shown(value)}'")
    return Tag(name, is_end, value, line)


def _plain(text: str, line: int) -> str:
    """The text with the characters that it names. An ampersand that names none is one."""

    def character(found: re.Match[str]) -> str:
        number = int(found[1]) if found[1] else int(found[2], 16) if found[2] else None
        known = _NAMED.get(found[3]) if number is None else chr(number) if _is_character(number) else None
        if known is None:
            raise Misread(f"line {line}", f"'{shown(found[0])}' is no character that OFX names")
        return known

    return _CHARACTER.sub(character, text)


def _is_character(number: int) -> bool:
    return 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
