"""The rejects file: the rows as they stood, why, and a key for each; an import reads it."""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path

import pytest

from ledgerctl.core.model import Request
from ledgerctl.core.rows import Rejected, Survey
from ledgerctl.errors import BadUsage
from ledgerctl.formats.dialect import Dialect
from ledgerctl.formats.records import open_input
from ledgerctl.formats.rejects import RejectsFile
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services.tally import Bad

DIGEST = sha256(b"a file").digest()


def survey(*header: str, keyed: bool = False) -> Survey:
    return Survey((DIGEST,), 9, header, frozenset(), keyed, 0, (), {})


def bad(row: int, *cells: str, field: str | None = "amount") -> Bad:
    return Bad(Rejected(row, field, "BAD_AMOUNT", "no, 'x'", "write\ndigits", f"key-{row}"), row + 1, cells)


def written(path: Path, about: Survey, *rows: Bad, delimiter: str = ",") -> str:
    with RejectsFile(path, Dialect(delimiter)) as file:
        file.begin(about)
        for one in rows:
            file.add(one)
        file.keep()
    return path.read_text(encoding="utf-8")


def test_columns_key_line_and_reason(tmp_path: Path) -> None:
    text = written(tmp_path / "r.csv", survey("from", "to", "amount"), bad(4, "a", 'b"c', "x\ny"))

    assert text == (
        "from,to,amount,idempotency_key,_line,_code,_message,_hint\n"
        'a,"b""c","x\ny",key-4,5,BAD_AMOUNT,"amount: no, \'x\'","write\ndigits"\n'
    )


def test_what_somebody_may_be_mending_is_put_aside_and_not_overwritten(tmp_path: Path) -> None:
    path, about = tmp_path / "r.csv", survey("from", "to", "amount")

    def write(row: int) -> str | None:
        with RejectsFile(path) as file:
            file.begin(about)
            file.add(bad(row, "a", "b", "x"))
            return file.keep()

    assert write(1) is None
    assert write(1) is None  # the same again is the same file
    path.write_text("mended", encoding="utf-8")
    assert write(1) == f"{path}.1"
    assert write(2) == f"{path}.2"
    assert (tmp_path / "r.csv.1").read_text(encoding="utf-8") == "mended"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["r.csv", "r.csv.1", "r.csv.2"]


def test_rows_with_keys_of_their_own_keep_them(tmp_path: Path) -> None:
    text = written(tmp_path / "r.csv", survey("id", "amount", keyed=True), bad(1, "7", "x"), delimiter=";")

    assert text.splitlines()[0] == "id;amount;_line;_code;_message;_hint"
    assert text.splitlines()[1].startswith("7;x;2;BAD_AMOUNT;")


def test_a_rejects_file_of_a_rejects_file_has_its_reasons_once(tmp_path: Path) -> None:
    header = ("amount", "idempotency_key", "_line", "_code", "_message", "_hint")

    text = written(tmp_path / "r.csv", survey(*header, keyed=True), bad(1, "x", "k", "5", "OLD", "old", "old"))

    assert text.startswith("amount,idempotency_key,_line,_code,_message,_hint\nx,k,2,BAD_AMOUNT,")
    assert "old" not in text


def test_rows_of_another_width_lose_nothing(tmp_path: Path) -> None:
    text = written(
        tmp_path / "r.csv", survey("a", "b", keyed=True), bad(1, "1", field=None), bad(2, "1", "2", "3", "4")
    )

    assert text.splitlines()[1].startswith("1,,2,BAD_AMOUNT,\"no, 'x'\"")
    assert text.rstrip().endswith(",3,4")


def test_it_is_read_again_with_the_keys_that_the_rows_had(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    written(path, survey("from", "to", "amount"), bad(3, "alice", "bob", "1"), bad(8, "alice", "bob", "2"))
    source = open_input(str(path))
    file = TransferFile(source, {}, {})

    [chunk] = file.chunks(file.survey(), 1, 10)

    source.stream.close()
    assert [row.key for row in chunk.rows if isinstance(row, Request)] == ["key-3", "key-8"]


def test_begun_anew_it_forgets(tmp_path: Path) -> None:
    with RejectsFile(tmp_path / "r.csv") as file:
        file.begin(survey("a"))
        file.add(bad(1, "first"))
        file.begin(survey("a"))
        file.add(bad(2, "second"))
        file.keep()

    assert [line.split(",")[0] for line in (tmp_path / "r.csv").read_text().splitlines()] == ["a", "second", 'digits"']


def test_nothing_is_left_of_one_that_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("of yesterday")

    with RejectsFile(tmp_path / "r.csv") as file:
        file.begin(survey("a"))
        file.add(bad(1, "x"))

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("r.csv", "of yesterday")]


def test_others_may_read_it_as_any_file_that_one_writes(tmp_path: Path) -> None:
    written(tmp_path / "r.csv", survey("a"))
    (tmp_path / "other").touch()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_place_where_nothing_can_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="cannot be written: No such file"):
        RejectsFile(tmp_path / "nowhere" / "r.csv")
