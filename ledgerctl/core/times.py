"""Instants: text in, aware UTC datetimes inside, RFC 3339 text out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone
from functools import lru_cache

from ledgerctl.core.money import shown
from ledgerctl.errors import BadTime

# ASCII only and no week dates or compact forms, which fromisoformat would take.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_AGO = re.compile(r"-([0-9]{1,5})([smhdw])")
_OFFSET_QUARTERS = 14 * 4
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str) -> datetime:
    """A date or an RFC 3339 time. What names no zone is UTC, so that a file means the same on every machine."""
    if not _INSTANT.fullmatch(text):
        raise BadTime(text=shown(text), problem="it is neither a date nor an RFC 3339 time")
    try:
        instant = datetime.fromisoformat(text.upper())
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise BadTime(text=text, problem="there is no such day or hour") from None


def parse_relative(text: str, now: datetime) -> datetime:
    """Like `parse`, and also `today`, `yesterday`, `now` and `-7d` (units s, m, h, d, w), counted from `now` in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in named:
        return named[text]
    if ago := _AGO.fullmatch(text):
        try:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        except OverflowError:
            raise BadTime(text=text, problem="it is before the calendar begins") from None
    return parse(text)


@lru_cache(maxsize=256)  # all that is posted together has one time
def text(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`, microseconds when there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def spellings(instant: datetime) -> Iterator[str]:
    """Every text that `parse` reads as this instant, the likelier ones first; of offsets, those of whole quarters."""
    midnight = instant.astimezone(UTC)
    if midnight.time() == time():
        yield midnight.date().isoformat()
    quarters = sorted(range(-_OFFSET_QUARTERS, _OFFSET_QUARTERS + 1), key=abs)
    for quarter in quarters:
        minutes = abs(quarter) * 15
        zone = f"{'-' if quarter < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
        try:
            local = instant.astimezone(timezone(timedelta(minutes=15 * quarter)))
        except OverflowError:
            continue
        for clock in _clocks(local):
            for zoned in (zone,) if quarter else ("Z", "", "+00:00", "z", "-00:00"):
                yield f"{local.date().isoformat()}T{clock}{zoned}"  # strftime writes the year 1 as 1
                yield f"{local.date().isoformat()} {clock}{zoned}"


def _clocks(instant: datetime) -> Iterator[str]:
    fraction = f"{instant.microsecond:06}"
    if not instant.microsecond:
        yield f"{instant:%H:%M:%S}"
        if not instant.second:
            yield f"{instant:%H:%M}"
    for digits in range(max(1, len(fraction.rstrip("0"))), 7):
        yield f"{instant:%H:%M:%S}.{fraction[:digits]}"
