"""Records of a delimited file: what is read, what is refused, and in which words."""

from __future__ import annotations

import csv
import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledgerctl.errors import BadFile
from ledgerctl.formats.dialect import Dialect
from ledgerctl.formats.records import Input, Records, open_input

Give = Callable[[bytes | str], Input]
MEGABYTE = 1 << 20


def read(source: Input, delimiter: str = ",") -> list[list[str]]:
    """The header and the rows."""
    records = Records(source, Dialect(delimiter))
    return [records.header, *records]


def problem(source: Input, delimiter: str = ",") -> str:
    """Why the input cannot be read."""
    with pytest.raises(BadFile) as caught:
        read(source, delimiter)
    assert caught.value.details["file"] == source.name
    return str(caught.value.details["problem"])


@pytest.mark.parametrize(
    ("content", "table"),
    [
        (b"a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        (b"a,b\n1,2", [["a", "b"], ["1", "2"]]),
        (b"a,b\r\n1,2\r\n", [["a", "b"], ["1", "2"]]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        (b'\xef\xbb\xbf"a",b\n1,2\n', [["a", "b"], ["1", "2"]]),
        (b'"a",b\n1,"2"\n', [["a", "b"], ["1", "2"]]),
        (b'a\n"say ""hi"""\n', [["a"], ['say "hi"']]),
        (b'a,b\n"one\ntwo",2\n', [["a", "b"], ["one\ntwo", "2"]]),
        (b'a,b\r\n"one\r\ntwo",2\r\n', [["a", "b"], ["one\r\ntwo", "2"]]),
        (b'a,b\n"1,5",2\n', [["a", "b"], ["1,5", "2"]]),
        ("a,b\nä,€\n".encode(), [["a", "b"], ["ä", "€"]]),
        (b"a,b\n1,2\n\n\n", [["a", "b"], ["1", "2"]]),
        (b"a,b\n1,2\r\n\r\n", [["a", "b"], ["1", "2"]]),
        (b"a,b\n", [["a", "b"]]),
        (b"a,b", [["a", "b"]]),
        (b"a,b\n1\n1,2,3\n", [["a", "b"], ["1"], ["1", "2", "3"]]),
        (b"a,b\n , \n", [["a", "b"], [" ", " "]]),
        (b"a,b\n,\n", [["a", "b"], ["", ""]]),
    ],
)
def test_a_good_file_is_read_as_it_is_written(given: Give, content: bytes, table: list[list[str]]) -> None:
    assert read(given(content)) == table


@pytest.mark.parametrize(("delimiter", "content"), [(";", b"a;b\n1,5;2\n"), ("\t", b"a\tb\n1,5\t2\n")])
def test_other_delimiters_leave_commas_alone(given: Give, delimiter: str, content: bytes) -> None:
    assert read(given(content), delimiter) == [["a", "b"], ["1,5", "2"]]


def test_a_delimiter_is_never_guessed(given: Give) -> None:
    assert read(given(b"a;b\n1;2\n")) == [["a;b"], ["1;2"]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf", "it is empty"),
        (b"a,a\n1,2\n", "its header names 'a' twice"),
        (b"a,b,b,a\n", "its header names 'a' twice"),
        (b"a,\n1,2\n", "its header has a column without a name"),
        (b"a, \n1,2\n", "its header has a column without a name"),
        (b",\n", "its header has a column without a name"),
        (b"a,b\r1,2\r", "its lines end in CR alone; save it with LF or CRLF line ends"),
        (b"a,b\n1,2\n\n3,4\n", "there is a blank line after record 1"),
        (b"a,b\n\n3,4\n", "there is a blank line after record 0"),
        (b"a,b\n1,2\n3,\0\n", "line 3 holds a NUL byte"),
        (b'a,b\n1,2\n3,"\n4,5\n', "record 2 is not valid CSV: unexpected end of data"),
        (b'a,b\n1,"2"x\n', "record 1 is not valid CSV: ',' expected after '\"'"),
        ("a,b\n1,2\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"\xfe\xff" + "a,b\n".encode("utf-16-be"), "it is UTF-16; save it as UTF-8"),
        (b"a,b\n1,caf\xe9\n", "line 2, byte 6 is not UTF-8 (0xe9); save it as UTF-8"),
        (b'a,b\n"x\ny",\xe9\n', "line 3, byte 4 is not UTF-8 (0xe9); save it as UTF-8"),
        (b"\xe9,b\n", "line 1, byte 1 is not UTF-8 (0xe9); save it as UTF-8"),
        (b"a,b\n1,\xe2\x82", "line 2, byte 3 is not UTF-8 (0xe2); save it as UTF-8"),
        (b"a,b\n1,\xed\xa0\x80\n", "line 2, byte 3 is not UTF-8 (0xed); save it as UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(given: Give, content: bytes, words: str) -> None:
    assert problem(given(content)) == words


def test_a_fault_of_the_header_is_not_blamed_on_a_record(given: Give) -> None:
    assert "header" in problem(given(b'a,"b\n1,2\n'))


def test_a_leading_blank_line_is_called_one(given: Give) -> None:
    assert "blank" in problem(given(b"\na,b\n1,2\n"))


def test_utf_16_without_a_byte_order_mark_is_refused(given: Give) -> None:
    assert "NUL" in problem(given("a,b\n1,2\n".encode("utf-16-le")))


def test_a_record_is_counted_once_however_many_lines_it_has(given: Give) -> None:
    records = Records(given(b'a,b\n"1\n1\n1",2\n3,4\n'))

    numbers = [records.record for _ in records]

    assert numbers == [1, 2]
    assert records.record == 2


def test_a_field_of_a_megabyte_is_read(given: Give) -> None:
    [_, row] = read(given(b"a,b\n1," + b"x" * MEGABYTE + b"\n"))
    assert len(row[1]) == MEGABYTE


def test_a_field_beyond_sixteen_megabytes_is_refused(given: Give) -> None:
    assert problem(given(b"a,b\n1," + b"x" * (16 * MEGABYTE + 1) + b"\n")).startswith(
        "record 1 is not valid CSV: field"
    )


def test_a_line_without_an_end_is_not_read_into_memory_whole() -> None:
    """/dev/zero, or the wrong file: what can never be a record must not fill the machine first."""
    read_so_far = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, _offset: int, _whence: int = 0) -> int:
            return 0

        def read(self, size: int = -1) -> bytes:
            nonlocal read_so_far
            read_so_far += size
            if read_so_far > 64 * MEGABYTE:
                raise EOFError
            return b"x" * size

    with suppress(BadFile):
        read(Input("endless", Endless()))  # type: ignore[arg-type]  # what it needs of a BinaryIO, it has
    assert read_so_far <= 40 * MEGABYTE


def test_the_digest_of_a_pass_is_that_of_the_file(given: Give) -> None:
    content = b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n"
    source = given(content)

    for _ in range(2):
        records = Records(source)
        list(records)
        assert records.digests()[-1] == sha256(content).digest()
    assert source.digest() == sha256(content).digest()


def test_a_file_is_read_from_its_start_however_often(given: Give) -> None:
    source = given(b"a,b\n1,2\n")
    half = Records(source)

    assert read(source) == read(source)
    assert half.header == ["a", "b"]


def test_a_path_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_bytes(b"a\n1\n")

    source = open_input(str(file))

    with closing(source.stream):
        assert source.name == str(file)
        assert read(source) == [["a"], ["1"]]


def test_a_pipe_can_be_read_more_than_once(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=[b"a\n1\n"])
    writer.start()

    source = open_input(str(fifo))

    writer.join()
    with closing(source.stream):
        assert read(source) == read(source) == [["a"], ["1"]]


def test_what_a_pipe_gave_is_read_from_its_start(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=[b"content"])
    writer.start()

    source = open_input(str(fifo))

    writer.join()
    with closing(source.stream):
        assert source.stream.read() == b"content"


def test_standard_input_is_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n1\n")))

    source = open_input("-")

    with closing(source.stream):
        assert source.name == "-"
        assert read(source) == read(source) == [["a"], ["1"]]


def test_a_missing_file_and_a_directory_are_bad_files(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file or directory"):
        open_input(str(tmp_path / "missing.csv"))
    with pytest.raises(BadFile, match="it is a directory"):
        open_input(str(tmp_path))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads a file that cannot be read")
def test_a_file_that_cannot_be_read_is_a_bad_file() -> None:
    source = open_input("/proc/self/mem")
    with closing(source.stream), pytest.raises(BadFile):
        read(source)


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = st.lists(
    CELLS.filter(lambda name: bool(name.strip()) and "\r" not in name), min_size=1, max_size=5, unique=True
)
TABLES = NAMES.flatmap(
    lambda names: st.tuples(
        st.just(names), st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=6)
    )
)


@given(table=TABLES, delimiter=st.sampled_from(",;\t|"), line_end=st.sampled_from(["\n", "\r\n"]), bom=st.booleans())
@example(table=(["a"], [[""]]), delimiter=",", line_end="\n", bom=True)
def test_whatever_csv_writes_is_read_back(
    table: tuple[list[str], list[list[str]]], delimiter: str, line_end: str, bom: bool
) -> None:
    names, rows = table
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    content = text.getvalue().encode("utf-8-sig" if bom else "utf-8")

    assert read(Input("written", io.BytesIO(content)), delimiter) == [names, *rows]


@given(st.binary(max_size=400) | st.text(alphabet='ab,;"\r\n\0\ufeff €', max_size=60).map(str.encode))
@example(b"\xef\xbb")
@example(b"\xff")
@example(b'"')
@example(b"\r")
def test_any_bytes_are_rows_or_a_bad_file(content: bytes) -> None:
    with suppress(BadFile):
        header, *rows = read(Input("random", io.BytesIO(content)))
        assert all(isinstance(cell, str) for row in [header, *rows] for cell in row)
