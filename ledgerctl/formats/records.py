"""Records of a delimited file: strictly decoded, hashed while read, never held whole.

The file is read as UTF-8 (a byte order mark is fine) and as RFC 4180, or as its dialect says; nothing is guessed. What
is wrong with the file as a whole is a BadFile that names the record or the line; one bad row is its reader's matter.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import BinaryIO

from ledgerctl.core.money import shown
from ledgerctl.errors import BadFile, FileChanged
from ledgerctl.formats import compressed
from ledgerctl.formats.dialect import PLAIN, Dialect

_BLOCK = 1 << 20
_FIELD_MAX = 16 * 1024 * 1024  # against a quote that never ends; what a field may hold is judged by its own rule
_LINE_MAX = 2 * _FIELD_MAX
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_IS_UTF16 = "it is UTF-16; save it as UTF-8"
_LINE_END = re.compile(r"\r\n|\r|\n")
csv.field_size_limit(_FIELD_MAX)


@dataclass(frozen=True, slots=True)
class Input:
    """A file that can be read more than once. A pipe is spooled to a temporary file first."""

    name: str
    stream: BinaryIO

    def content(self) -> BinaryIO:
        """The content from its beginning, decompressed if need be. BadFile, as it is read, when it is damaged."""
        return compressed.content(self.name, self.stream)

    def digest(self) -> bytes:
        """SHA-256 of the whole content."""
        stream, whole = self.content(), sha256()
        while block := stream.read(_BLOCK):
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
        shutil.copyfileobj(stream, spool, _BLOCK)
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

    def __init__(self, source: Input, dialect: Dialect = PLAIN, digests: Sequence[bytes] | None = None) -> None:
        """With the `digests` of an earlier pass, no record is given that it did not read: FileChanged."""
        self._source = source
        self._dialect = dialect
        self._hashed = _Hashed(source.name, source.content(), digests)
        self.record = -1
        """The number of the record read last, from 1; the header is 0."""
        self.lines: Sequence[int] = ()
        """On which line of the file each row of the last chunk begins."""
        encoding = "utf-8-sig" if _is_utf8(dialect) else dialect.encoding
        text = io.TextIOWrapper(io.BufferedReader(self._hashed, _BLOCK), encoding, "strict", newline="")
        lines = chain(self._header_lines(text), text)
        self._reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
        self.header = self._header()

    def __iter__(self) -> Iterator[list[str]]:
        for rows in self.chunks(1000):
            self.record -= len(rows)
            for row in rows:
                self.record += 1
                yield row

    def chunks(self, size: int) -> Iterator[list[list[str]]]:
        """So many rows at a time, which costs a third of one at a time. `record` is that of the last of them."""
        line = self._line()
        while rows := self._read(size):
            end = rows.index([]) if [] in rows else len(rows)
            self.record += end
            self.lines = range(line, line + end)
            if self._line() - line != len(rows):
                self.lines = list(accumulate([line, *map(_height, rows[: end - 1])]))
            line = self._line()
            if end:
                yield rows[:end]
            if end < len(rows):
                self._require_end(rows[end:])
                return

    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of the file up to the end of each of its blocks, once the pass is over; the last is that of all."""
        return tuple(self._hashed.digests)

    def _line(self) -> int:
        """The number of the line that is read next."""
        return self._dialect.skip_lines + self._reader.line_num + 1

    def _header(self) -> list[str]:
        rows = self._read(1)
        if not rows:
            raise self._bad("it is empty")
        [header] = rows
        if not header:
            raise self._bad("it begins with a blank line where the header should be")
        if any(not name.strip() for name in header):
            raise self._bad("its header has a column without a name")
        twice = sorted(name for name, times in Counter(header).items() if times > 1)
        if twice:
            raise self._bad(f"its header names '{shown(twice[0])}' twice")
        self.record = 0
        return header

    def _read(self, size: int) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            rows.extend(islice(self._reader, size))
        except csv.Error as error:
            place = "the header" if self.record < 0 else f"record {self.record + len(rows) + 1}"
            raise self._bad(f"{place} is not valid CSV: {error}") from None
        except UnicodeDecodeError:
            raise self._bad(_undecodable(self._source.content(), self._dialect)) from None
        except OSError as error:
            raise self._bad((error.strerror or str(error)).lower()) from None
        return rows

    def _header_lines(self, text: io.TextIOWrapper) -> Iterator[str]:
        """The lines up to the end of the header; the reader takes the others without a step of ours in between."""
        for _ in range(self._dialect.skip_lines):
            text.readline()
        while self.record < 0 and (line := text.readline()):
            if line.endswith("\r"):
                raise self._bad("its lines end in CR alone; save it with LF or CRLF line ends")
            yield line

    def _require_end(self, rows: list[list[str]]) -> None:
        """Blank lines may stand at the end and nowhere else."""
        while rows:
            if any(rows):
                raise self._bad(f"there is a blank line after record {self.record}")
            rows = self._read(1000)

    def _bad(self, problem: str) -> BadFile:
        return BadFile(file=self._source.name, problem=problem)


class _Hashed(io.RawIOBase):
    """Bytes on their way through, a block at a time: hashed, and looked through for what no record may hold."""

    def __init__(self, name: str, stream: BinaryIO, expected: Sequence[bytes] | None) -> None:
        self._name = name
        self._stream = stream
        self._expected = expected
        self._sha256 = sha256()
        self._block = memoryview(b"")
        self._lines = 0
        self._open = 0
        """Bytes since the last line end."""
        self.digests = [self._sha256.digest()]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        if not self._block:
            self._block = memoryview(self._next())
        part, self._block = self._block[: len(buffer)], self._block[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _next(self) -> bytes:
        """A block that is what it was in the earlier pass, if there was one."""
        block = self._stream.read(_BLOCK)
        if block:
            self._sha256.update(block)
            self.digests.append(self._sha256.digest())
        if self._expected is not None and not self._as_expected(self._expected, at_end=not block):
            raise FileChanged(file=self._name, posted="nothing was posted")
        self._look_through(block)
        return block

    def _as_expected(self, expected: Sequence[bytes], *, at_end: bool) -> bool:
        blocks = len(self.digests)
        if blocks > len(expected) or (at_end and blocks < len(expected)):
            return False
        return self.digests[-1] == expected[blocks - 1]

    def _look_through(self, block: bytes) -> None:
        if (nul := block.find(b"\0")) >= 0:
            line = self._lines + block.count(b"\n", 0, nul) + 1
            utf16 = line == 1 and block.startswith(_UTF16)
            raise BadFile(file=self._name, problem=_IS_UTF16 if utf16 else f"line {line} holds a NUL byte")
        self._lines += block.count(b"\n")
        end = block.rfind(b"\n")
        self._open = len(block) - end - 1 if end >= 0 else self._open + len(block)
        if self._open > _LINE_MAX:
            raise BadFile(file=self._name, problem=f"line {self._lines + 1} has more than {_LINE_MAX} bytes")


def _height(row: list[str]) -> int:
    """How many lines a row takes: a cell may hold line ends."""
    return 1 + sum(len(_LINE_END.findall(cell)) for cell in row)


def _is_utf8(dialect: Dialect) -> bool:
    return codecs.lookup(dialect.encoding).name in ("utf-8", "utf-8-sig")


def _undecodable(content: BinaryIO, dialect: Dialect) -> str:
    """Which line and byte is not of the encoding."""
    encoding, advice = ("UTF-8", "; save it as UTF-8") if _is_utf8(dialect) else (dialect.encoding, "")
    for number, line in enumerate(content, 1):
        if number == 1 and line.startswith(_UTF16):
            return _IS_UTF16
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            return f"line {number}, byte {error.start + 1} is not {encoding} (0x{line[error.start]:02x}){advice}"
    return f"it is not {encoding}"
