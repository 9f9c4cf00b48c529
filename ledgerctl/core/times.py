"""Instants: text in, aware UTC datetimes inside, RFC 3339 text out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ledgerctl.core.money import shown
from ledgerctl.errors import BadTime

# ASCII only and no week dates or compact forms, which fromisoformat would take.
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_AGO = re.compile(r"-([0-9]{1,5})([smhdw])")
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


def text(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`, microseconds when there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
