"""A second process reads the file as the first would have, and ends with it."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest

from ledgerctl.core.model import Chunk, Rejected, Request
from ledgerctl.errors import BadFile, FileChanged
from ledgerctl.formats import read_ahead
from ledgerctl.formats.dialect import Dialect
from ledgerctl.formats.read_ahead import ReadAhead
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile

Give = Callable[[bytes | str], Input]
HEADER = "from,to,amount,currency,idempotency_key,description,reference,effective_at\n"
ROWS = (
    "a,b,1.50,EUR,k1,Übung,ref-1,2026-01-31T12:00:00.5Z\n"
    "a,b,0.00000001,,k2,,,\n"
    'a b,b,1,EUR,k3,"two\nlines",,\n'
    "a,b,1\n"
    "a,b,x,EUR,k5,,,2026-01-31\n"
    "a,b,999999999999999999999999,EUR,k6,tab\there,,2026-01-31\n"
)


@pytest.fixture(autouse=True)
def _small_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "ROWS_MIN", 0)


def told(chunks: Iterator[Chunk]) -> list[tuple[list[Request | Rejected], list[list[str]], list[int]]]:
    """The chunks but for the new ids of their rows."""
    return [
        (
            [row._replace(id=UUID(int=0)) if isinstance(row, Request) else row for row in chunk.rows],
            chunk.cells,
            list(chunk.lines),
        )
        for chunk in chunks
    ]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_rows_are_those_of_the_file(given: Give, size: int) -> None:
    file = TransferFile(given(HEADER + ROWS), {}, {})
    survey = file.survey()

    ahead = told(ReadAhead(file, cells=True).chunks(survey, 7, size))

    assert ahead == told(file.chunks(survey, 7, size))
    assert [len(rows) for rows, _, _ in ahead] == [len(rows) for rows, _, _ in told(file.chunks(survey, 7, size))]


def test_ids_are_new_and_ascend(given: Give) -> None:
    file = TransferFile(given(HEADER + ROWS * 3), {}, {})

    [chunk] = ReadAhead(file).chunks(file.survey(), 7, 100)

    ids = [row.id for row in chunk.rows if isinstance(row, Request)]
    assert ids == sorted(set(ids))
    assert all(one.version == 7 for one in ids)


def test_cells_that_nobody_wants_are_not_sent(given: Give) -> None:
    file = TransferFile(given(HEADER + ROWS), {}, {})

    [chunk] = ReadAhead(file).chunks(file.survey(), 7, 100)

    assert (chunk.cells, len(chunk.rows)) == ([], 6)


def test_a_file_that_changed_is_noticed_by_the_second_process(given: Give) -> None:
    file = TransferFile(given(HEADER + ROWS), {}, {})
    survey = file.survey()
    changed = TransferFile(given(HEADER + ROWS.replace("1.50", "1.51")), {}, {})

    with pytest.raises(FileChanged, match=r"given\.csv"):
        told(ReadAhead(changed).chunks(survey, 7, 2))


def test_a_file_that_broke_is_noticed_by_the_second_process(given: Give) -> None:
    survey = TransferFile(given(HEADER + ROWS), {}, {}).survey()
    broken = TransferFile(given(HEADER + 'a,b,"1\n'), {}, {})

    with pytest.raises(BadFile, match="record 1 is not valid CSV"):
        told(ReadAhead(broken).chunks(survey, 7, 2))


def test_what_nobody_foresaw_is_told_with_its_trace(given: Give) -> None:
    class Odd(TransferFile):
        def chunks(self, *_: object) -> Iterator[Chunk]:
            raise ZeroDivisionError("oddly")

    file = Odd(given(HEADER + ROWS), {}, {})

    with pytest.raises(RuntimeError, match="ZeroDivisionError: oddly"):
        told(ReadAhead(file).chunks(file.survey(), 7, 2))


def test_a_reader_that_is_killed_is_no_end_of_the_file(given: Give) -> None:
    class Suicidal(TransferFile):
        def chunks(self, *args: object) -> Iterator[Chunk]:
            yield next(super().chunks(*args))  # type: ignore[arg-type]  # as they were given
            os.kill(os.getpid(), signal.SIGKILL)

    file = Suicidal(given(HEADER + ROWS), {}, {})

    with pytest.raises(RuntimeError, match="was killed"):
        told(ReadAhead(file).chunks(file.survey(), 7, 1))


def test_whoever_stops_listening_leaves_no_process_behind(given: Give) -> None:
    file = TransferFile(given(HEADER + ROWS * 5000), {}, {})
    before = _children()

    with closing(ReadAhead(file).chunks(file.survey(), 7, 10)) as chunks:  # type: ignore[type-var]  # a generator
        next(chunks)
        assert len(_children() - before) == 1

    assert _children() == before


def test_a_small_file_is_read_here(given: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "ROWS_MIN", 7)
    file = TransferFile(given(HEADER + ROWS), {}, {})
    before = _children()

    chunks = ReadAhead(file).chunks(file.survey(), 7, 1)
    next(chunks)

    assert _children() == before


def test_dialects_and_compressed_files_are_read_alike() -> None:
    content = "from;to;amount\na;b;1.234,50\n".encode("cp1250")
    file = TransferFile(Input("x", BytesIO(gzip.compress(content))), {}, {}, Dialect(";", ",", "cp1250"))

    [chunk] = ReadAhead(file).chunks(file.survey(), 7, 10)

    [row] = chunk.rows
    assert isinstance(row, Request)
    assert str(row.legs[0].amount) == "1234.50"


def _children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(word) for word in text.read_text().split()} if text.exists() else set()


@pytest.mark.parametrize("ahead", [False, True])
def test_the_first_chunks_grow_to_their_size(given: Give, ahead: bool) -> None:
    file = TransferFile(given(HEADER + ROWS * 5), {}, {})
    source = ReadAhead(file) if ahead else file

    chunks = source.chunks(file.survey(), 7, 8, first=2)

    assert [len(chunk.rows) for chunk in chunks] == [2, 4, 7, 8, 8, 1]
