"""Compressed files, known by their first bytes and never by their name, read as if they were not compressed."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from typing import BinaryIO, Protocol

from ledgerctl.errors import BadFile

_GZIP = b"\x1f\x8b"
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
"""A frame, or one to be skipped, with which a file may begin (RFC 8878, 3.1)."""


def content(name: str, stream: BinaryIO) -> BinaryIO:
    """The content from its beginning, decompressed as it is read. BadFile, then too, when the data is damaged."""
    try:
        stream.seek(0)
        magic = stream.read(4)
        stream.seek(0)
    except OSError as error:
        raise BadFile(file=name, problem=(error.strerror or str(error)).lower()) from None
    if magic.startswith(_GZIP):
        return io.BufferedReader(_Whole(name, gzip.GzipFile(fileobj=stream, mode="rb")), 1 << 20)
    if _ZSTD.fullmatch(magic):
        return io.BufferedReader(_Whole(name, _zstd(stream)), 1 << 20)
    return stream


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _zstd(stream: BinaryIO) -> _Reads:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdFile(stream)


class _Whole(io.RawIOBase):
    """Decompressed bytes. Whatever a decompressor says about damage, it is the file's fault."""

    def __init__(self, name: str, stream: _Reads) -> None:
        self._name = name
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        try:
            block = self._stream.read(len(buffer))
        except EOFError:
            raise BadFile(file=self._name, problem="its compressed data ends too early; send the file again") from None
        except Exception as error:
            if not isinstance(error, (OSError, zlib.error)) and type(error).__name__ != "ZstdError":
                raise
            raise BadFile(
                file=self._name, problem=f"its compressed data is damaged, or is not all of it: {error}"
            ) from None
        buffer[: len(block)] = block
        return len(block)
