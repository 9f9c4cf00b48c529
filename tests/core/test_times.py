"""Instants: what is read, in which zone, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledgerctl.core import times
from ledgerctl.errors import BadTime

NOW = datetime(2026, 3, 29, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T12:30", "2026-01-31T12:30:00Z"),
        ("2026-01-31 12:30:15", "2026-01-31T12:30:15Z"),
        ("2026-01-31T12:30:15.25Z", "2026-01-31T12:30:15.250000Z"),
        ("2026-01-31T12:30:15z", "2026-01-31T12:30:15Z"),
        ("2026-01-31T12:30:15+05:30", "2026-01-31T07:00:15Z"),
        ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00Z"),
    ],
)
def test_a_date_or_a_time_is_read_and_what_names_no_zone_is_utc(text: str, expected: str) -> None:
    assert times.text(times.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "today", "31.01.2026", "2026-02-30", "2026-13-01", "2026-01-31T25:00Z", "20260131", "2026-W05-1", "2026-1-1",
     "2026-01-31T12", "２０２６-01-31", "2026-01-31\n", "0001-01-01T00:00:00+05:00", "-7d", "1700000000"],  # noqa: RUF001
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadTime):
        times.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", datetime(2026, 3, 29, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 28, tzinfo=UTC)),
        ("-7d", NOW - timedelta(days=7)),
        ("-90m", NOW - timedelta(minutes=90)),
        ("-2w", NOW - timedelta(weeks=2)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_relative_to_now(text: str, expected: datetime) -> None:
    assert times.parse_relative(text, NOW) == expected


@pytest.mark.parametrize("text", ["-7", "7d", "-7y", "-1.5d", "tomorrow"])
def test_a_relative_time_has_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(BadTime):
        times.parse_relative(text, NOW)


def test_a_time_before_the_calendar_is_refused() -> None:
    with pytest.raises(BadTime):
        times.parse_relative("-99999w", datetime(1000, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["0001-01-01", "0999-12-31T10:00:00Z", "9999-12-31"])
def test_an_instant_is_spelled_as_it_was_read_in_every_year(text: str) -> None:
    assert text in list(times.spellings(times.parse(text)))
