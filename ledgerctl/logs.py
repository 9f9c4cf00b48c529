"""What happened, for machines or people who look on from outside: one line each on stderr, as JSON or as text.

A line says which command, ledger, actor and request it belongs to. It holds codes, numbers and times; never a password,
and nothing that people wrote about payments or accounts.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

LOG = logging.getLogger("ledgerctl")

Context = Callable[[], Mapping[str, Any]]
"""What every line says besides: asked for when it is written, since not all is known from the start."""


def configure(format_: str, level: int, context: Context) -> None:
    """Write to stderr what is at least of that level; a second time takes the place of the first."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(context) if format_ == "json" else _Text(context))
    LOG.handlers = [handler]
    LOG.setLevel(level)
    LOG.propagate = False


def silence() -> None:
    """Write nothing, as before anything was configured."""
    LOG.handlers = [logging.NullHandler()]
    LOG.setLevel(logging.CRITICAL)


def adopt(library: str) -> None:
    """What the library warns of is told as our own lines are, and where they are."""
    theirs = logging.getLogger(library)
    theirs.handlers, theirs.propagate = LOG.handlers, False
    theirs.setLevel(max(LOG.level, logging.WARNING))


def json_line(level: str, message: str, fields: Mapping[str, Any]) -> str:
    """What somebody else has to say, as a line of the log."""
    return _json(time.time(), level, message, fields)


def event(message: str, level: int = logging.INFO, **fields: Any) -> None:
    """One thing that happened. It costs nothing when nobody looks on."""
    if LOG.isEnabledFor(level):
        LOG.log(level, message, extra={"fields": fields})


def _time(created_s: float) -> str:
    return datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord, context: Context) -> dict[str, Any]:
    return {**context(), **getattr(record, "fields", {})}


class _Json(logging.Formatter):
    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record, self._context)
        return _json(record.created, record.levelname.lower(), record.getMessage(), fields)


def _json(created_s: float, level: str, message: str, fields: Mapping[str, Any]) -> str:
    line = {"time": _time(created_s), "level": level, "message": message, **fields}
    return json.dumps(line, ensure_ascii=False, default=str)


class _Text(logging.Formatter):
    """`time level message name=value ...`; a value with spaces or quotes stands in quotes, as JSON has them."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={_plain(value)}" for name, value in _fields(record, self._context).items()]
        return " ".join([_time(record.created), record.levelname.lower(), record.getMessage(), *pairs])


def _plain(value: Any) -> str:
    text = str(value)
    return text if text.isprintable() and text and not set(' "=') & set(text) else json.dumps(text)
