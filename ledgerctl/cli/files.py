"""What the two imports share: opening a file with its column options, and naming the rows that are wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledgerctl.cli import output
from ledgerctl.errors import BadUsage, RowsRejected

if TYPE_CHECKING:
    from ledgerctl.cli.invocation import Invocation
    from ledgerctl.cli.options import Given
    from ledgerctl.config import ImportMap
    from ledgerctl.core.rows import Rejected
    from ledgerctl.formats.dialect import Dialect
    from ledgerctl.formats.records import Input

LISTED_MAX = 20
"""So many bad rows are named on stderr; the JSON error has more."""


def opened(
    invocation: Invocation, file: str, given: Given, fields: Sequence[str], aliases: Mapping[str, str]
) -> tuple[Input, dict[str, str], dict[str, str], Dialect]:
    """The input, the mapped columns, the constants and the dialect. BadUsage, BadFile."""
    from ledgerctl.formats import records

    require_piped(file)
    named = _named_map(invocation, given.map_name)
    dialect = _dialect(named, given)
    mapped, constants = _fields(given.map, given.set, fields, aliases, "--map", "--set")
    place = f"import.maps.{given.map_name}"
    of_map, of_set = _fields(_pairs(named.map), _pairs(named.set), fields, aliases, f"{place}.map", f"{place}.set")
    of_map = {name: text for name, text in of_map.items() if name not in constants}
    of_set = {name: text for name, text in of_set.items() if name not in mapped}
    return records.open_input(file), of_map | mapped, of_set | constants, dialect


def require_piped(file: str) -> None:
    """BadUsage for `-` where nobody has piped anything in."""
    if file == "-" and sys.stdin.isatty():
        raise BadUsage(detail="standard input is a terminal: name a file, or pipe one in")


def _pairs(table: Mapping[str, str]) -> list[str]:
    return [f"{name}={text}" for name, text in table.items()]


def _fields(
    map_: Sequence[str] | None,
    set_: Sequence[str] | None,
    fields: Sequence[str],
    aliases: Mapping[str, str],
    map_place: str,
    set_place: str,
) -> tuple[dict[str, str], dict[str, str]]:
    from ledgerctl.formats import columns

    mapped = columns.assignments(map_ or (), fields, aliases, map_place)
    constants = columns.assignments(set_ or (), fields, aliases, set_place)
    if both := sorted(mapped.keys() & constants.keys()):
        raise BadUsage(detail=f"'{both[0]}' is given by {map_place} and by {set_place}")
    return mapped, constants


def _named_map(invocation: Invocation, name: str) -> ImportMap:
    from ledgerctl.config import ImportMap

    maps = invocation.configuration.maps
    if name and name not in maps:
        raise BadUsage(detail=f"there is no map '{name}'; there are: {', '.join(sorted(maps)) or 'none'}")
    return maps[name] if name else ImportMap()


def _dialect(named: ImportMap, given: Given) -> Dialect:
    """What the options say, else the map, else the default."""
    from ledgerctl.formats.dialect import Dialect

    chosen = {
        name: option if option is not None else getattr(named, name)
        for name, option in given._asdict().items()
        if name not in ("map", "set", "map_name")
    }
    if chosen["delimiter"] == "\\t":
        chosen["delimiter"] = "\t"
    dialect = Dialect(**chosen)
    if wrong := dialect.wrong():
        field, problem = wrong
        option = {"date": "--date-format"}.get(field, f"--{field}")
        place = option if getattr(given, field) is not None else f"import.maps.{given.map_name}.{field}"
        raise BadUsage(detail=f"{place}: {problem}")
    return dialect


def content(file: str, size_max: int) -> bytes:
    """All of a small file, or of standard input for `-`; one byte more than `size_max` of a larger one. BadFile."""
    from ledgerctl.formats import records

    require_piped(file)
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
    details = {"file": file, "rejected": rejected, "total": total, "rows": told(rejects)}
    return RowsRejected(**details, consequence=consequence, hint=hint)


def told(rejects: Sequence[Rejected]) -> list[dict[str, Any]]:
    """Rejected rows as an error's details have them."""
    names = ("row", "field", "code", "message", "hint")
    return [{name: getattr(reject, name) for name in names} for reject in rejects]
