"""What an examination says of one thing, and what would mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


class Verdict(NamedTuple):
    status: Health
    found: str
    remedy: str = ""


class Finding(NamedTuple):
    """A verdict under the name of its check."""

    check: str
    status: Health
    found: str
    remedy: str = ""


def ok(found: str) -> Verdict:
    return Verdict(Health.OK, found)


def warning(found: str, remedy: str) -> Verdict:
    return Verdict(Health.WARNING, found, remedy)


def problem(found: str, remedy: str) -> Verdict:
    return Verdict(Health.PROBLEM, found, remedy)


def skipped(found: str, remedy: str = "") -> Verdict:
    return Verdict(Health.SKIPPED, found, remedy)
