"""Options that both imports have: which column fills which field, and how the file is written."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN|TEMPLATE", help="For example to=bank:{bank}:{account}. Repeatable."),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="For example currency=CZK. Repeatable.")
]
MapName = Annotated[
    str, typer.Option("--map-name", metavar="NAME", help="Read it as [import.maps.NAME] of the configuration says.")
]
Delimiter = Annotated[str | None, typer.Option(help="One character; \\t for a tab.")]
Decimal = Annotated[str | None, typer.Option(metavar=".|,", help="The decimal sign of its amounts.")]
Encoding = Annotated[str | None, typer.Option(metavar="NAME", help="By default utf-8; for example cp1252.")]
DateFormat = Annotated[str | None, typer.Option(metavar="FORMAT", help="Of effective_at, for example %d.%m.%Y.")]
SkipLines = Annotated[int | None, typer.Option(min=0, metavar="N", help="Lines before the header to leave out.")]


class Given(NamedTuple):
    """What was given of them."""

    map: list[str] | None
    set: list[str] | None
    map_name: str
    delimiter: str | None
    decimal: str | None
    encoding: str | None
    date: str | None
    skip_lines: int | None
