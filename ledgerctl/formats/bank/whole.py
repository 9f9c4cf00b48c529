"""Files that are read as a whole: no statement is as large as what is refused here."""

from __future__ import annotations

from ledgerctl.errors import BadFile
from ledgerctl.formats.records import Input

SIZE_MAX = 256 * 1024 * 1024
"""Bytes, decompressed. A bank's statement of a day with a million lines is below it; a compressed bomb is above."""


def content(source: Input) -> bytes:
    """All bytes of the file, decompressed. BadFile when there are more than SIZE_MAX, or when they cannot be read."""
    try:
        data = source.content().read(SIZE_MAX + 1)
    except OSError as error:
        raise BadFile(file=source.name, problem=(error.strerror or str(error)).lower()) from None
    if len(data) > SIZE_MAX:
        problem = f"it has more than {SIZE_MAX // 1024 // 1024} MB when it is decompressed"
        raise BadFile(file=source.name, problem=problem, hint="split it, or ask the bank for shorter periods")
    return data
