"""Records of a delimited file: strictly decoded, hashed while read, never held whole.

The file is read as UTF-8 (a byte order mark is fine) and as RFC 4180 with one delimiter; nothing is guessed. What is
wrong with the file as a whole is a BadFile that names the record or the line; one bad row is its reader's matter.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from ledgerctl.core.money import shown
from ledgerctl.errors import BadFile

_FIELD_MAX = 16 * 1024 * 1024  # against a quote that never ends; what a field may hold is judged by its own rule
_LINE_MAX = 2 * _FIELD_MAX
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
csv.field_size_limit(_FIELD_MAX)


@dataclass(frozen=True, slots=True)
class Input:
    """A file that can be read more than once. A pipe is spooled to a temporary file first."""

    name: str
    stream: BinaryIO

    def digest(self) -> bytes:
        """SHA-256 of the whole content."""
        self.stream.seek(0)
        whole = sha256()
        while block := self.stream.read(1 << 20):
            whole.update(block)
        return whole.digest()


def open_input(path: str) -> Input:
    """The file of that path, or standard input for `-`. BadFile when there is nothing to read."""
    name, stream = _opened(path)
    if path != "-" and stream.seekable():
        return Input(name, stream)
    # A pipe cannot be read twice; a temporary file can.
    spool = tempfile.TemporaryFile(prefix="ledgerctl-")  # noqa: SIM115 - lives as long as the Input
    try:
        shutil.copyfileobj(stream, spool, 1 << 20)
        spool.seek(0)
    except OSError as error:
        raise BadFile(file=name, problem=f"it could not be spooled: {error.strerror}") from None
    finally:
        if path != "-":
            stream.close()
    return Input(name, spool)


def head(path: str, size: int) -> bytes:
    """The first `size` bytes of a file, or of standard input for `-`. BadFile."""
    name, stream = _opened(path)
    try:
        return stream.read(size)
    except OSError as error:
        raise BadFile(file=name, problem=(error.strerror or str(error)).lower()) from None
    finally:
        if path != "-":
            stream.close()


def _opened(path: str) -> tuple[str, BinaryIO]:
    if path == "-":
        return "-", sys.stdin.buffer
    name = path.encode(errors="backslashreplace").decode()  # a name may be bytes that no text can keep
    try:
        return name, Path(path).open("rb")
    except IsADirectoryError:
        raise BadFile(file=name, problem="it is a directory") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadFile(file=name, problem=(reason or str(error)).lower()) from None


class Records:
    """One pass over the records of a file. `header` is read at once; iterate for the rows, each a list of cells."""

    def __init__(self, source: Input, delimiter: str = ",") -> None:
        self._source = source
        self._hashed = _Hashed(source.stream)
        source.stream.seek(0)
        self.record = -1
        """The number of the record read last, from 1; the header is 0."""
        text = io.TextIOWrapper(io.BufferedReader(self._hashed, 1 << 20), "utf-8-sig", "strict", newline="")
        self._reader = csv.reader(self._lines(text), delimiter=delimiter, strict=True)
        self.header = self._header()

    def __iter__(self) -> Iterator[list[str]]:
        for row in self._guarded():
            if not row:
                self._require_end()
                return
            self.record += 1
            yield row

    def digest(self) -> bytes:
        """SHA-256 of the bytes of this pass, once it is over."""
        return self._hashed.sha256.digest()

    def _header(self) -> list[str]:
        header = next(self._guarded(), None)
        if header is None:
            raise self._bad("it is empty")
        if not header:
            raise self._bad("it begins with a blank line where the header should be")
        if any(not name.strip() for name in header):
            raise self._bad("its header has a column without a name")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise self._bad(f"its header names '{shown(twice[0])}' twice")
        self.record = 0
        return header

    def _guarded(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            raise self._bad(f"{self._place()} is not valid CSV: {error}") from None
        except UnicodeDecodeError:
            raise self._bad(_undecodable(self._source.stream)) from None
        except OSError as error:
            raise self._bad((error.strerror or str(error)).lower()) from None

    def _lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        # One more than allowed: a line that never ends is noticed, not held.
        for line in iter(partial(text.readline, _LINE_MAX + 1), ""):
            if self.record < 0 and line.endswith("\r"):
                raise self._bad("its lines end in CR alone; save it with LF or CRLF line ends")
            if "\0" in line:
                raise self._bad(f"{self._place()} holds a NUL byte")
            if len(line) > _LINE_MAX:
                raise self._bad(f"{self._place()} has a line of more than {_LINE_MAX} characters")
            yield line

    def _place(self) -> str:
        return "the header" if self.record < 0 else f"record {self.record + 1}"

    def _require_end(self) -> None:
        """Blank lines may stand at the end and nowhere else."""
        if any(row for row in self._guarded()):
            raise self._bad(f"there is a blank line after record {self.record}")

    def _bad(self, problem: str) -> BadFile:
        return BadFile(file=self._source.name, problem=problem)


class _Hashed(io.RawIOBase):
    """Bytes on their way through, hashed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        block = self._stream.read(len(buffer))
        self.sha256.update(block)
        buffer[: len(block)] = block
        return len(block)


def _undecodable(stream: BinaryIO) -> str:
    """Which line and byte is not UTF-8."""
    stream.seek(0)
    if stream.read(2) in _UTF16:
        return "it is UTF-16; save it as UTF-8"
    stream.seek(0)
    for number, line in enumerate(stream, 1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return f"line {number}, byte {error.start + 1} is not UTF-8 (0x{line[error.start]:02x}); save it as UTF-8"
    return "it is not UTF-8"
