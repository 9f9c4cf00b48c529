"""The rejected rows of an import as a file that can be imported itself, once it is mended.

The columns are those of the file, then `_line`, `_code`, `_message` and `_hint`, which an import leaves alone. Rows
that had no key of their own get the one that they had in their file: whichever of the two is imported again, and
however often, each row is posted once.
"""

from __future__ import annotations

import csv
import filecmp
import os
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

from ledgerctl.core.rows import Rejected, Survey
from ledgerctl.errors import BadUsage
from ledgerctl.formats.dialect import PLAIN, Dialect

ADDED = ("_line", "_code", "_message", "_hint")
KEY = "idempotency_key"


class Bad(Protocol):
    """A rejected row, its line in the file, and its cells."""

    @property
    def rejected(self) -> Rejected: ...
    @property
    def line(self) -> int: ...
    @property
    def cells(self) -> Sequence[str]: ...


def _require_replaceable(path: Path, apart_from: str) -> None:
    taken = None
    if not path.is_file():
        taken = "is there already, and is not a file"
    elif apart_from != "-" and path.samefile(apart_from):
        taken = "is the file that is imported"
    elif any(_is_open_as(path, stream) for stream in (0, 1, 2)):
        taken = "is what standard input or output is"
    if taken is not None:
        raise BadUsage(detail=f"the rejects file '{path}' {taken}")


def _is_open_as(path: Path, stream: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream))
    except OSError:  # closed by whoever started us
        return False


class RejectsFile:
    """Written beside its name and renamed when it is kept, so that there is never half of one. Use it as a context."""

    def __init__(self, path: Path, dialect: Dialect = PLAIN, *, apart_from: str = "-") -> None:
        """In the dialect of the file, so that the same options read both.

        BadUsage when it cannot be written there, or would take the place of `apart_from`, the file that is imported, or
        of something that is no file. A link is followed.
        """
        path = Path(os.path.realpath(path)) if path.is_symlink() else path
        self._path = path
        self._dialect = dialect
        if path.exists():
            _require_replaceable(path, apart_from)
        try:
            descriptor, self._temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise BadUsage(detail=f"the rejects file '{path}' cannot be written: {error.strerror}") from None
        self._out = os.fdopen(descriptor, "w", encoding=dialect.encoding, errors="backslashreplace", newline="")
        self._writer = csv.writer(self._out, delimiter=dialect.delimiter, lineterminator="\n")

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        Path(self._temporary).unlink(missing_ok=True)

    @property
    def name(self) -> str:
        """For the receipt."""
        return str(self._path)

    def begin(self, survey: Survey) -> None:
        """Start anew: an import that lost a race is tried again from its first row."""
        self._survey = survey
        self._out.seek(0)
        self._out.truncate()
        self._out.write("\n" * self._dialect.skip_lines)
        self._kept = [place for place, name in enumerate(survey.header) if name not in ADDED]
        key = () if survey.keyed else (KEY,)
        self._writer.writerow([*(survey.header[place] for place in self._kept), *key, *ADDED])

    def add(self, bad: Bad) -> None:
        """A row with too few cells gets empty ones; one with too many has the rest at its end."""
        cells = [bad.cells[place] if place < len(bad.cells) else "" for place in self._kept]
        _, field, code, message, hint, own_key = bad.rejected
        key = () if self._survey.keyed else (own_key,)
        told = f"{field}: {message}" if field else message
        self._writer.writerow([*cells, *key, bad.line, code, told, hint, *bad.cells[len(self._survey.header) :]])

    def keep(self) -> str | None:
        """Put it under its name, whole. What other content was there, it may be half mended, gets the name returned."""
        self._out.flush()
        os.fsync(self._out.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(self._temporary).chmod(0o666 & ~mask)
        aside = self._put_aside()
        Path(self._temporary).replace(self._path)
        return aside

    def _put_aside(self) -> str | None:
        if not self._path.is_file() or filecmp.cmp(self._path, self._temporary, shallow=False):
            return None
        names = (self._path.with_name(f"{self._path.name}.{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        self._path.rename(aside)
        return str(aside)
