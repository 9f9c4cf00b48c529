"""A large file of transfers, read by a process of its own: while one row is decided, the next is read.

Reading a row and hashing it into its fingerprint takes Python as long as deciding it. A second process is forked when
the rows are first asked for; it sends them as plain tuples, which cost a tenth of what reading costs to take in.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import struct
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, BinaryIO, NoReturn

from ledgerctl import errors
from ledgerctl.core.model import Chunk, Kind, Leg, Rejected, Request, Side, Survey
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid_of

ROWS_MIN = 20_000
"""A file of fewer rows is read before a process is started."""
_TRANSFER, _DEBIT, _CREDIT = Kind.TRANSFER, Side.DEBIT, Side.CREDIT
_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """Stands in for the file. `cells` are left out of the chunks unless somebody wants them."""

    file: TransferFile
    cells: bool = False

    @property
    def name(self) -> str:
        return self.file.name

    def survey(self, *, amounts: bool = False) -> Survey:
        return self.file.survey(amounts=amounts)

    def chunks(self, survey: Survey, import_id: int, size: int, first: int | None = None) -> Iterator[Chunk]:
        """Like those of the file, with its errors. A process with several threads is not forked: it reads itself."""
        if survey.rows < ROWS_MIN or not hasattr(os, "fork") or threading.active_count() > 1:
            return self.file.chunks(survey, import_id, size, first)
        ahead = self._ahead(survey, import_id, size, first)
        next(ahead)  # forks now, while the caller has not yet started a thread
        return ahead

    def _ahead(self, survey: Survey, import_id: int, size: int, first: int | None) -> Iterator[Chunk]:
        """An empty chunk when the second process runs; then those of the file."""
        receiving, sending = os.pipe()
        reader = os.fork()
        if reader == 0:
            os.close(receiving)
            self._send_all(sending, survey, size, first)
        os.close(sending)
        try:
            with os.fdopen(receiving, "rb", buffering=0) as stream:
                yield Chunk([], [], ())
                while (chunk := _chunk(_received(stream), import_id)) is not None:
                    yield chunk
        finally:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)

    def _send_all(self, sending: int, survey: Survey, size: int, first: int | None) -> NoReturn:
        """All of the second process. It owns nothing but its end of the pipe, and leaves nothing to be cleaned up."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the first process decides what it means
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()
        try:
            for chunk in self.file.chunks(survey, 0, size, first):
                cells = chunk.cells if self.cells else []
                _send(sending, ([_plain(row) for row in chunk.rows], cells, list(chunk.lines)))
            _send(sending, None)
        except errors.LedgerError as error:
            _send(sending, (error.code, error.details))
        except BrokenPipeError:  # the first process has ended
            pass
        except BaseException:
            _send(sending, traceback.format_exc())
        os._exit(0)


def _send(sending: int, message: Any) -> None:
    content = marshal.dumps(message)
    block = memoryview(_LENGTH.pack(len(content)) + content)
    while block:
        block = block[os.write(sending, block) :]


def _received(stream: BinaryIO) -> Any:
    """The next message; None when all has been sent."""
    [length] = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return marshal.loads(_exactly(stream, length))  # noqa: S302 - from a process of our own, forked above


def _exactly(stream: BinaryIO, size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        read = stream.readinto(view)  # type: ignore[attr-defined]  # a raw stream has it
        if not read:
            raise RuntimeError("the process that reads the file was killed")
        view = view[read:]
    return content


def _chunk(message: Any, import_id: int) -> Chunk | None:
    """What was sent, or None at the end of the file. Raises the error that stopped the reading."""
    if message is None:
        return None
    if isinstance(message, str):
        raise RuntimeError(f"the process that reads the file failed:\n{message}")
    if len(message) == 2:
        code, details = message
        raise errors.by_code(code)(**details)
    rows, cells, lines = message
    return Chunk([_row(row, import_id) for row in rows], cells, lines)


def _plain(row: Request | Rejected) -> tuple[Any, ...]:
    if isinstance(row, Rejected):
        return tuple(row)
    new_id, key, fingerprint, _, legs, description, reference, effective_at, _, _, _, number = row
    (source, _, amount, currency), (target, _, _, _) = legs
    instant = None if effective_at is None else effective_at.isoformat()
    text = format(amount, "f")
    return new_id.int, key, fingerprint, source, target, text, currency, description, reference, instant, number


def _row(plain: tuple[Any, ...], import_id: int) -> Request | Rejected:
    if len(plain) == len(Rejected._fields):
        return Rejected(*plain)
    new_id, key, fingerprint, source, target, text, currency, description, reference, instant, number = plain
    amount = Decimal(text)
    return Request(
        uuid_of(new_id),
        key,
        fingerprint,
        _TRANSFER,
        (Leg(source, _DEBIT, amount, currency), Leg(target, _CREDIT, amount, currency)),
        description,
        reference,
        None if instant is None else datetime.fromisoformat(instant),
        None,
        None,
        import_id,
        number,
    )
