"""Lists on their way to the server: it reads what was meant, whatever the texts hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgerctl.db.connection import Connection
from tests.conftest import database_at


class Colour(StrEnum):
    RED = "red"


AWKWARD = [
    "", " ", "NULL", "null", "{}", "{", "}", ",", '"', '""', "\\", "\\\\", '\\"', "a,b", " a ", "a\nb", "\t", "\x1f",
    "é", "💶", "'", "%s", "$1", "\\x00", "\N{ZERO WIDTH SPACE}", "\x7f",
]  # fmt: skip


@pytest.fixture
def ours(conninfo: str) -> Iterator[Connection]:
    """A connection as `Database` makes it."""
    database = database_at(conninfo)
    yield database.connect()
    database.close()


def sent(conn: Connection, type_: str, elements: list[Any]) -> list[Any]:
    [[array]] = conn.execute(f"SELECT %s::{type_}[]", [elements]).fetchall()
    assert isinstance(array, list)
    return array


@pytest.mark.parametrize(
    ("type_", "elements"),
    [
        ("text", AWKWARD),
        ("text", ["plain", "words"]),
        ("text", ["a", None, '"b"']),
        ("text", [None, None]),
        ("text", []),
        ("text", [Colour.RED]),
        ("bigint", [0, -1, 2**63 - 1, None]),
        ("numeric", [Decimal("1e29"), Decimal("-0.000000000000000001"), Decimal("1e-18"), None]),
        ("uuid", [UUID(int=0), UUID(int=2**128 - 1), None]),
        ("bytea", [b"", b"\x00\xff\\\"'{},", None]),
        ("timestamptz", [datetime(2026, 1, 31, 12, 0, 0, 1, UTC), None]),
        ("date", [date(2026, 2, 28), None]),
    ],
)
def test_the_server_reads_what_was_meant(ours: Connection, type_: str, elements: list[Any]) -> None:
    assert sent(ours, type_, elements) == elements


def test_any_text_comes_back_as_it_was(ours: Connection) -> None:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | text | st.sampled_from(AWKWARD)))
    def as_it_was(elements: list[str | None]) -> None:
        assert sent(ours, "text", elements) == elements

    as_it_was()


def test_a_nul_is_refused_and_not_taken_for_the_end(ours: Connection) -> None:
    for elements in (["a\0b"], ["a", None, "\0"]):
        with pytest.raises(psycopg.DataError, match="NUL"):
            sent(ours, "text", elements)


def test_what_cannot_be_text_is_an_error(ours: Connection) -> None:
    with pytest.raises(UnicodeEncodeError):
        sent(ours, "text", ["\ud800"])


def test_types_that_nobody_sends_are_not_guessed_at(ours: Connection) -> None:
    for elements in ([1.5], [[1], [2]], [{"a": 1}]):
        with pytest.raises(TypeError, match="an array of"):
            sent(ours, "text", elements)
