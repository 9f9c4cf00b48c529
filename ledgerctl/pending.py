"""Requests of single commands whose outcome is not known yet, each in a file of its own.

A request is on disk before it is sent, and its file goes when what became of it is known. Whatever ends the command
in between, even kill -9, what it asked for is still there, under its key; `ledgerctl resolve` settles it. Rows of an
import need no such file: the imported file has them all, with their keys.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ledgerctl.core.model import Request
from ledgerctl.errors import BadConfig, LedgerError, OutcomeUnknown
from ledgerctl.formats import request_json

_VERSION = 1
_KEPT = ".json"
_HALF = ".half"
_HALF_S = 3600
"""So long nobody takes to write one."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request and where it was to go. `ledger` names a ledger, `ledger_created_at` tells it from its namesakes."""

    request: Request
    ledger: str
    ledger_created_at: str
    place: str
    """The database, in words."""
    actor: str
    written_at: str
    path: Path | None = None
    """Of one that was found; None before it is kept."""
    alive: bool = False
    """Whether the command that wrote it is still running."""


@contextmanager
def kept(directory: Path, pending: Pending, in_doubt: Callable[[], bool]) -> Iterator[None]:
    """Keep a request on disk while it is sent, until its outcome is known. BadConfig when it cannot be written.

    `in_doubt` is asked after an interrupt: may something have been committed? OutcomeUnknown then.
    """
    path, file = _write(directory, pending)
    try:
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as stop:
            if in_doubt():
                raise OutcomeUnknown(detail="interrupted before the answer was read") from stop
            raise
    except OutcomeUnknown as unknown:
        key = pending.request.key
        raise OutcomeUnknown(
            **{**unknown.details, "key": key, "hint": f"ledgerctl resolve tells what became of the key '{key}'"}
        ) from unknown
    except (LedgerError, KeyboardInterrupt, SystemExit):
        forget(path)
        raise
    else:
        forget(path)
    finally:
        file.close()


def place(directory: Path) -> Path:
    """Where in the state directory they are."""
    return directory / "pending"


def forget(path: Path) -> None:
    """The outcome is known."""
    path.unlink(missing_ok=True)


def left(directory: Path) -> list[Pending]:
    """What is left, the oldest first; clears away what was never sent. BadConfig for a file that cannot be read."""
    _sweep(place(directory))
    found = [_read(path) for path in _files(directory)]
    return [pending for pending in found if pending is not None]


def _sweep(where: Path) -> None:
    """Whoever was killed while it wrote left half a file, and had sent nothing."""
    for half in where.glob(f"*{_HALF}"):
        with suppress(OSError):
            if half.stat().st_mtime < time.time() - _HALF_S:
                half.unlink()


def lost(directory: Path) -> int:
    """How many are left whose command is gone. Their files are not read: a damaged one keeps nobody from posting."""
    count = 0
    for path in _files(directory):
        with suppress(OSError), path.open("rb") as file:  # settled meanwhile
            count += _abandoned(file.fileno())
    return count


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(place(directory)) if entry.name.endswith(_KEPT))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(place(directory), error) from None


def _write(directory: Path, pending: Pending) -> tuple[Path, IO[bytes]]:
    """On disk when this returns, and locked for as long as the file is open: whoever reads it sees us alive."""
    where = place(directory)
    path = where / f"{pending.request.id}{_KEPT}"
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = path.with_suffix(_HALF)  # whoever is killed before the whole is there has sent nothing
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(_shape(pending), ensure_ascii=False, indent=1).encode())
        file.flush()
        os.fsync(descriptor)
        half.rename(path)
        _sync_directory(where)
    except OSError as error:
        raise _unusable(where, error) from None
    return path, file


def _unusable(where: Path, error: OSError) -> BadConfig:
    return BadConfig(
        detail=f"requests cannot be kept in {where}: {error.strerror}",
        hint="nothing was sent; [state] directory names a directory that can be written",
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shape(pending: Pending) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "ledger": pending.ledger,
        "ledger_created_at": pending.ledger_created_at,
        "place": pending.place,
        "actor": pending.actor,
        "written_at": pending.written_at,
        "request": request_json.dump(pending.request),
    }


def _read(path: Path) -> Pending | None:
    """None when it was settled meanwhile."""
    try:
        with path.open("rb") as file:
            alive = not _abandoned(file.fileno())
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfig(detail=f"{path}: {error.strerror}") from None
    try:
        shape = json.loads(content)
        if shape["version"] != _VERSION:
            raise BadConfig(detail=f"{path} was written by another version of ledgerctl; settle it with that one")
        return Pending(
            request_json.load(shape["request"]),
            shape["ledger"],
            shape["ledger_created_at"],
            shape["place"],
            shape["actor"],
            shape["written_at"],
            path,
            alive,
        )
    except (ValueError, KeyError, TypeError):
        raise BadConfig(detail=f"{path} is damaged; look at what it says, and move it away") from None


def _abandoned(descriptor: int) -> bool:
    """Nobody has it locked: whoever wrote it is gone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
