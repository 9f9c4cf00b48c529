"""What the two imports share: opening a file with its column options, and naming the rows that are wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ledgerctl.cli import output
from ledgerctl.errors import BadUsage, RowsRejected

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.core.model import Rejected
    from ledgerctl.formats.records import Input

LISTED_MAX = 20
"""So many bad rows are named on stderr; the JSON error has more."""


def opened(
    file: str,
    map_: Sequence[str] | None,
    set_: Sequence[str] | None,
    delimiter: str,
    fields: Sequence[str],
    aliases: Mapping[str, str],
) -> tuple[Input, dict[str, str], dict[str, str], str]:
    """The input, the mapped columns, the constants and the delimiter. BadUsage, BadFile."""
    from ledgerctl.formats import columns, records

    if file == "-" and sys.stdin.isatty():
        raise BadUsage(detail="standard input is a terminal: name a file, or pipe one in")
    character = "\t" if delimiter == "\\t" else delimiter
    if len(character) != 1 or character in '"\r\n':
        raise BadUsage(detail=f"--delimiter takes one character, not '{delimiter}'")
    mapped = columns.assignments(map_ or (), fields, aliases, "--map")
    constants = columns.assignments(set_ or (), fields, aliases, "--set")
    both = sorted(mapped.keys() & constants.keys())
    if both:
        raise BadUsage(detail=f"'{both[0]}' is given by --map and by --set")
    return records.open_input(file), mapped, constants, character


def content(file: str, size_max: int) -> bytes:
    """All of a small file, or of standard input for `-`; one byte more than `size_max` of a larger one. BadFile."""
    from ledgerctl.formats import records

    if file == "-" and sys.stdin.isatty():
        raise BadUsage(detail="standard input is a terminal: name a file, or pipe one in")
    return records.head(file, size_max + 1)


def report(invocation: Invocation, rejects: Sequence[Rejected], *, everything: bool = False) -> None:
    """Name the rows that are wrong, the first of them or all; programs find them in the error's details."""
    if invocation.style.format in ("json", "jsonl"):
        return
    for rejected in rejects if everything else rejects[:LISTED_MAX]:
        place = f"row {rejected.row}" + (f", {rejected.field}" if rejected.field else "")
        output.note(f"{place}: {output.plain(rejected.message)} [{rejected.code}]")


def rejection(
    file: str, rejects: Sequence[Rejected], rejected: int, total: int, consequence: str, hint: str = ""
) -> RowsRejected:
    """The error to end with; a hint in place of the usual one may be given."""
    rows = [reject._asdict() for reject in rejects]
    return RowsRejected(file=file, rejected=rejected, total=total, consequence=consequence, rows=rows, hint=hint)
