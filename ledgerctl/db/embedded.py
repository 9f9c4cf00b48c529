"""A PostgreSQL server of our own, kept in a directory: made once, started when needed, reached by its socket only.

    DIRECTORY/pgdata        the cluster (pgdata.new while it is being made)
    DIRECTORY/run           the socket, unless its path would be too long
    DIRECTORY/server.log    what the server says
    DIRECTORY/lock          held by whoever creates, starts or stops

Whoever owns the cluster, and root if root made it, is the superuser of the database; nobody else is let in.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledgerctl.db import embedded_install as install
from ledgerctl.db import embedded_server as server
from ledgerctl.db import embedded_settings as settings
from ledgerctl.db.embedded_install import Owner, failed
from ledgerctl.db.embedded_settings import DATABASE, SUPERUSER

__all__ = ["DATABASE", "SUPERUSER", "Status", "conninfo", "create", "start", "status", "stop"]

OURS = {"pgdata.new", "run", "server.log", "server.log.1", "lock"}  # may be there before the cluster is


@dataclass(frozen=True, slots=True)
class Status:
    """What stands in a directory; `version` is the cluster's major version, empty when there is no cluster."""

    directory: Path
    running: bool
    pid: int | None
    version: str
    size_bytes: int
    socket: Path
    cut_short: bool
    """Not running, and it did not come to an orderly end: a crash, a kill -9, a power failure."""
    ephemeral: bool


def conninfo(directory: Path) -> str:
    """The libpq connection string of a directory's server, whether or not it runs; asks nothing but the file system."""
    directory = directory.resolve()
    place = server.socket_directory(directory)
    with _reported(directory):
        if place.parent != directory and os.path.lexists(place):
            server.refuse_foreign_socket(directory, place, directory.stat().st_uid)
    # hostaddr stands here, empty, because PGHOSTADDR would lead elsewhere.
    return f"host={place} hostaddr='' port={server.PORT} user={SUPERUSER} dbname={DATABASE}"


def create(directory: Path, *, run_as: str = "ledgerctl", ephemeral: bool = False) -> None:
    """Make the cluster and its database unless they are there, and start the server. It may be repeated.

    An interrupted attempt leaves nothing that the next one would take for a cluster. An `ephemeral` cluster gives up
    durability for speed, for good.
    """
    directory = directory.resolve()
    with _reported(directory):
        owner = _owner(directory, run_as)
        if not _has_cluster(directory):
            _prepare(directory, owner)
        with _locked(directory) as lock:
            if not _has_cluster(directory):
                _make_cluster(directory, owner, ephemeral, lock)
            server.ensure_running(directory, owner)


def start(directory: Path, *, run_as: str = "ledgerctl") -> None:
    """Start the server unless it runs; it accepts connections when this returns, also after a kill -9."""
    directory = directory.resolve()
    with _reported(directory):
        owner = _owner(directory, run_as)
        if not _has_cluster(directory):
            raise failed(directory, "was never created", hint="run ledgerctl init")
        with _locked(directory):
            server.ensure_running(directory, owner)


def stop(directory: Path) -> bool:
    """Shut the server down, cutting its connections and losing nothing; False when it was not running."""
    directory = directory.resolve()
    with _reported(directory):
        _refuse_stranger(directory)
        if not _has_cluster(directory):
            return False
        with _locked(directory):
            return server.shut_down(directory)


def status(directory: Path) -> Status:
    """Look, and change nothing."""
    directory = directory.resolve()
    with _reported(directory):
        _refuse_stranger(directory)
        pid, state = server.look(directory)
        version = server.version(directory) if _has_cluster(directory) else ""
        where = server.socket_directory(directory) / server.SOCKET
        cut_short = not state and (directory / "pgdata" / "postmaster.pid").exists()
        size = server.size_bytes(directory)
        return Status(directory, bool(state), pid, version, size, where, cut_short, _is_ephemeral(directory))


# -- whose it is -----------------------------------------------------------------------------------------------------


@contextmanager
def _reported(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        detail = f"cannot be used: {error.strerror}: '{error.filename}'" if error.filename else f"failed: {error}"
        raise failed(directory, detail) from error


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """One at a time creates, starts or stops. The server does not inherit the lock; what makes a cluster does."""
    whose = directory.stat()
    # The directory belongs to an unprivileged user: root follows no link in it.
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(lock, whose.st_uid, whose.st_gid)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _has_cluster(directory: Path) -> bool:
    return (directory / "pgdata" / "PG_VERSION").exists()


def _is_ephemeral(directory: Path) -> bool:
    """What was written when it was made; the server itself is not asked."""
    file = directory / "pgdata" / "ledgerctl.conf"
    return (
        file.exists() and re.search(r"(?m)^ledgerctl\.ephemeral = on\b", file.read_text(encoding="utf-8")) is not None
    )


def _owner(directory: Path, run_as: str) -> Owner:
    """Who runs the server: the owner of the cluster, which counts, or else who is to become it."""
    _refuse_stranger(directory)
    if not _has_cluster(directory):
        return install.new_owner(directory, run_as)

    whose = (directory / "pgdata").lstat()
    if whose.st_uid == 0:
        raise failed(directory, "belongs to root, and PostgreSQL refuses to run as root")
    return Owner(install.user_name(whose.st_uid), whose.st_uid, whose.st_gid)


def _refuse_stranger(directory: Path) -> None:
    try:
        uid = directory.stat().st_uid
    except FileNotFoundError:
        return
    if os.geteuid() not in {0, uid}:
        name = install.user_name(uid)
        raise failed(directory, f"belongs to '{name}'", hint=f"run the command as '{name}'")


def _prepare(directory: Path, owner: Owner) -> None:
    """Make the directory, or take an empty one; somebody's directory with things in it stays as it is."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    install.refuse_unreachable(directory, owner)
    directory.mkdir(mode=0o700, exist_ok=True)

    if strange := sorted({path.name for path in directory.iterdir()} - OURS - {"pgdata"}):
        raise failed(directory, f"cannot be created: the directory holds '{strange[0]}'")
    if (uid := directory.stat().st_uid) not in {owner.uid, os.geteuid()}:
        raise failed(directory, f"cannot be created: it belongs to '{install.user_name(uid)}'")
    if uid != owner.uid:
        os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)


# -- making the cluster ----------------------------------------------------------------------------------------------


def _make_cluster(directory: Path, owner: Owner, ephemeral: bool, lock: int) -> None:
    """Build `pgdata.new` and rename it when it is complete, database included.

    The tools inherit the lock: if this command is killed, the next one waits for them before it starts over.
    """

    def run(*command: str | Path, text: str = "") -> None:
        done = install.run(owner, command, text, keep=[lock])
        if done.returncode:
            raise failed(directory, f"cannot be created:\n{server.last_lines(done.stderr)}")

    found = install.find(directory, owner)
    new = directory / "pgdata.new"
    if new.exists():
        shutil.rmtree(new)

    run(found.bin / "initdb", *settings.INITDB, "-D", new)
    users = ["root", owner.name] if os.geteuid() == 0 else [owner.name]
    for name, text in {
        "ledgerctl.conf": settings.settings(ephemeral),
        "pg_hba.conf": settings.HBA,
        "pg_ident.conf": settings.ident(*users),
    }.items():
        # By the owner: root touches nothing where somebody else can turn a file into a link.
        run("/bin/sh", "-c", 'cat >"$0"', new / name, text=text)
    run("/bin/sh", "-c", 'cat >>"$0"', new / "postgresql.conf", text=settings.INCLUDE)
    alone = ["--single", "-F", "-c", "exit_on_error=on"]
    run(found.bin / "postgres", *alone, "-D", new, "template1", text=f"CREATE DATABASE {DATABASE};\n")
    if not ephemeral:
        run(found.bin / "initdb", "--sync-only", "-D", new)

    new.rename(directory / "pgdata")
    _sync(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
