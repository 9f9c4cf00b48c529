"""Which column fills which field: `--map FIELD=COLUMN`, `--map FIELD=TEMPLATE`, `--set FIELD=VALUE`.

A template such as `bank:{bank_to}:{account_to}` builds a field from columns. A field that is not mapped is read from
the column of its own name, if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ledgerctl.core.money import shown
from ledgerctl.errors import BadFile, BadUsage

Cell = Callable[[Sequence[str]], str | None]
"""What a row says for one field; None when the file has nothing for it. EmptyColumn when a template lacks a part."""

_PLACE = re.compile(r"\{([^{}]*)\}")


class EmptyColumn(ValueError):
    """A template met an empty column: half a key or half an account code is none."""

    def __init__(self, field: str, column: str) -> None:
        super().__init__(field, column)
        self.field = field
        self.column = column


def assignments(texts: Sequence[str], fields: Sequence[str], aliases: Mapping[str, str], option: str) -> dict[str, str]:
    """`FIELD=VALUE` texts as a dict. BadUsage for a field that there is not, or that is given twice."""
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = aliases.get(name, name)
        if not equals:
            raise BadUsage(detail=f"{option} takes FIELD=VALUE, not '{shown(text)}'")
        if name not in fields:
            raise BadUsage(detail=f"{option} knows no field '{shown(name)}'; there are: {', '.join(fields)}")
        if name in given:
            raise BadUsage(detail=f"{option} is given twice for '{name}'")
        given[name] = value
    return given


def cell(
    file: str, header: Sequence[str], name: str, columns: Mapping[str, str], constants: Mapping[str, str]
) -> Cell | None:
    """How to find field `name` in a row of this file; None when neither the file nor the options have it."""
    if name in constants:
        value = constants[name] or None  # as an empty cell would be
        return lambda _row: value
    if name not in columns:
        return Column(header.index(name)) if name in header else None
    wanted = columns[name]
    if is_template(wanted):
        return _template(file, header, name, wanted)
    return Column(_index(file, header, name, wanted))


@dataclass(frozen=True, slots=True)
class Column:
    """A cell as it stands in its row; an empty one says nothing."""

    index: int

    def __call__(self, row: Sequence[str]) -> str | None:
        return row[self.index] or None


def is_template(wanted: str) -> bool:
    return _PLACE.search(wanted) is not None


def _template(file: str, header: Sequence[str], name: str, template: str) -> Cell:
    parts = _PLACE.split(template)  # text, column, text, column, …, text
    wanted = parts[1::2]
    places = [(_index(file, header, name, column), column) for column in wanted]
    form = "%s".join(part.replace("%", "%%") for part in parts[::2])

    def build(row: Sequence[str]) -> str:
        values = tuple([row[index] for index, _ in places])
        if not all(values):
            raise EmptyColumn(name, next(column for index, column in places if not row[index]))
        return form % values

    return build


def _index(file: str, header: Sequence[str], name: str, column: str) -> int:
    if column not in header:
        raise BadFile(
            file=file,
            problem=f"there is no column '{shown(column)}' for the field '{name}'",
            hint=f"its columns are: {', '.join(shown(name) for name in header)}",
        )
    return header.index(column)
