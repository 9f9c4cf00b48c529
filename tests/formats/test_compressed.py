"""Compressed files are read as what they hold; damage is said."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from ledgerctl.core.model import Request
from ledgerctl.errors import BadFile
from ledgerctl.formats.records import Input, Records, open_input
from ledgerctl.formats.transfer_csv import TransferFile, derived_key

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Give = Callable[[bytes | str], Input]
CONTENT = b"from,to,amount\n" + b"".join(b"bank,alice,%d.50\n" % number for number in range(1, 20_000))
PACKED = {
    "gzip": gzip.compress(CONTENT),
    "zstd": zstd.compress(CONTENT, options={zstd.CompressionParameter.checksum_flag: 1}),
}


def read(source: Input) -> list[list[str]]:
    return list(Records(source))


@pytest.mark.parametrize("kind", PACKED)
def test_the_rows_the_hash_and_the_keys_are_those_of_the_content(given: Give, kind: str) -> None:
    source = given(PACKED[kind])
    file = TransferFile(source, {}, {})

    survey = file.survey()
    [first, *_] = file.chunks(survey, 1, 5000)

    assert survey.sha256 == source.digest() == sha256(CONTENT).digest()
    assert survey.rows == 19_999
    assert isinstance(first.rows[0], Request)
    assert first.rows[0].key == derived_key(sha256(CONTENT).digest(), 1)


@pytest.mark.parametrize("kind", PACKED)
def test_whatever_the_file_is_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "transfers.csv"
    path.write_bytes(PACKED[kind])
    source = open_input(str(path))

    with closing(source.stream):
        assert len(read(source)) == 19_999


@pytest.mark.parametrize("kind", PACKED)
def test_a_pipe_may_be_compressed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "packed"
    path.write_bytes(PACKED[kind])
    code = (
        "from ledgerctl.formats.records import Records, open_input\n"
        "source = open_input('-')\nfor _ in range(2): print(len(list(Records(source))))"
    )
    done = subprocess.run(["/bin/sh", "-c", f'cat {path} | "$PYTHON" -c "$CODE"'], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable, "CODE": code}, check=True)  # fmt: skip

    assert done.stdout.split() == ["19999", "19999"]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_one_part_after_another_is_one_file(given: Give, pack: Callable[[bytes], bytes]) -> None:
    assert read(given(pack(b"a,b\n1,2\n3") + pack(b",4\n"))) == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("left", [20, 0.5, 0.999])
def test_a_part_that_is_missing_is_noticed(given: Give, kind: str, left: float) -> None:
    packed = PACKED[kind]
    size = int(left if left > 1 else len(packed) * left)

    with pytest.raises(BadFile, match="ends too early"):
        read(given(packed[:size]))


@pytest.mark.parametrize("kind", PACKED)
def test_damage_is_noticed(given: Give, kind: str) -> None:
    packed = bytearray(PACKED[kind])
    packed[len(packed) // 2] ^= 0xFF

    with pytest.raises(BadFile, match=r"damaged|not valid|not UTF-8|ends too early|NUL"):
        read(given(bytes(packed)))


def test_something_after_the_end_is_noticed(given: Give) -> None:
    with pytest.raises(BadFile, match="is damaged"):
        read(given(PACKED["gzip"] + b"from,to"))


def test_a_zstd_file_may_begin_with_a_frame_to_be_skipped(given: Give) -> None:
    skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"

    assert len(read(given(skipped + PACKED["zstd"]))) == 19_999


def test_a_file_within_a_file_is_not_unpacked(given: Give) -> None:
    with pytest.raises(BadFile):
        read(given(gzip.compress(PACKED["gzip"])))


def test_the_line_that_is_not_utf8_is_that_of_the_content(given: Give) -> None:
    with pytest.raises(BadFile, match="line 2, byte 3 is not UTF-8"):
        read(given(gzip.compress(b"a,b\n1,\xff\n")))
